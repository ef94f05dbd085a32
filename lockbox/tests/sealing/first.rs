//! Which key the database is sealed under is settled by its first start.

use lockbox::embedded::EmbeddedError;
use lockbox::key::{KeyError, KeyFileError, KeyId};
use lockbox::{Embedded, Keys};

use crate::world::{World, get, put};

/// The name of the key in a file.
fn name(world: &World, file: &str) -> KeyId {
    world.file(file).read().unwrap().key_id().clone()
}

/// Makes a key as `openssl rand` would.
fn make(world: &World, file: &str) -> KeyId {
    world.file(file).load(None).unwrap().key_id().clone()
}

#[tokio::test]
async fn a_second_key_is_refused_before_there_is_a_value() {
    let world = World::new().await;
    let store = world.open("one", &[]).await;
    make(&world, "two");
    let error = world.try_open("two", &[]).await.unwrap_err();
    let EmbeddedError::Another { recorded, .. } = &error else { panic!("{error}") };
    assert_eq!(*recorded, name(&world, "one"));
    let text = error.to_string();
    for part in [
        name(&world, "one").as_str(),
        name(&world, "two").as_str(),
        "--key-file",
        "--key-previous",
        "--key-lost",
    ] {
        assert!(text.contains(part), "{part}: {text}");
    }
    // Nor is a third one made where there is no file.
    let error = world.try_open("three", &[]).await.unwrap_err();
    assert!(
        matches!(&error, EmbeddedError::Key(KeyError::File(KeyFileError::Lost { .. }))),
        "{error}"
    );
    assert!(!world.path("three").exists());
    // The first one is not disturbed, and its key opens the database wherever it lies.
    let stored = put(&store, "A", 1, "value").await;
    std::fs::copy(world.path("one"), world.path("copy")).unwrap();
    assert_eq!(get(&world.open("copy", &[]).await, "A", &stored).await.unwrap(), "value");
}

#[tokio::test]
async fn of_two_that_start_at_once_one_settles_it() {
    for _ in 0..8 {
        let world = World::new().await;
        let (one, two) = tokio::join!(world.try_open("one", &[]), world.try_open("two", &[]));
        let (winner, error) = match (one, two) {
            (Ok(_), Err(error)) => ("one", error),
            (Err(error), Ok(_)) => ("two", error),
            (one, two) => panic!("{:?} {:?}", one.err(), two.err()),
        };
        assert!(matches!(error, EmbeddedError::Another { .. } | EmbeddedError::Key(_)), "{error}");
        world.open(winner, &[]).await;
    }
}

#[tokio::test]
async fn another_key_takes_over_where_the_first_is_known_too() {
    let world = World::new().await;
    world.open("old", &[]).await;
    make(&world, "new");
    // The two rounds of several replicas: all know the new key, then all use it, and one that
    // restarts in the middle as it was before is let in.
    world.open("old", &["new"]).await;
    world.open("new", &["old"]).await;
    world.open("old", &["new"]).await;
    world.open("new", &["old"]).await;
    world.open("new", &[]).await;
    assert!(matches!(world.try_open("old", &[]).await, Err(EmbeddedError::Another { .. })));
}

#[tokio::test]
async fn a_database_from_before_takes_the_key_that_opens_it() {
    let world = World::new().await;
    let stored = put(&world.open("key", &[]).await, "A", 1, "value").await;
    assert_eq!(world.run("DELETE FROM lockbox_key").await, 1);
    make(&world, "another");
    assert!(matches!(
        world.try_open("another", &[]).await,
        Err(EmbeddedError::Missing { rows: 1, .. })
    ));
    assert_eq!(get(&world.open("key", &[]).await, "A", &stored).await.unwrap(), "value");
    assert_eq!(world.text("SELECT name FROM lockbox_key").await, name(&world, "key").as_str());
}

#[tokio::test]
async fn a_key_that_is_given_up_makes_room_for_another() {
    let world = World::new().await;
    world.open("gone", &[]).await;
    let lost = name(&world, "gone");
    std::fs::remove_file(world.path("gone")).unwrap();
    let keys = Keys { lost: vec![lost], ..world.keys("new", &[]) };
    Embedded::with_keys(world.database.clone(), &keys).await.unwrap();
    // From now on it is the new one's, and nothing need be given up any more.
    world.open("new", &[]).await;
}
