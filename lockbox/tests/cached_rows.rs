//! Rows that are kept in memory: as current as those of the file.

#![expect(clippy::unwrap_used, reason = "a test may")]

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};

use lockbox::Database;
use lockbox::database::{Query, query};
use tokio_util::task::TaskTracker;

const CHANGES: i64 = 200;

async fn open(path: &Path) -> Database {
    let database = Database::open(path).await.unwrap();
    database.execute(query("CREATE TABLE it (n INTEGER NOT NULL)")).await.unwrap();
    database.execute(query("CREATE TABLE other (n INTEGER NOT NULL)")).await.unwrap();
    database.execute(query("INSERT INTO it (n) VALUES (0)")).await.unwrap();
    database
}

fn select() -> Query {
    query("SELECT n FROM it").cached(&["it"])
}

async fn number(database: &Database, query: Query) -> i64 {
    query.fetch_one(database.reader()).await.unwrap().scalar().unwrap()
}

#[tokio::test]
async fn rows_stay_in_memory_until_their_table_changes() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("test.db");
    let database = open(&path).await;
    assert_eq!(number(&database, select()).await, 0);
    // A change from outside, which the database does not hear of, shows where a row comes from.
    let outside = rusqlite::Connection::open(&path).unwrap();
    outside.execute("UPDATE it SET n = 7", []).unwrap();
    assert_eq!(number(&database, select()).await, 0);
    assert_eq!(number(&database, select().uncached()).await, 7);
    database.execute(query("INSERT INTO other (n) VALUES (1)")).await.unwrap();
    assert_eq!(number(&database, select()).await, 0);
    database.execute(query("UPDATE it SET n = n + 1")).await.unwrap();
    assert_eq!(number(&database, select()).await, 8);
    // A change that is rolled back drops rows as well, which is only slower.
    let refused = database
        .transaction(async move |connection: &mut lockbox::database::Connection| {
            query("UPDATE it SET n = 100").execute(connection).await?;
            Err::<(), _>(lockbox::database::DatabaseError::NoRow)
        })
        .await;
    refused.unwrap_err();
    assert_eq!(number(&database, select()).await, 8);
}

/// Whoever reads after somebody read a change, or after it was acknowledged, reads it as well.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn nobody_is_answered_with_an_older_state_than_somebody_before() {
    let directory = tempfile::tempdir().unwrap();
    let database = open(&directory.path().join("test.db")).await;
    let (seen, done) = (Arc::new(AtomicI64::new(0)), Arc::new(AtomicBool::new(false)));
    let tracker = TaskTracker::new();
    let readers: Vec<_> = (0..4)
        .map(|reader| {
            let (database, seen, done) = (database.clone(), seen.clone(), done.clone());
            tracker.spawn(async move {
                let mut reads = 0_u64;
                while !done.load(Ordering::SeqCst) {
                    let known = seen.load(Ordering::SeqCst);
                    let query = if reader == 0 { select().uncached() } else { select() };
                    let found = number(&database, query).await;
                    assert!(found >= known, "read {found} after {known}");
                    seen.fetch_max(found, Ordering::SeqCst);
                    reads += 1;
                    tokio::task::yield_now().await;
                }
                reads
            })
        })
        .collect();
    for change in 1..=CHANGES {
        database.execute(query("UPDATE it SET n = n + 1")).await.unwrap();
        seen.fetch_max(change, Ordering::SeqCst);
    }
    done.store(true, Ordering::SeqCst);
    for reader in readers {
        assert!(reader.await.unwrap() > 0);
    }
    assert_eq!(number(&database, select()).await, CHANGES);
}
