//! Values edited by hand in 1Password, and the current items.

use std::time::Duration;

use lockbox::conformance::ConformanceStore as _;
use lockbox::{ExternalChange, Store, StoredVersion};
use serde_json::json;

use super::{TestStore, known, scope, secret};

const CURRENT: &str = "enclii/shop.prod.api/A";

impl TestStore {
    async fn changes(&self, stored: &StoredVersion) -> Vec<ExternalChange> {
        self.store.poll_changes(&[known("A", stored)]).await.unwrap()
    }

    /// The value in the current item, regardless of visibility.
    fn shown(&self) -> Option<String> {
        let item = self.connect.state().titled(CURRENT).into_iter().next()?;
        Some(item["fields"][0]["value"].as_str().unwrap().to_owned())
    }
}

fn text(changed: &ExternalChange) -> &str {
    std::str::from_utf8(changed.value.expose()).unwrap()
}

#[tokio::test]
async fn the_first_poll_reports_nothing_and_shows_the_active_version() {
    let harness = TestStore::new().await;
    let (one, two) = (harness.put("A", 1, "one").await, harness.put("A", 2, "two").await);
    assert!(harness.changes(&one).await.is_empty());
    assert_eq!(harness.shown().as_deref(), Some("one"));
    // Rotated, then rolled back.
    for (stored, value) in [(&two, "two"), (&one, "one")] {
        assert!(harness.changes(stored).await.is_empty());
        assert_eq!(harness.shown().as_deref(), Some(value));
    }
    assert_eq!(harness.connect.state().titled(CURRENT).len(), 1);
    // Another process without any sync state reports nothing either.
    assert!(harness.replica().poll_changes(&[known("A", &one)]).await.unwrap().is_empty());
}

#[tokio::test]
async fn an_edit_is_reported_until_it_is_active_and_every_version_stays_readable() {
    let harness = TestStore::new().await;
    harness.connect.state().delay = Duration::from_millis(50);
    let one = harness.put("A", 1, "one").await;
    assert!(harness.changes(&one).await.is_empty());
    harness.connect.state().type_in(CURRENT, "value", "from a person");
    harness.connect.state().show_all();
    for store in [&harness.store, &harness.store, &harness.replica()] {
        let changed = store.poll_changes(&[known("A", &one)]).await.unwrap();
        assert_eq!((changed.len(), text(&changed[0])), (1, "from a person"));
        assert_eq!((&changed[0].on, changed[0].name.as_str()), (&one, "A"));
        assert_eq!(changed[0].by, "DOIHOHSV2NHK5HMSOLCWJUXFDM");
    }
    let two = harness.put("A", 2, "from a person").await;
    assert!(harness.changes(&two).await.is_empty());
    assert!(harness.changes(&two).await.is_empty());
    assert_eq!(harness.get("A", &one).await.unwrap(), "one");
    assert_eq!(harness.get("A", &two).await.unwrap(), "from a person");
    // The same text again is not a change. Another text is.
    harness.connect.state().type_in(CURRENT, "value", "from a person");
    harness.connect.state().show_all();
    assert!(harness.changes(&two).await.is_empty());
    harness.connect.state().type_in(CURRENT, "value", "one");
    harness.connect.state().show_all();
    let changed = harness.changes(&two).await;
    assert_eq!((changed.len(), text(&changed[0])), (1, "one"));
}

#[tokio::test]
async fn a_poll_without_changes_is_one_call() {
    let harness = TestStore::new().await;
    let one = harness.put("A", 1, "one").await;
    for _ in 0..3 {
        assert!(harness.changes(&one).await.is_empty());
    }
    let before = harness.connect.state().log.len();
    for _ in 0..10 {
        assert!(harness.changes(&one).await.is_empty());
    }
    let log = harness.connect.state().log[before..].to_vec();
    assert_eq!(log.len(), 10, "{log:?}");
}

#[tokio::test]
async fn an_edit_of_the_record_is_reported_and_loses_nothing() {
    let harness = TestStore::new().await;
    let one = harness.put("A", 1, "one").await;
    assert!(harness.changes(&one).await.is_empty());
    harness.connect.state().type_in("enclii/shop.prod.api/A#v1", "value", "in the wrong place");
    // The current item still has the value, so reads succeed.
    assert_eq!(harness.get("A", &one).await.unwrap(), "one");
    let changed = harness.changes(&one).await;
    assert_eq!((changed.len(), text(&changed[0])), (1, "in the wrong place"));
    let two = harness.put("A", 2, "in the wrong place").await;
    for _ in 0..3 {
        assert!(harness.changes(&two).await.is_empty());
    }
    assert_eq!(harness.shown().as_deref(), Some("in the wrong place"));
    assert_eq!(harness.get("A", &one).await.unwrap(), "one");
    let record = harness.connect.state().titled("enclii/shop.prod.api/A#v1").remove(0);
    assert_eq!(record["fields"][0]["value"], "one");
}

