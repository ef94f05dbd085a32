//! Writes happen exactly once and completely or not at all, and values are read only by reference.

use std::time::Duration;

use contract::{Redacted, Version};
use lockbox::conformance::ConformanceStore as _;
use lockbox::onepassword::{ConnectError, ItemError};
use lockbox::{Put, Store, StoreError, StoredVersion};

use super::fake_connect::Connect;
use super::{TestStore, error_chain, put, scope, secret};

const RECORD: &str = "enclii/shop.prod.api/A#v1";

fn connect_error(error: &StoreError) -> &ConnectError {
    let StoreError::Backend { source, .. } = error else { panic!("{error}") };
    source.downcast_ref().unwrap_or_else(|| panic!("{}", error_chain(error)))
}

#[tokio::test]
async fn the_value_is_visible_in_the_item_and_nowhere_else() {
    let harness = TestStore::new().await;
    let stored = harness.put("A", 1, "hunter2").await;
    let item = harness.connect.state().titled(RECORD).remove(0);
    assert_eq!(item["fields"][0]["value"], "hunter2");
    assert_eq!(item["fields"][0]["type"], "CONCEALED");
    assert!(stored.reference.as_str().starts_with(item["id"].as_str().unwrap()));
    assert!(
        !format!("{:?}{stored:?}", harness.store).contains("hunter2")
            && !format!("{:?}", harness.store).contains(Connect::TOKEN)
    );
}

#[tokio::test]
async fn a_lost_answer_creates_no_second_item() {
    // The answer is lost, the connection hangs, or the item is created twice.
    for (lost, hanging, double) in [(1, 0, 0), (0, 1, 0), (0, 0, 1), (2, 0, 1)] {
        for delay in [0, 400] {
            let harness = TestStore::new().await;
            {
                let mut connect = harness.connect.state();
                (connect.lost_posts, connect.hanging_posts, connect.double_posts) =
                    (lost, hanging, double);
                connect.delay = Duration::from_millis(delay);
            }
            let stored = harness.put("A", 1, "one").await;
            assert_eq!(harness.get("A", &stored).await.unwrap(), "one");
            assert_eq!(
                harness.connect.state().titled(RECORD).len(),
                1,
                "{lost} {hanging} {double} {delay}"
            );
            assert_eq!(
                harness.store.list_versions(&scope(), &secret("A")).await.unwrap(),
                [stored]
            );
        }
    }
}

#[tokio::test]
async fn a_write_that_does_not_become_visible_is_an_error() {
    let harness =
        TestStore::with(|config| config.visibility_timeout = Duration::from_millis(300)).await;
    harness.connect.state().delays.push(("/SLOW#".to_owned(), Duration::from_secs(3600)));
    let error = put(&harness.store, "SLOW", 1, "x").await.unwrap_err();
    assert!(
        matches!(connect_error(&error), ConnectError::NotVisible { .. }),
        "{}",
        error_chain(&error)
    );
    assert!(
        error_chain(&error).contains("enclii/shop.prod.api/SLOW#v1"),
        "{}",
        error_chain(&error)
    );
    // It is rolled back, so that it does not become visible later.
    assert!(harness.connect.state().titled("enclii/shop.prod.api/SLOW#v1").is_empty());
}

#[tokio::test]
async fn a_failed_write_of_several_values_is_rolled_back() {
    let harness =
        TestStore::with(|config| config.visibility_timeout = Duration::from_millis(400)).await;
    harness.connect.state().delays.push(("/C#".to_owned(), Duration::from_secs(3600)));
    let names = ["A", "B", "C"].map(secret);
    let value = Redacted::from("x".to_owned());
    let puts: Vec<Put<'_>> =
        names.iter().map(|name| Put { name, version: Version(1), value: &value }).collect();
    harness.store.write(&scope(), &puts).await.unwrap_err();
    assert_eq!(harness.connect.state().titles(), [""; 0]);
    assert!(!harness.store.capabilities().atomic_writes);
}

