//! What writes are worth: once, whole, or not at all; and who reads what.

use std::time::Duration;

use contract::{Redacted, Version};
use lockbox::onepassword::{ConnectError, ItemError};
use lockbox::{Put, Store, StoreError, Stored};

use super::connect::Connect;
use super::{World, put, said, scope, secret};

const RECORD: &str = "enclii/shop.prod.api/A#v1";

fn connect_error(error: &StoreError) -> &ConnectError {
    let StoreError::Backend { source, .. } = error else { panic!("{error}") };
    source.downcast_ref().unwrap_or_else(|| panic!("{}", said(error)))
}

#[tokio::test]
async fn people_see_the_value_and_nobody_else_does() {
    let world = World::new().await;
    let stored = world.put("A", 1, "hunter2").await;
    let item = world.connect.world().titled(RECORD).remove(0);
    assert_eq!(item["fields"][0]["value"], "hunter2");
    assert_eq!(item["fields"][0]["type"], "CONCEALED");
    assert!(stored.reference.as_str().starts_with(item["id"].as_str().unwrap()));
    assert!(
        !format!("{:?}{stored:?}", world.store).contains("hunter2")
            && !format!("{:?}", world.store).contains(Connect::TOKEN)
    );
}

#[tokio::test]
async fn an_answer_that_is_lost_makes_no_second_item() {
    // What is lost: the answer, the connection, or that it was done twice.
    for (lost, hanging, double) in [(1, 0, 0), (0, 1, 0), (0, 0, 1), (2, 0, 1)] {
        for delay in [0, 400] {
            let world = World::new().await;
            {
                let mut connect = world.connect.world();
                (connect.lost_posts, connect.hanging_posts, connect.double_posts) =
                    (lost, hanging, double);
                connect.delay = Duration::from_millis(delay);
            }
            let stored = world.put("A", 1, "one").await;
            assert_eq!(world.get("A", &stored).await.unwrap(), "one");
            assert_eq!(
                world.connect.world().titled(RECORD).len(),
                1,
                "{lost} {hanging} {double} {delay}"
            );
            assert_eq!(world.store.list_versions(&scope(), &secret("A")).await.unwrap(), [stored]);
        }
    }
}

#[tokio::test]
async fn a_write_that_does_not_show_is_an_error_that_says_so() {
    let world = World::with(|config| config.settle = Duration::from_millis(300)).await;
    world.connect.world().delays.push(("/SLOW#".to_owned(), Duration::from_secs(3600)));
    let error = put(&world.store, "SLOW", 1, "x").await.unwrap_err();
    assert!(matches!(connect_error(&error), ConnectError::Unsettled { .. }), "{}", said(&error));
    assert!(said(&error).contains("enclii/shop.prod.api/SLOW#v1"), "{}", said(&error));
    // It is taken back, so that it does not show one day.
    assert!(world.connect.world().titled("enclii/shop.prod.api/SLOW#v1").is_empty());
}

#[tokio::test]
async fn several_values_are_undone_together() {
    let world = World::with(|config| config.settle = Duration::from_millis(400)).await;
    world.connect.world().delays.push(("/C#".to_owned(), Duration::from_secs(3600)));
    let names = ["A", "B", "C"].map(secret);
    let value = Redacted::from("x".to_owned());
    let puts: Vec<Put<'_>> =
        names.iter().map(|name| Put { name, version: Version(1), value: &value }).collect();
    world.store.write(&scope(), &puts).await.unwrap_err();
    assert_eq!(world.connect.world().titles(), [""; 0]);
    assert!(!world.store.capabilities().atomic_writes);
}

#[tokio::test]
async fn a_dead_writers_item_is_neither_taken_nor_in_the_way() {
    let world = World::new().await;
    let orphan = world.put("A", 1, "orphan").await;
    let second = world.put("A", 1, "one").await;
    assert_ne!(orphan.reference, second.reference);
    assert_eq!(world.get("A", &second).await.unwrap(), "one");
    assert_eq!(world.get("A", &orphan).await.unwrap(), "orphan");
    world.store.destroy(&scope(), &secret("A"), &orphan).await.unwrap();
    assert!(matches!(world.get("A", &orphan).await, Err(StoreError::NotFound(_))));
    assert_eq!(world.store.list_versions(&scope(), &secret("A")).await.unwrap(), [second]);
}

