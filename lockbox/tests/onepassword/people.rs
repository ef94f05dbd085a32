//! People who change values in 1Password, and the items that they change them in.

use std::time::Duration;

use lockbox::{Changed, Store, Stored};
use serde_json::json;

use super::{World, known, scope, secret};

const CURRENT: &str = "enclii/shop.prod.api/A";

impl World {
    async fn changes(&self, stored: &Stored) -> Vec<Changed> {
        self.store.changes(&[known("A", stored)]).await.unwrap()
    }

    /// What the current item shows, as it really is.
    fn shown(&self) -> Option<String> {
        let item = self.connect.world().titled(CURRENT).into_iter().next()?;
        Some(item["fields"][0]["value"].as_str().unwrap().to_owned())
    }
}

fn text(changed: &Changed) -> &str {
    std::str::from_utf8(changed.value.expose()).unwrap()
}

#[tokio::test]
async fn the_first_look_is_no_change_and_shows_the_version_in_use() {
    let world = World::new().await;
    let (one, two) = (world.put("A", 1, "one").await, world.put("A", 2, "two").await);
    assert!(world.changes(&one).await.is_empty());
    assert_eq!(world.shown().as_deref(), Some("one"));
    // Rotated, then rolled back.
    for (stored, value) in [(&two, "two"), (&one, "one")] {
        assert!(world.changes(stored).await.is_empty());
        assert_eq!(world.shown().as_deref(), Some(value));
    }
    assert_eq!(world.connect.world().titled(CURRENT).len(), 1);
    // Another process, which has seen nothing yet, has nothing to say either.
    assert!(world.replica().changes(&[known("A", &one)]).await.unwrap().is_empty());
}

#[tokio::test]
async fn an_edit_is_said_until_it_is_in_use_and_every_version_stays_readable() {
    let world = World::new().await;
    world.connect.world().delay = Duration::from_millis(50);
    let one = world.put("A", 1, "one").await;
    assert!(world.changes(&one).await.is_empty());
    world.connect.world().type_in(CURRENT, "value", "from a person");
    tokio::time::sleep(Duration::from_millis(60)).await;
    for store in [&world.store, &world.store, &world.replica()] {
        let changed = store.changes(&[known("A", &one)]).await.unwrap();
        assert_eq!((changed.len(), text(&changed[0])), (1, "from a person"));
        assert_eq!((&changed[0].on, changed[0].name.as_str()), (&one, "A"));
        assert_eq!(changed[0].by, "DOIHOHSV2NHK5HMSOLCWJUXFDM");
    }
    let two = world.put("A", 2, "from a person").await;
    assert!(world.changes(&two).await.is_empty());
    assert!(world.changes(&two).await.is_empty());
    assert_eq!(world.get("A", &one).await.unwrap(), "one");
    assert_eq!(world.get("A", &two).await.unwrap(), "from a person");
    // The same text again is no change; another one is, and has another name.
    world.connect.world().type_in(CURRENT, "value", "from a person");
    tokio::time::sleep(Duration::from_millis(60)).await;
    assert!(world.changes(&two).await.is_empty());
    world.connect.world().type_in(CURRENT, "value", "one");
    tokio::time::sleep(Duration::from_millis(60)).await;
    let changed = world.changes(&two).await;
    assert_eq!((changed.len(), text(&changed[0])), (1, "one"));
}

#[tokio::test]
async fn quiet_is_one_call() {
    let world = World::new().await;
    let one = world.put("A", 1, "one").await;
    for _ in 0..3 {
        assert!(world.changes(&one).await.is_empty());
    }
    let before = world.connect.world().log.len();
    for _ in 0..10 {
        assert!(world.changes(&one).await.is_empty());
    }
    let log = world.connect.world().log[before..].to_vec();
    assert_eq!(log.len(), 10, "{log:?}");
}

#[tokio::test]
async fn an_edit_of_the_record_is_taken_for_one_and_loses_nothing() {
    let world = World::new().await;
    let one = world.put("A", 1, "one").await;
    assert!(world.changes(&one).await.is_empty());
    world.connect.world().type_in("enclii/shop.prod.api/A#v1", "value", "in the wrong place");
    // The current item still has the value, so pods get it.
    assert_eq!(world.get("A", &one).await.unwrap(), "one");
    let changed = world.changes(&one).await;
    assert_eq!((changed.len(), text(&changed[0])), (1, "in the wrong place"));
    let two = world.put("A", 2, "in the wrong place").await;
    for _ in 0..3 {
        assert!(world.changes(&two).await.is_empty());
    }
    assert_eq!(world.shown().as_deref(), Some("in the wrong place"));
    assert_eq!(world.get("A", &one).await.unwrap(), "one");
    let record = world.connect.world().titled("enclii/shop.prod.api/A#v1").remove(0);
    assert_eq!(record["fields"][0]["value"], "one");
}