#[tokio::test]
async fn added_fields_are_kept_and_a_broken_item_is_left_alone() {
    let harness = TestStore::new().await;
    let one = harness.put("A", 1, "one").await;
    assert!(harness.changes(&one).await.is_empty());
    harness.connect.state().edit(CURRENT, |item| {
        item["fields"].as_array_mut().unwrap().extend([
            json!({
                "id": "n", "type": "STRING", "purpose": "NOTES", "label": "notesPlain",
                "value": "ask Ada",
            }),
            json!({
                "id": "o", "type": "OTP", "label": "code", "value": "otpauth://totp/x",
                "totp": "123456", "section": {"id": "gone"},
            }),
        ]);
        item["tags"] = json!(["enclii", "theirs"]);
    });
    assert!(harness.changes(&one).await.is_empty());
    let two = harness.put("A", 2, "two").await;
    assert!(harness.changes(&two).await.is_empty());
    let item = harness.connect.state().titled(CURRENT).remove(0);
    assert_eq!(
        (item["fields"][0]["value"].as_str(), item["fields"].as_array().unwrap().len()),
        (Some("two"), 5)
    );
    assert_eq!(item["tags"], json!(["enclii", "theirs"]));
    // Two fields with the label are ambiguous, so nothing is adopted and nothing overwritten.
    harness.connect.state().edit(CURRENT, |item| {
        let field = json!({"id": "v", "type": "CONCEALED", "label": "value", "value": "which?"});
        item["fields"].as_array_mut().unwrap().push(field);
    });
    let other = harness.put("B", 1, "b").await;
    let all = [known("A", &two), known("B", &other)];
    assert!(harness.store.poll_changes(&all).await.unwrap().is_empty());
    assert!(harness.store.poll_changes(&all).await.unwrap().is_empty());
    // Other secrets are still checked.
    harness.connect.state().type_in("enclii/shop.prod.api/B", "value", "edited");
    let changed = harness.store.poll_changes(&all).await.unwrap();
    assert_eq!((changed.len(), changed[0].name.as_str(), text(&changed[0])), (1, "B", "edited"));
    // Repaired by the person, it is an edit again.
    harness.connect.state().edit(CURRENT, |item| {
        item["fields"]
            .as_array_mut()
            .unwrap()
            .retain(|field| field["id"] == "v" || field["label"] != "value");
    });
    let changed = harness.store.poll_changes(&all).await.unwrap();
    assert_eq!(changed.iter().map(text).collect::<Vec<_>>(), ["which?", "edited"]);
}

#[tokio::test]
async fn a_deleted_current_item_is_recreated_and_copies_are_removed() {
    let harness = TestStore::new().await;
    let one = harness.put("A", 1, "one").await;
    assert!(harness.changes(&one).await.is_empty());
    harness.connect.state().trash(CURRENT);
    assert!(harness.changes(&one).await.is_empty());
    assert_eq!(harness.shown().as_deref(), Some("one"));
    harness.connect.state().duplicate(CURRENT);
    // The next change of any kind makes the backend look at it.
    let two = harness.put("A", 2, "two").await;
    for _ in 0..3 {
        assert!(harness.changes(&two).await.is_empty());
    }
    assert_eq!(harness.connect.state().titled(CURRENT).len(), 1);
    assert_eq!(harness.shown().as_deref(), Some("two"));
}

#[tokio::test]
async fn destroying_or_deleting_removes_the_current_item() {
    let harness = TestStore::new().await;
    let (one, two) = (harness.put("A", 1, "one").await, harness.put("A", 2, "two").await);
    assert!(harness.changes(&two).await.is_empty());
    harness.store.destroy(&scope(), &secret("A"), &two).await.unwrap();
    assert_eq!(harness.shown(), None);
    assert!(harness.changes(&one).await.is_empty());
    assert_eq!(harness.shown().as_deref(), Some("one"));
    harness.store.delete(&scope(), &secret("A")).await.unwrap();
    assert!(harness.connect.state().titles().is_empty());
}

#[tokio::test]
async fn binary_values_can_be_edited() {
    let harness = TestStore::new().await;
    let (name, value) = (secret("A"), contract::Redacted::from(b"\xff\x00".as_slice()));
    let put = lockbox::Put { name: &name, version: contract::Version(1), value: &value };
    let reference = harness.store.write(&scope(), &[put]).await.unwrap().remove(0);
    let one = StoredVersion { version: contract::Version(1), reference };
    assert!(harness.changes(&one).await.is_empty());
    assert_eq!(harness.shown().as_deref(), Some("base64:/wA="));
    harness.connect.state().type_in(CURRENT, "value", "base64:/wE=");
    assert_eq!(harness.changes(&one).await[0].value.expose(), b"\xff\x01");
    harness.connect.state().type_in(CURRENT, "value", "base64:no");
    assert!(harness.changes(&one).await.is_empty());
    harness.connect.state().type_in(CURRENT, "value", "words");
    assert_eq!(harness.changes(&one).await[0].value.expose(), b"words");
}
