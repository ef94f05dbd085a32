//! An attacker who can write to the database restores, swaps, truncates and changes rows.

use std::collections::BTreeSet;

use lockbox::database::query_built;
use lockbox::seal::SealError;
use lockbox::{Embedded, StoreError, StoredVersion};
use proptest::prelude::*;

use crate::harness::{TestDatabase, get, put};

const ALL: &str = "reference, scope, name, version, format, key_id, wrapped_key, sealed";

/// The read fails, and the error names the row and contains no value.
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

struct TamperFixture {
    database: TestDatabase,
    store: Embedded,
    older: StoredVersion,
    current: StoredVersion,
    other: StoredVersion,
}

impl TamperFixture {
    async fn new() -> Self {
        let database = TestDatabase::new().await;
        let store = database.open("key", &[]).await;
        let older = put(&store, "A", 1, "older value").await;
        let current = put(&store, "A", 2, "current value").await;
        let other = put(&store, "B", 1, "another value").await;
        Self { database, store, older, current, other }
    }

    async fn read(&self) -> Result<String, StoreError> {
        get(&self.store, "A", &self.current).await
    }

    async fn other_rows_open(&self, what: &str) {
        assert_eq!(get(&self.store, "A", &self.older).await.unwrap(), "older value", "{what}");
        assert_eq!(get(&self.store, "B", &self.other).await.unwrap(), "another value", "{what}");
    }
}

/// The target is version 2 of A; the sources are its version 1 and B.
#[tokio::test]
async fn replaced_rows_do_not_open() {
    let from = |columns: &str, whose: &str| {
        format!(
            "UPDATE lockbox_values SET ({columns}) = (SELECT {columns} FROM lockbox_values WHERE \
             {whose}) WHERE name = 'A' AND version = 2"
        )
    };
    let attacks = ["name = 'B'", "name = 'A' AND version = 1"].into_iter().flat_map(|whose| {
        ["wrapped_key, sealed", "wrapped_key", "sealed", "wrapped_key, sealed, format, key_id"]
            .map(|columns| from(columns, whose))
    });
    for attack in attacks {
        let fixture = TamperFixture::new().await;
        assert_eq!(fixture.database.run(&attack).await, 1, "{attack}");
        refused(&fixture.read().await, &attack);
        fixture.other_rows_open(&attack).await;
    }
}

#[tokio::test]
async fn swapped_rows_do_not_open() {
    let fixture = TamperFixture::new().await;
    for sql in [
        "CREATE TABLE swap AS SELECT name, wrapped_key, sealed FROM lockbox_values WHERE version \
         = 2 OR name = 'B'",
        "UPDATE lockbox_values SET (wrapped_key, sealed) = (SELECT wrapped_key, sealed FROM swap \
         WHERE swap.name <> lockbox_values.name) WHERE version = 2 OR name = 'B'",
    ] {
        fixture.database.run(sql).await;
    }
    refused(&fixture.read().await, "exchanged");
    assert!(matches!(
        get(&fixture.store, "B", &fixture.other).await,
        Err(StoreError::Seal(SealError::Integrity(_)))
    ));
    assert_eq!(get(&fixture.store, "A", &fixture.older).await.unwrap(), "older value");
}

/// The whole older row, under the current reference, version and name.
#[tokio::test]
async fn an_older_row_disguised_as_the_current_one_does_not_open() {
    let fixture = TamperFixture::new().await;
    fixture.database.run(&format!("CREATE TABLE kept AS SELECT {ALL} FROM lockbox_values")).await;
    fixture.database.run("DELETE FROM lockbox_values WHERE name = 'A'").await;
    let insert = format!(
        "INSERT INTO lockbox_values ({ALL}) SELECT '{}', scope, name, 2, format, key_id, \
         wrapped_key, sealed FROM kept WHERE name = 'A' AND version = 1",
        fixture.current.reference
    );
    assert_eq!(fixture.database.run(&insert).await, 1);
    refused(&fixture.read().await, "put back");
    assert_eq!(get(&fixture.store, "B", &fixture.other).await.unwrap(), "another value");
}

/// Another seal of the same id, made by a writer that has the key. The ledger knows only the one
/// that was acknowledged.
#[tokio::test]
async fn another_value_of_the_same_version_does_not_open() {
    let fixture = TamperFixture::new().await;
    let forged = put(&fixture.store, "A", 2, "forged value").await;
    let columns = "wrapped_key, sealed";
    fixture
        .database
        .run(&format!(
            "UPDATE lockbox_values SET ({columns}) = (SELECT {columns} FROM lockbox_values WHERE \
             reference = '{forged}') WHERE reference = '{}'",
            fixture.current.reference,
            forged = forged.reference
        ))
        .await;
    refused(&fixture.read().await, "forged");
    // Nor does it open under the acknowledged reference, with or without its hash.
    let token = fixture.current.reference.as_str().split_once('.').unwrap().0.to_owned();
    for reference in [fixture.current.reference.as_str(), token.as_str()] {
        fixture.database.run("DELETE FROM lockbox_values WHERE name = 'A' AND version = 2").await;
        let again = put(&fixture.store, "A", 2, "forged value").await;
        fixture
            .database
            .run(&format!(
                "UPDATE lockbox_values SET reference = '{reference}' WHERE reference = '{}'",
                again.reference
            ))
            .await;
        let asked = StoredVersion {
            reference: lockbox::Reference::new(reference.to_owned()),
            ..fixture.current.clone()
        };
        refused(&get(&fixture.store, "A", &asked).await, reference);
    }
}

