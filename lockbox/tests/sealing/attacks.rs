//! Whoever can write to the database puts rows back, exchanges them, cuts them and changes them.

use std::collections::BTreeSet;

use lockbox::seal::SealError;
use lockbox::{Embedded, StoreError, Stored};
use proptest::prelude::*;

use crate::world::{World, get, put};

const ALL: &str = "reference, scope, name, version, format, key_id, wrapped_key, sealed";

/// It fails closed, with the row named and no value in its words.
fn refused(answer: &Result<String, StoreError>, what: &str) {
    match answer {
        Err(error @ StoreError::Seal(_)) => {
            let text = error.to_string();
            assert!(text.contains("shop.prod.api/A version 2 ("), "{what}: {text}");
            assert!(!text.contains("value"), "{what}: {text}");
        }
        other => panic!("{what}: {other:?}"),
    }
}

struct Scene {
    world: World,
    store: Embedded,
    older: Stored,
    current: Stored,
    other: Stored,
}

impl Scene {
    async fn new() -> Self {
        let world = World::new().await;
        let store = world.open("key", &[]).await;
        let older = put(&store, "A", 1, "older value").await;
        let current = put(&store, "A", 2, "current value").await;
        let other = put(&store, "B", 1, "another value").await;
        Self { world, store, older, current, other }
    }

    async fn read(&self) -> Result<String, StoreError> {
        get(&self.store, "A", &self.current).await
    }

    async fn bystanders_are_well(&self, what: &str) {
        assert_eq!(get(&self.store, "A", &self.older).await.unwrap(), "older value", "{what}");
        assert_eq!(get(&self.store, "B", &self.other).await.unwrap(), "another value", "{what}");
    }
}

/// `mine` is version 2 of A, `older` its version 1, `other` is B.
#[tokio::test]
async fn rows_that_take_each_others_place() {
    let from = |columns: &str, whose: &str| {
        format!(
            "UPDATE lockbox_values SET ({columns}) = (SELECT {columns} FROM lockbox_values WHERE {whose}) WHERE name = 'A' AND version = 2"
        )
    };
    let attacks = ["name = 'B'", "name = 'A' AND version = 1"].into_iter().flat_map(|whose| {
        ["wrapped_key, sealed", "wrapped_key", "sealed", "wrapped_key, sealed, format, key_id"]
            .map(|columns| from(columns, whose))
    });
    for attack in attacks {
        let scene = Scene::new().await;
        assert_eq!(scene.world.run(&attack).await, 1, "{attack}");
        refused(&scene.read().await, &attack);
        scene.bystanders_are_well(&attack).await;
    }
}

#[tokio::test]
async fn two_rows_exchanged() {
    let scene = Scene::new().await;
    for sql in [
        "CREATE TABLE swap AS SELECT name, wrapped_key, sealed FROM lockbox_values WHERE version = 2 OR name = 'B'",
        "UPDATE lockbox_values SET (wrapped_key, sealed) = (SELECT wrapped_key, sealed FROM swap WHERE swap.name <> lockbox_values.name) WHERE version = 2 OR name = 'B'",
    ] {
        scene.world.run(sql).await;
    }
    refused(&scene.read().await, "exchanged");
    assert!(matches!(
        get(&scene.store, "B", &scene.other).await,
        Err(StoreError::Seal(SealError::Integrity(_)))
    ));
    assert_eq!(get(&scene.store, "A", &scene.older).await.unwrap(), "older value");
}

/// The whole older row, dressed as the current one: under the current reference, version and place.
#[tokio::test]
async fn an_older_row_put_back_in_the_place_of_the_current_one() {
    let scene = Scene::new().await;
    scene.world.run(&format!("CREATE TABLE kept AS SELECT {ALL} FROM lockbox_values")).await;
    scene.world.run("DELETE FROM lockbox_values WHERE name = 'A'").await;
    let insert = format!(
        "INSERT INTO lockbox_values ({ALL}) SELECT '{}', scope, name, 2, format, key_id, wrapped_key, sealed FROM kept WHERE name = 'A' AND version = 1",
        scene.current.reference
    );
    assert_eq!(scene.world.run(&insert).await, 1);
    refused(&scene.read().await, "put back");
    assert_eq!(get(&scene.store, "B", &scene.other).await.unwrap(), "another value");
}

/// Another seal of the same place, as a writer makes it who has the key: the ledger knows the one
/// it acknowledged.
#[tokio::test]
async fn another_value_of_the_same_version_is_not_the_ledgers() {
    let scene = Scene::new().await;
    let forged = put(&scene.store, "A", 2, "forged value").await;
    let columns = "wrapped_key, sealed";
    scene
        .world
        .run(&format!(
            "UPDATE lockbox_values SET ({columns}) = (SELECT {columns} FROM lockbox_values WHERE reference = '{forged}') WHERE reference = '{}'",
            scene.current.reference,
            forged = forged.reference
        ))
        .await;
    refused(&scene.read().await, "forged");
    // Nor does it come in under the acknowledged reference, with or without its hash.
    let token = scene.current.reference.as_str().split_once('.').unwrap().0.to_owned();
    for reference in [scene.current.reference.as_str(), token.as_str()] {
        scene.world.run("DELETE FROM lockbox_values WHERE name = 'A' AND version = 2").await;
        let again = put(&scene.store, "A", 2, "forged value").await;
        scene
            .world
            .run(&format!(
                "UPDATE lockbox_values SET reference = '{reference}' WHERE reference = '{}'",
                again.reference
            ))
            .await;
        let asked = Stored {
            reference: lockbox::Reference::new(reference.to_owned()),
            ..scene.current.clone()
        };
        refused(&get(&scene.store, "A", &asked).await, reference);
    }
}

