//! Changes of the database: committed in groups, each answered for itself.

#![expect(clippy::unwrap_used, reason = "a test may")]

use std::collections::BTreeSet;
use std::path::Path;

use lockbox::Database;
use lockbox::database::{Connection, DatabaseError, query};

#[derive(Debug, thiserror::Error)]
enum ChangeError {
    #[error("the change is refused")]
    Refused,
    #[error(transparent)]
    Database(#[from] DatabaseError),
}

async fn open(directory: &Path) -> Database {
    let database = Database::open(&directory.join("test.db")).await.unwrap();
    database.execute(query("CREATE TABLE rows (number INTEGER PRIMARY KEY)")).await.unwrap();
    database
}

async fn rows(database: &Database) -> BTreeSet<i64> {
    let rows = query("SELECT number FROM rows").fetch_all(database.reader()).await.unwrap();
    rows.iter().map(|row| row.try_get("number").unwrap()).collect()
}

async fn insert(connection: &mut Connection, number: i64) -> Result<(), DatabaseError> {
    query("INSERT INTO rows (number) VALUES ($1)").bind(number).execute(connection).await.map(drop)
}

/// Sends many changes at once and returns the numbers of those that were acknowledged. A change is
/// refused after it wrote something if `refuse` says so.
async fn change_all(database: &Database, refuse: fn(i64) -> bool) -> BTreeSet<i64> {
    let changes = (0..300_i64).map(|number| async move {
        let change = async move |connection: &mut Connection| {
            insert(connection, number).await?;
            if refuse(number) { Err(ChangeError::Refused) } else { Ok(number) }
        };
        database.transaction(change).await
    });
    futures_util::future::join_all(changes).await.into_iter().filter_map(Result::ok).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_change_rolls_back_alone() {
    let directory = tempfile::tempdir().unwrap();
    let database = open(directory.path()).await;
    let acknowledged = change_all(&database, |number| number % 3 == 0).await;
    assert_eq!(acknowledged, (0..300).filter(|number| number % 3 != 0).collect());
    assert_eq!(rows(&database).await, acknowledged);
}

/// A statement that ends the whole transaction takes the changes of its group with it, and none of
/// them is acknowledged.
#[tokio::test(flavor = "multi_thread")]
async fn what_ends_the_transaction_is_answered_truthfully() {
    let directory = tempfile::tempdir().unwrap();
    let database = open(directory.path()).await;
    let trigger = "CREATE TRIGGER broken BEFORE INSERT ON rows WHEN NEW.number % 50 = 7
        BEGIN SELECT RAISE(ROLLBACK, 'broken'); END";
    database.execute(query(trigger)).await.unwrap();
    let acknowledged = change_all(&database, |_| false).await;
    assert!(acknowledged.iter().all(|number| number % 50 != 7));
    assert_eq!(rows(&database).await, acknowledged);
    // The writer goes on.
    let change = async |connection: &mut Connection| insert(connection, 1000).await;
    database.transaction(change).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reader_does_not_write_and_a_closed_database_answers() {
    let directory = tempfile::tempdir().unwrap();
    let database = open(directory.path()).await;
    let error = query("INSERT INTO rows (number) VALUES (1) RETURNING number")
        .fetch_all(database.reader())
        .await
        .unwrap_err();
    assert!(error.to_string().contains("readonly"), "{error}");
    database.close().await;
    assert!(matches!(database.health().await, Err(DatabaseError::Closed)));
    let read = query("SELECT 1").fetch_all(database.reader()).await;
    assert!(matches!(read, Err(DatabaseError::Closed)), "{read:?}");
}

/// A destroyed value is still in the log while a reader needs the log, and gone when it is emptied.
#[tokio::test(flavor = "multi_thread")]
async fn the_log_is_emptied_only_without_readers() {
    let directory = tempfile::tempdir().unwrap();
    let database = open(directory.path()).await;
    let change = async |connection: &mut Connection| insert(connection, 1).await;
    database.transaction(change).await.unwrap();
    let other = rusqlite::Connection::open(directory.path().join("test.db")).unwrap();
    other.execute_batch("BEGIN; SELECT count(*) FROM rows").unwrap();
    let read: i64 = other.query_row("SELECT count(*) FROM rows", (), |row| row.get(0)).unwrap();
    assert_eq!(read, 1);
    let change = async |connection: &mut Connection| insert(connection, 2).await;
    database.transaction(change).await.unwrap();
    assert!(!database.truncate_log().await);
    // The writer was not stopped by the attempt.
    let change = async |connection: &mut Connection| insert(connection, 3).await;
    database.transaction(change).await.unwrap();
    other.execute_batch("COMMIT").unwrap();
    assert!(database.truncate_log().await);
    let log = std::fs::metadata(directory.path().join("test.db-wal")).unwrap();
    assert_eq!(log.len(), 0);
}

/// A refusal may rest on what an earlier change of the group wrote. Nobody can read that before the
/// commit, so whoever asks again after the refusal would find the opposite.
#[tokio::test]
async fn a_refusal_is_not_answered_before_what_it_saw_can_be_read() {
    let directory = tempfile::tempdir().unwrap();
    let database = open(directory.path()).await;
    let signal = || tokio::sync::oneshot::channel::<()>();
    let (working, is_working) = signal();
    let ((start, started), (begun, has_begun), (go_on, may_go_on)) = (signal(), signal(), signal());
    // It keeps the writer until the others are queued, so that they are one group.
    let first = database.transaction(async move |_: &mut Connection| {
        let _ = working.send(());
        let _ = started.await;
        Ok::<_, DatabaseError>(())
    });
    let write = database.transaction(async |connection: &mut Connection| {
        insert(connection, 1).await.map_err(ChangeError::from)
    });
    let refused = database.transaction(async |connection: &mut Connection| {
        let found = query("SELECT number FROM rows").fetch_all(connection).await?;
        assert_eq!(found.len(), 1, "the write is not part of the group");
        Err::<(), _>(ChangeError::Refused)
    });
    let last = database.transaction(async move |_: &mut Connection| {
        let _ = begun.send(());
        let _ = may_go_on.await;
        Ok::<_, DatabaseError>(())
    });
    let (mut first, mut write, mut refused, mut last) =
        (Box::pin(first), Box::pin(write), Box::pin(refused), Box::pin(last));
    assert!(futures_util::poll!(&mut first).is_pending());
    is_working.await.unwrap();
    assert!(futures_util::poll!(&mut write).is_pending());
    assert!(futures_util::poll!(&mut refused).is_pending());
    assert!(futures_util::poll!(&mut last).is_pending());
    start.send(()).unwrap();
    first.await.unwrap();
    has_begun.await.unwrap();
    assert!(futures_util::poll!(&mut refused).is_pending(), "answered before the commit");
    go_on.send(()).unwrap();
    assert!(matches!(refused.await, Err(ChangeError::Refused)));
    assert_eq!(rows(&database).await, BTreeSet::from([1]));
    write.await.unwrap();
    last.await.unwrap();
}