#[tokio::test]
async fn an_unacknowledged_item_is_neither_read_nor_blocking() {
    let harness = TestStore::new().await;
    let orphan = harness.put("A", 1, "orphan").await;
    let second = harness.put("A", 1, "one").await;
    assert_ne!(orphan.reference, second.reference);
    assert_eq!(harness.get("A", &second).await.unwrap(), "one");
    assert_eq!(harness.get("A", &orphan).await.unwrap(), "orphan");
    harness.store.destroy(&scope(), &secret("A"), &orphan).await.unwrap();
    assert!(matches!(harness.get("A", &orphan).await, Err(StoreError::NotFound(_))));
    assert_eq!(harness.store.list_versions(&scope(), &secret("A")).await.unwrap(), [second]);
}

#[tokio::test(flavor = "multi_thread")]
async fn two_replicas_can_write_to_one_vault() {
    let harness = TestStore::new().await;
    harness.connect.state().delay = Duration::from_millis(100);
    let other = harness.replica();
    let (one, two) = tokio::join!(put(&harness.store, "A", 1, "one"), put(&other, "A", 1, "two"));
    let (one, two) = (one.unwrap(), two.unwrap());
    // Both exist, each under its own reference. The ledger takes one of them.
    assert_eq!(harness.get("A", &one).await.unwrap(), "one");
    assert_eq!(harness.get("A", &two).await.unwrap(), "two");
    // A rotation on a value that the other replica replaced is refused.
    let base = harness.put("B", 1, "base").await;
    let (name, value) = (secret("B"), Redacted::from("x".to_owned()));
    let rotation = |version| Put { name: &name, version: Version(version), value: &value };
    let next = other.rotate(&scope(), rotation(2), &base.reference).await.unwrap();
    match harness.store.rotate(&scope(), rotation(2), &base.reference).await {
        Err(StoreError::Conflict { newest, .. }) => assert_eq!(newest, next),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn an_item_with_a_duplicate_label_is_named() {
    let harness = TestStore::new().await;
    let stored = harness.put("A", 1, "one").await;
    harness.connect.state().edit(RECORD, |item| {
        let field = item["fields"][0].clone();
        item["fields"].as_array_mut().unwrap().push(field);
    });
    let error = harness.get("A", &stored).await.unwrap_err();
    assert!(
        matches!(
            connect_error(&error),
            ConnectError::Item { source: ItemError::Duplicate("value", 2), .. }
        ),
        "{}",
        error_chain(&error)
    );
    assert!(error_chain(&error).contains(RECORD), "{}", error_chain(&error));
}

#[tokio::test]
async fn an_edited_record_is_not_read_as_the_written_value() {
    let harness = TestStore::new().await;
    let (one, two) = (harness.put("A", 1, "one").await, harness.put("A", 2, "two").await);
    harness.connect.state().type_in(RECORD, "value", "edited");
    let error = harness.get("A", &one).await.unwrap_err();
    assert!(
        matches!(connect_error(&error), ConnectError::Edited { .. }),
        "{}",
        error_chain(&error)
    );
    assert!(
        error_chain(&error).contains(RECORD) && !error_chain(&error).contains("edited\""),
        "{}",
        error_chain(&error)
    );
    assert_eq!(harness.get("A", &two).await.unwrap(), "two");
    // Other changes to the item do not affect the value.
    harness
        .connect
        .state()
        .edit("enclii/shop.prod.api/A#v2", |item| item["tags"] = serde_json::json!(["mine"]));
    assert_eq!(harness.get("A", &two).await.unwrap(), "two");
    // A copy of the item holds the value under another id.
    harness.connect.state().duplicate("enclii/shop.prod.api/A#v2");
    harness.connect.state().trash("enclii/shop.prod.api/A#v2");
    assert_eq!(harness.get("A", &two).await.unwrap(), "two");
    harness.store.destroy(&scope(), &secret("A"), &two).await.unwrap();
    assert!(matches!(harness.get("A", &two).await, Err(StoreError::NotFound(_))));
}

#[tokio::test]
async fn a_mismatched_reference_reads_nothing() {
    let harness = TestStore::new().await;
    let (one, two) = (harness.put("A", 1, "one").await, harness.put("A", 2, "two").await);
    let mixed = StoredVersion { version: two.version, reference: one.reference.clone() };
    assert!(harness.get("A", &mixed).await.is_err());
    let swapped = format!(
        "{}:{}",
        one.reference.as_str().split(':').next().unwrap(),
        two.reference.as_str().split(':').nth(1).unwrap()
    );
    let swapped =
        StoredVersion { version: one.version, reference: lockbox::Reference::new(swapped) };
    assert!(harness.get("A", &swapped).await.is_err());
}
