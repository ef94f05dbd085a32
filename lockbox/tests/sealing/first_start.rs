//! The first start records the key that the database is sealed under.

use lockbox::embedded::EmbeddedError;
use lockbox::key::{KeyFileError, KeyId};
use lockbox::key_source::KeyError;
use lockbox::{Embedded, KeyConfig};

use crate::harness::{TestDatabase, get, put};

/// The id of the key in a file.
fn name(database: &TestDatabase, file: &str) -> KeyId {
    database.file(file).read().unwrap().key_id().clone()
}

/// Creates a key file.
fn make(database: &TestDatabase, file: &str) -> KeyId {
    database.file(file).load(None).unwrap().key_id().clone()
}

#[tokio::test]
async fn a_second_key_is_refused_before_there_is_a_value() {
    let database = TestDatabase::new().await;
    let store = database.open("one", &[]).await;
    make(&database, "two");
    let error = database.try_open("two", &[]).await.unwrap_err();
    let EmbeddedError::WrongKey { recorded, .. } = &error else { panic!("{error}") };
    assert_eq!(*recorded, name(&database, "one"));
    let text = error.to_string();
    for part in [
        name(&database, "one").as_str(),
        name(&database, "two").as_str(),
        "--key-file",
        "--key-previous",
        "--key-lost",
    ] {
        assert!(text.contains(part), "{part}: {text}");
    }
    // A missing file is not created either.
    let error = database.try_open("three", &[]).await.unwrap_err();
    assert!(
        matches!(&error, EmbeddedError::Key(KeyError::File(KeyFileError::Missing { .. }))),
        "{error}"
    );
    assert!(!database.path("three").exists());
    // The first store is unaffected, and its key opens the database from any path.
    let stored = put(&store, "A", 1, "value").await;
    std::fs::copy(database.path("one"), database.path("copy")).unwrap();
    assert_eq!(get(&database.open("copy", &[]).await, "A", &stored).await.unwrap(), "value");
}

#[tokio::test]
async fn only_one_of_two_concurrent_starts_records_its_key() {
    for _ in 0..8 {
        let database = TestDatabase::new().await;
        let (one, two) = tokio::join!(database.try_open("one", &[]), database.try_open("two", &[]));
        let (winner, error) = match (one, two) {
            (Ok(_), Err(error)) => ("one", error),
            (Err(error), Ok(_)) => ("two", error),
            (one, two) => panic!("{:?} {:?}", one.err(), two.err()),
        };
        assert!(matches!(error, EmbeddedError::WrongKey { .. } | EmbeddedError::Key(_)), "{error}");
        database.open(winner, &[]).await;
    }
}

#[tokio::test]
async fn another_key_takes_over_if_the_first_is_given_too() {
    let database = TestDatabase::new().await;
    database.open("old", &[]).await;
    make(&database, "new");
    // The two rounds of several replicas: all have the new key, then all use it. A replica that
    // restarts in between with the old configuration is accepted.
    database.open("old", &["new"]).await;
    database.open("new", &["old"]).await;
    database.open("old", &["new"]).await;
    database.open("new", &["old"]).await;
    database.open("new", &[]).await;
    assert!(matches!(database.try_open("old", &[]).await, Err(EmbeddedError::WrongKey { .. })));
}

#[tokio::test]
async fn a_database_without_a_recorded_key_records_the_one_that_opens_it() {
    let database = TestDatabase::new().await;
    let stored = put(&database.open("key", &[]).await, "A", 1, "value").await;
    assert_eq!(database.run("DELETE FROM lockbox_key").await, 1);
    make(&database, "another");
    assert!(matches!(
        database.try_open("another", &[]).await,
        Err(EmbeddedError::KeyMissing { rows: 1, .. })
    ));
    assert_eq!(get(&database.open("key", &[]).await, "A", &stored).await.unwrap(), "value");
    assert_eq!(
        database.text("SELECT name FROM lockbox_key").await,
        name(&database, "key").as_str()
    );
}

#[tokio::test]
async fn a_key_declared_lost_can_be_replaced() {
    let database = TestDatabase::new().await;
    database.open("gone", &[]).await;
    let lost = name(&database, "gone");
    std::fs::remove_file(database.path("gone")).unwrap();
    let keys = KeyConfig { lost: vec![lost], ..database.keys("new", &[]) };
    Embedded::with_keys(database.database.clone(), &keys).await.unwrap();
    // From now on the new key is recorded, and none has to be declared lost.
    database.open("new", &[]).await;
}