#[tokio::test]
async fn what_people_add_stays_and_what_they_break_is_left_alone() {
    let world = World::new().await;
    let one = world.put("A", 1, "one").await;
    assert!(world.changes(&one).await.is_empty());
    world.connect.world().edit(CURRENT, |item| {
        item["fields"].as_array_mut().unwrap().extend([
            json!({"id": "n", "type": "STRING", "purpose": "NOTES", "label": "notesPlain", "value": "ask Ada"}),
            json!({"id": "o", "type": "OTP", "label": "code", "value": "otpauth://totp/x", "totp": "123456", "section": {"id": "gone"}}),
        ]);
        item["tags"] = json!(["enclii", "theirs"]);
    });
    assert!(world.changes(&one).await.is_empty());
    let two = world.put("A", 2, "two").await;
    assert!(world.changes(&two).await.is_empty());
    let item = world.connect.world().titled(CURRENT).remove(0);
    assert_eq!(
        (item["fields"][0]["value"].as_str(), item["fields"].as_array().unwrap().len()),
        (Some("two"), 5)
    );
    assert_eq!(item["tags"], json!(["enclii", "theirs"]));
    // Two fields of the label: nobody knows which is meant, so nothing is adopted, and nothing
    // overwritten.
    world.connect.world().edit(CURRENT, |item| {
        let field = json!({"id": "v", "type": "CONCEALED", "label": "value", "value": "which?"});
        item["fields"].as_array_mut().unwrap().push(field);
    });
    let other = world.put("B", 1, "b").await;
    let all = [known("A", &two), known("B", &other)];
    assert!(world.store.changes(&all).await.unwrap().is_empty());
    assert!(world.store.changes(&all).await.unwrap().is_empty());
    // The others are looked at all the same.
    world.connect.world().type_in("enclii/shop.prod.api/B", "value", "edited");
    let changed = world.store.changes(&all).await.unwrap();
    assert_eq!((changed.len(), changed[0].name.as_str(), text(&changed[0])), (1, "B", "edited"));
    // Mended, and an edit again.
    world.connect.world().edit(CURRENT, |item| {
        item["fields"]
            .as_array_mut()
            .unwrap()
            .retain(|field| field["id"] == "v" || field["label"] != "value");
    });
    let changed = world.store.changes(&all).await.unwrap();
    assert_eq!(changed.iter().map(text).collect::<Vec<_>>(), ["which?", "edited"]);
}

#[tokio::test]
async fn a_current_item_that_goes_comes_back_and_copies_count_once() {
    let world = World::new().await;
    let one = world.put("A", 1, "one").await;
    assert!(world.changes(&one).await.is_empty());
    world.connect.world().trash(CURRENT);
    assert!(world.changes(&one).await.is_empty());
    assert_eq!(world.shown().as_deref(), Some("one"));
    world.connect.world().duplicate(CURRENT);
    // The next change of any kind has it looked at.
    let two = world.put("A", 2, "two").await;
    for _ in 0..3 {
        assert!(world.changes(&two).await.is_empty());
    }
    assert_eq!(world.connect.world().titled(CURRENT).len(), 1);
    assert_eq!(world.shown().as_deref(), Some("two"));
}

#[tokio::test]
async fn what_is_destroyed_or_deleted_leaves_the_current_item_too() {
    let world = World::new().await;
    let (one, two) = (world.put("A", 1, "one").await, world.put("A", 2, "two").await);
    assert!(world.changes(&two).await.is_empty());
    world.store.destroy(&scope(), &secret("A"), &two).await.unwrap();
    assert_eq!(world.shown(), None);
    assert!(world.changes(&one).await.is_empty());
    assert_eq!(world.shown().as_deref(), Some("one"));
    world.store.delete(&scope(), &secret("A")).await.unwrap();
    assert!(world.connect.world().titles().is_empty());
}

#[tokio::test]
async fn values_that_are_no_text_can_be_edited_too() {
    let world = World::new().await;
    let (name, value) = (secret("A"), contract::Redacted::from(b"\xff\x00".as_slice()));
    let put = lockbox::Put { name: &name, version: contract::Version(1), value: &value };
    let reference = world.store.write(&scope(), &[put]).await.unwrap().remove(0);
    let one = Stored { version: contract::Version(1), reference };
    assert!(world.changes(&one).await.is_empty());
    assert_eq!(world.shown().as_deref(), Some("base64:/wA="));
    world.connect.world().type_in(CURRENT, "value", "base64:/wE=");
    assert_eq!(world.changes(&one).await[0].value.expose(), b"\xff\x01");
    world.connect.world().type_in(CURRENT, "value", "base64:no");
    assert!(world.changes(&one).await.is_empty());
    world.connect.world().type_in(CURRENT, "value", "words");
    assert_eq!(world.changes(&one).await[0].value.expose(), b"words");
}