#[tokio::test]
async fn a_partially_restored_destroyed_row_does_not_open() {
    let fixture = TamperFixture::new().await;
    for (column, rest) in [("wrapped_key", "sealed"), ("sealed", "wrapped_key")] {
        fixture
            .database
            .run(&format!("UPDATE lockbox_values SET {column} = NULL WHERE version = 2"))
            .await;
        refused(&fixture.read().await, rest);
        fixture
            .database
            .run(&format!(
                "UPDATE lockbox_values SET {column} = (SELECT {column} FROM \
                 lockbox_values WHERE name = 'B') WHERE version = 2"
            ))
            .await;
        refused(&fixture.read().await, column);
    }
}

#[tokio::test]
async fn rows_with_a_wrong_format_or_key_id_do_not_open() {
    let fixture = TamperFixture::new().await;
    for (column, value) in [
        ("format", "0"),
        ("format", "1"),
        ("format", "3"),
        ("format", "999"),
        ("format", "-1"),
        ("key_id", "'ffff'"),
    ] {
        let kept = fixture
            .database
            .text(&format!("SELECT CAST({column} AS TEXT) FROM lockbox_values WHERE version = 2"))
            .await;
        fixture
            .database
            .run(&format!("UPDATE lockbox_values SET {column} = {value} WHERE version = 2"))
            .await;
        refused(&fixture.read().await, &format!("{column} = {value}"));
        fixture
            .database
            .run(&format!("UPDATE lockbox_values SET {column} = '{kept}' WHERE version = 2"))
            .await;
    }
    assert_eq!(fixture.read().await.unwrap(), "current value");
}

/// Every length, and every bit of both parts.
#[tokio::test]
async fn truncated_or_flipped_bytes_do_not_open() {
    let fixture = TamperFixture::new().await;
    for column in ["wrapped_key", "sealed"] {
        let good = fixture
            .database
            .bytes(&format!("SELECT {column} FROM lockbox_values WHERE version = 2"))
            .await;
        let cut = (0..good.len()).map(|length| good[..length].to_vec());
        let flipped = (0..good.len() * 8).map(|bit| {
            let mut bytes = good.clone();
            bytes[bit / 8] ^= 1 << (bit % 8);
            bytes
        });
        for bytes in cut.chain(flipped) {
            set(&fixture.database, column, &bytes).await;
            refused(&fixture.read().await, column);
        }
        set(&fixture.database, column, &good).await;
        assert_eq!(fixture.read().await.unwrap(), "current value");
    }
    fixture.other_rows_open("after all").await;
}

async fn set(database: &TestDatabase, column: &str, bytes: &[u8]) {
    let sql = format!("UPDATE lockbox_values SET {column} = $1 WHERE version = 2");
    database.database.execute(query_built(sql).bind(bytes)).await.unwrap();
}

/// One change: some columns of one row, copied from another.
fn change() -> impl Strategy<Value = (usize, usize, BTreeSet<usize>)> {
    (0..6usize, 0..6usize, prop::collection::btree_set(0..5usize, 1..6))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, ..ProptestConfig::default() })]

    /// Whatever columns are copied between rows, a read returns the value that was written there or
    /// fails with an error that names the row.
    #[test]
    fn mixing_rows_never_yields_another_value(changes in prop::collection::vec(change(), 1..6)) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let database = TestDatabase::new().await;
            let store = database.open("key", &[]).await;
            let mut rows = Vec::new();
            for (name, version) in [("A", 1), ("A", 2), ("A", 3), ("B", 1), ("B", 2), ("C", 1)] {
                let stored = put(&store, name, version, &format!("{name} {version}")).await;
                rows.push((name, version, stored));
            }
            for (to, from, columns) in changes {
                let all = ["wrapped_key", "sealed", "format", "key_id", "version"];
                let columns = columns.into_iter().map(|at| all[at]).collect::<Vec<_>>().join(", ");
                database.run(&format!(
                    "UPDATE lockbox_values SET ({columns}) = (SELECT {columns} FROM \
                     lockbox_values WHERE reference = '{}') WHERE reference = '{}'",
                    rows[from].2.reference, rows[to].2.reference
                )).await;
            }
            for (name, version, stored) in &rows {
                match get(&store, name, stored).await {
                    Ok(value) => assert_eq!(value, format!("{name} {version}")),
                    Err(StoreError::Seal(error)) => {
                        assert!(error.to_string().contains(&format!("shop.prod.api/{name} version \
                             {version} (")), "{error}");
                    }
                    Err(other) => panic!("{other}"),
                }
            }
        });
    }
}