#[tokio::test(flavor = "multi_thread")]
async fn two_replicas_write_to_one_vault() {
    let world = World::new().await;
    world.connect.world().delay = Duration::from_millis(100);
    let other = world.replica();
    let (one, two) = tokio::join!(put(&world.store, "A", 1, "one"), put(&other, "A", 1, "two"));
    let (one, two) = (one.unwrap(), two.unwrap());
    // Both are there, each under its own reference; the ledger takes one of them.
    assert_eq!(world.get("A", &one).await.unwrap(), "one");
    assert_eq!(world.get("A", &two).await.unwrap(), "two");
    // A rotation on what the other replica replaced is refused.
    let base = world.put("B", 1, "base").await;
    let (name, value) = (secret("B"), Redacted::from("x".to_owned()));
    let rotation = |version| Put { name: &name, version: Version(version), value: &value };
    let next = other.rotate(&scope(), rotation(2), &base.reference).await.unwrap();
    match world.store.rotate(&scope(), rotation(2), &base.reference).await {
        Err(StoreError::Conflict { newest, .. }) => assert_eq!(newest, next),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn an_item_with_a_label_twice_is_named() {
    let world = World::new().await;
    let stored = world.put("A", 1, "one").await;
    world.connect.world().edit(RECORD, |item| {
        let field = item["fields"][0].clone();
        item["fields"].as_array_mut().unwrap().push(field);
    });
    let error = world.get("A", &stored).await.unwrap_err();
    assert!(
        matches!(
            connect_error(&error),
            ConnectError::Item { source: ItemError::Duplicate("value", 2), .. }
        ),
        "{}",
        said(&error)
    );
    assert!(said(&error).contains(RECORD), "{}", said(&error));
}

#[tokio::test]
async fn a_record_that_was_edited_is_not_taken_for_what_was_written() {
    let world = World::new().await;
    let (one, two) = (world.put("A", 1, "one").await, world.put("A", 2, "two").await);
    world.connect.world().type_in(RECORD, "value", "edited");
    let error = world.get("A", &one).await.unwrap_err();
    assert!(matches!(connect_error(&error), ConnectError::Edited { .. }), "{}", said(&error));
    assert!(
        said(&error).contains(RECORD) && !said(&error).contains("edited\""),
        "{}",
        said(&error)
    );
    assert_eq!(world.get("A", &two).await.unwrap(), "two");
    // What the app adds around a value changes nothing.
    world
        .connect
        .world()
        .edit("enclii/shop.prod.api/A#v2", |item| item["tags"] = serde_json::json!(["mine"]));
    assert_eq!(world.get("A", &two).await.unwrap(), "two");
    // An item that was made anew from another one's fields holds the value, under another id.
    world.connect.world().duplicate("enclii/shop.prod.api/A#v2");
    world.connect.world().trash("enclii/shop.prod.api/A#v2");
    assert_eq!(world.get("A", &two).await.unwrap(), "two");
    world.store.destroy(&scope(), &secret("A"), &two).await.unwrap();
    assert!(matches!(world.get("A", &two).await, Err(StoreError::NotFound(_))));
}

#[tokio::test]
async fn a_ledger_that_points_elsewhere_gets_nothing() {
    let world = World::new().await;
    let (one, two) = (world.put("A", 1, "one").await, world.put("A", 2, "two").await);
    let mixed = Stored { version: two.version, reference: one.reference.clone() };
    assert!(world.get("A", &mixed).await.is_err());
    let swapped = format!(
        "{}:{}",
        one.reference.as_str().split(':').next().unwrap(),
        two.reference.as_str().split(':').nth(1).unwrap()
    );
    let swapped = Stored { version: one.version, reference: lockbox::Reference::new(swapped) };
    assert!(world.get("A", &swapped).await.is_err());
}
