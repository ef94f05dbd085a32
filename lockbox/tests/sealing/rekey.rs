//! Changing the key.

use lockbox::embedded::{EmbeddedError, RewrapBatch, RewrapCursor};
use lockbox::key_source::KeySource;
use lockbox::{Embedded, KeyConfig, Store, StoreError, StoredVersion};

use crate::harness::{TestDatabase, get, put, scope, secret};

/// Runs all batches.
async fn rewrap(store: &Embedded) -> RewrapBatch {
    let current = store.current_key().await.unwrap();
    let mut all = RewrapBatch { next: Some(RewrapCursor::default()), ..RewrapBatch::default() };
    while let Some(from) = all.next {
        let RewrapBatch { done, failed, next } = store.rewrap(&current, from).await.unwrap();
        all.done += done;
        all.failed.extend(failed);
        all.next = next;
    }
    all
}

async fn filled(database: &TestDatabase, key: &str, count: u64) -> Vec<StoredVersion> {
    let store = database.open(key, &[]).await;
    let mut rows = Vec::new();
    for version in 1..=count {
        rows.push(put(&store, "A", version, &format!("value {version}")).await);
    }
    rows
}

async fn all_are_there(store: &Embedded, rows: &[StoredVersion]) {
    for stored in rows {
        assert_eq!(get(store, "A", stored).await.unwrap(), format!("value {}", stored.version));
    }
}

#[tokio::test]
async fn after_a_rekey_the_old_key_is_not_needed() {
    let database = TestDatabase::new().await;
    let rows = filled(&database, "old", 250).await;
    let store = database.open("new", &["old"]).await;
    all_are_there(&store, &rows).await;
    let new = put(&store, "A", 251, "value 251").await;
    assert_eq!(
        store.rekey_progress(&store.current_key().await.unwrap()).await.unwrap().remaining,
        250
    );
    // A key that rows still need cannot be left out. The error names it and the number of rows.
    let error = database.try_open("new", &[]).await.unwrap_err();
    assert!(matches!(error, EmbeddedError::KeyMissing { rows: 250, .. }), "{error}");
    let batch = rewrap(&store).await;
    assert_eq!((batch.done, batch.failed.len()), (250, 0));
    assert_eq!(rewrap(&store).await.done, 0, "there was something left to do");
    std::fs::remove_file(database.path("old")).unwrap();
    let store = database.open("new", &[]).await;
    all_are_there(&store, &rows).await;
    all_are_there(&store, &[new]).await;
}

#[tokio::test]
async fn rows_that_do_not_open_are_named_and_stay_as_they_are() {
    let database = TestDatabase::new().await;
    let rows = filled(&database, "old", 120).await;
    let damage = [
        "UPDATE lockbox_values SET wrapped_key = substr(wrapped_key, 2) WHERE version = 3",
        "UPDATE lockbox_values SET key_id = 'ffff' WHERE version = 50",
        "UPDATE lockbox_values SET format = 9 WHERE version = 51",
        "UPDATE lockbox_values SET scope = 'NO SCOPE' WHERE version = 100",
        "UPDATE lockbox_values SET sealed = NULL WHERE version = 101",
    ];
    for sql in damage {
        assert_eq!(database.run(sql).await, 1, "{sql}");
    }
    let picture = "SELECT group_concat(version || scope || format || key_id || hex(wrapped_key), \
         ' ') FROM lockbox_values WHERE version IN (3, 50, 51, 100, 101)";
    let before = database.text(picture).await;
    let store = database.open("new", &["old"]).await;
    let batch = rewrap(&store).await;
    assert_eq!(batch.done, 115, "{:?}", batch.failed);
    for version in [3, 50, 51, 100, 101] {
        assert!(
            batch.failed.iter().any(|failed| failed.contains(&format!("/A version {version} ("))),
            "{version}: {:?}",
            batch.failed
        );
    }
    assert_eq!(database.text(picture).await, before);
    for stored in rows.iter().filter(|stored| ![3, 50, 51, 100, 101].contains(&stored.version.0)) {
        assert_eq!(get(&store, "A", stored).await.unwrap(), format!("value {}", stored.version));
    }
    // The damaged rows still need the old key, except the one with a malformed key id.
    let error = database.try_open("new", &[]).await.unwrap_err();
    assert!(matches!(error, EmbeddedError::KeyMissing { rows: 4, .. }), "{error}");
}

#[tokio::test]
async fn a_lost_key_can_be_declared_by_its_id() {
    let database = TestDatabase::new().await;
    let rows = filled(&database, "old", 2).await;
    let missing = database.file("old").read().unwrap().key_id().clone();
    std::fs::remove_file(database.path("old")).unwrap();
    // The new key's file does not exist yet, and is not created while values need another key.
    assert!(matches!(database.try_open("new", &[]).await, Err(EmbeddedError::Key(_))));
    let keys = KeyConfig { lost: vec![missing], ..database.keys("new", &[]) };
    let store = Embedded::with_keys(database.database.clone(), &keys).await.unwrap();
    assert!(matches!(get(&store, "A", &rows[0]).await, Err(StoreError::Seal(_))));
    let new = put(&store, "A", 3, "value 3").await;
    all_are_there(&store, &[new]).await;
}

/// A change to a row between reading and updating it is not undone.
#[tokio::test]
async fn destroying_and_rewrapping_do_not_undo_each_other() {
    let database = TestDatabase::new().await;
    let rows = filled(&database, "old", 300).await;
    let store = database.open("new", &["old"]).await;
    let destroyed = async {
        for stored in rows.iter().step_by(3) {
            store.destroy(&scope(), &secret("A"), stored).await.unwrap();
        }
    };
    // Two at once, as with two replicas.
    let (one, two, ()) = tokio::join!(rewrap(&store), rewrap(&store), destroyed);
    assert!(one.failed.is_empty() && two.failed.is_empty());
    let store = database.open("new", &[]).await;
    for (at, stored) in rows.iter().enumerate() {
        match get(&store, "A", stored).await {
            Ok(value) => assert!(at % 3 != 0 && value == format!("value {}", stored.version)),
            Err(StoreError::Destroyed(_)) => assert_eq!(at % 3, 0),
            Err(other) => panic!("{other}"),
        }
    }
}

#[tokio::test]
async fn a_key_moves_from_a_file_to_a_command_and_keeps_its_name() {
    let database = TestDatabase::new().await;
    let rows = filled(&database, "key", 3).await;
    let source: KeySource =
        format!("command:/bin/cat {}", database.path("key").display()).parse().unwrap();
    let keys = KeyConfig { current: source, previous: Vec::new(), lost: Vec::new(), vault: None };
    let store = Embedded::with_keys(database.database.clone(), &keys).await.unwrap();
    all_are_there(&store, &rows).await;
    assert_eq!(
        store.rekey_progress(&store.current_key().await.unwrap()).await.unwrap().remaining,
        0
    );
}