#[tokio::test]
async fn a_destroyed_row_put_back_from_before_is_the_ledgers_to_refuse_and_a_part_of_it_is_ours() {
    let scene = Scene::new().await;
    for (column, rest) in [("wrapped_key", "sealed"), ("sealed", "wrapped_key")] {
        scene
            .world
            .run(&format!("UPDATE lockbox_values SET {column} = NULL WHERE version = 2"))
            .await;
        refused(&scene.read().await, rest);
        scene
            .world
            .run(&format!("UPDATE lockbox_values SET {column} = (SELECT {column} FROM lockbox_values WHERE name = 'B') WHERE version = 2"))
            .await;
        refused(&scene.read().await, column);
    }
}

#[tokio::test]
async fn wrong_labels() {
    let scene = Scene::new().await;
    for (column, value) in [
        ("format", "0"),
        ("format", "1"),
        ("format", "3"),
        ("format", "999"),
        ("format", "-1"),
        ("key_id", "'ffff'"),
    ] {
        let kept = scene
            .world
            .text(&format!("SELECT CAST({column} AS TEXT) FROM lockbox_values WHERE version = 2"))
            .await;
        scene
            .world
            .run(&format!("UPDATE lockbox_values SET {column} = {value} WHERE version = 2"))
            .await;
        refused(&scene.read().await, &format!("{column} = {value}"));
        scene
            .world
            .run(&format!("UPDATE lockbox_values SET {column} = '{kept}' WHERE version = 2"))
            .await;
    }
    assert_eq!(scene.read().await.unwrap(), "current value");
}

/// Every length, and every bit of both parts.
#[tokio::test]
async fn nothing_can_be_cut_or_flipped() {
    let scene = Scene::new().await;
    for column in ["wrapped_key", "sealed"] {
        let good = scene
            .world
            .bytes(&format!("SELECT {column} FROM lockbox_values WHERE version = 2"))
            .await;
        let cut = (0..good.len()).map(|length| good[..length].to_vec());
        let flipped = (0..good.len() * 8).map(|bit| {
            let mut bytes = good.clone();
            bytes[bit / 8] ^= 1 << (bit % 8);
            bytes
        });
        for bytes in cut.chain(flipped) {
            set(&scene.world, column, &bytes).await;
            refused(&scene.read().await, column);
        }
        set(&scene.world, column, &good).await;
        assert_eq!(scene.read().await.unwrap(), "current value");
    }
    scene.bystanders_are_well("after all").await;
}

async fn set(world: &World, column: &str, bytes: &[u8]) {
    let sql = format!("UPDATE lockbox_values SET {column} = $1 WHERE version = 2");
    sqlx::query(sqlx::AssertSqlSafe(sql))
        .bind(bytes.to_vec())
        .execute(world.database.writer())
        .await
        .unwrap();
}

/// One change: some columns of one row, taken from another.
fn change() -> impl Strategy<Value = (usize, usize, BTreeSet<usize>)> {
    (0..6usize, 0..6usize, prop::collection::btree_set(0..5usize, 1..6))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, ..ProptestConfig::default() })]

    /// Whatever columns are copied from row to row, a read gives the value that was written there,
    /// or fails with that row named.
    #[test]
    fn no_mixture_of_rows_gives_another_value(changes in prop::collection::vec(change(), 1..6)) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let world = World::new().await;
            let store = world.open("key", &[]).await;
            let mut rows = Vec::new();
            for (name, version) in [("A", 1), ("A", 2), ("A", 3), ("B", 1), ("B", 2), ("C", 1)] {
                rows.push((name, version, put(&store, name, version, &format!("{name} {version}")).await));
            }
            for (to, from, columns) in changes {
                let all = ["wrapped_key", "sealed", "format", "key_id", "version"];
                let columns = columns.into_iter().map(|at| all[at]).collect::<Vec<_>>().join(", ");
                world.run(&format!(
                    "UPDATE lockbox_values SET ({columns}) = (SELECT {columns} FROM lockbox_values WHERE reference = '{}') WHERE reference = '{}'",
                    rows[from].2.reference, rows[to].2.reference
                )).await;
            }
            for (name, version, stored) in &rows {
                match get(&store, name, stored).await {
                    Ok(value) => assert_eq!(value, format!("{name} {version}")),
                    Err(StoreError::Seal(error)) => {
                        assert!(error.to_string().contains(&format!("shop.prod.api/{name} version {version} (")), "{error}");
                    }
                    Err(other) => panic!("{other}"),
                }
            }
        });
    }
}
