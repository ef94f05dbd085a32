//! Copies of the database: what a destroyed value leaves in it, and backups.

use std::path::Path;
use std::process::Command;

use lockbox::conformance::ConformanceStore as _;
use lockbox::database::query;
use lockbox::{Database, Embedded, Store};

use crate::harness::{TestDatabase, get, put, scope, secret};

/// How many of these are in the database file, its log, or any other file beside it.
fn found(directory: &Path, needles: &[Vec<u8>]) -> usize {
    let files: Vec<Vec<u8>> = std::fs::read_dir(directory)
        .unwrap()
        .map(|entry| std::fs::read(entry.unwrap().path()).unwrap())
        .collect();
    let is_in = |needle: &Vec<u8>| {
        files
            .iter()
            .any(|file| file.windows(needle.len()).any(|window| window == needle.as_slice()))
    };
    needles.iter().filter(|needle| is_in(needle)).count()
}

#[tokio::test]
async fn a_destroyed_data_key_is_in_no_file() {
    let database = TestDatabase::new().await;
    let store = database.open("key", &[]).await;
    // Enough rows of different sizes for pages to split and rows to move between them.
    let mut rows = Vec::new();
    for version in 1..=200u64 {
        rows.push(put(&store, "A", version, &"x".repeat((version * 37 % 900) as usize)).await);
    }
    let mut wrapped = Vec::new();
    for version in 1..=200 {
        wrapped.push(
            database
                .bytes(&format!("SELECT wrapped_key FROM lockbox_values WHERE version = {version}"))
                .await,
        );
    }
    assert_eq!(
        found(database.directory.path(), &wrapped),
        200,
        "the test looks in the wrong place"
    );
    for stored in rows.iter().step_by(2) {
        store.destroy(&scope(), &secret("A"), stored).await.unwrap();
    }
    assert!(store.purge().await.unwrap());
    let (gone, kept): (Vec<_>, Vec<_>) =
        wrapped.iter().cloned().enumerate().partition(|(at, _)| at % 2 == 0);
    let only =
        |keys: Vec<(usize, Vec<u8>)>| keys.into_iter().map(|(_, key)| key).collect::<Vec<_>>();
    let (gone, kept) = (only(gone), only(kept));
    assert_eq!(
        found(database.directory.path(), &gone),
        0,
        "destroyed data keys are still in a file"
    );
    assert_eq!(found(database.directory.path(), &kept), 100);
    store.delete(&scope(), &secret("A")).await.unwrap();
    assert_eq!(found(database.directory.path(), &kept), 0, "deleted data keys are still in a file");
}

/// The data keys that the old key wrapped are in no file.
#[tokio::test]
async fn after_a_rekey_the_old_wrapped_keys_are_in_no_file() {
    let database = TestDatabase::new().await;
    let store = database.open("old", &[]).await;
    for version in 1..=150u64 {
        put(&store, "A", version, &"x".repeat((version * 53 % 900) as usize)).await;
    }
    let mut wrapped = Vec::new();
    for version in 1..=150 {
        wrapped.push(
            database
                .bytes(&format!("SELECT wrapped_key FROM lockbox_values WHERE version = {version}"))
                .await,
        );
    }
    let store = database.open("new", &["old"]).await;
    let current = store.current_key().await.unwrap();
    let mut next = Some(Default::default());
    while let Some(from) = next {
        next = store.rewrap(&current, from).await.unwrap().next;
    }
    assert_eq!(
        found(database.directory.path(), &wrapped),
        0,
        "what the old key wrapped is still in a file"
    );
}

#[tokio::test]
async fn backups_made_with_sqlite_tools_can_be_restored() {
    let original = TestDatabase::new().await;
    let store = original.open("key", &[]).await;
    let mut rows = Vec::new();
    for version in 1..=50u64 {
        rows.push(put(&store, "A", version, &format!("value {version}")).await);
    }
    store.destroy(&scope(), &secret("A"), &rows[0]).await.unwrap();
    let destroyed = rows.remove(0);
    let copies = tempfile::tempdir().unwrap();
    // While the database is in use, with a write-ahead log that was not truncated.
    put(&store, "B", 1, "late").await;
    let vacuumed = copies.path().join("vacuumed.db");
    let tool = rusqlite::Connection::open(original.path("switchyard.db")).unwrap();
    tool.execute_batch(&format!("VACUUM INTO '{}'", vacuumed.display())).unwrap();
    drop(tool);
    let mut backups = vec![vacuumed];
    // The command line tool is not installed on every machine.
    let backed_up = copies.path().join("backed-up.db");
    if let Ok(tool) = Command::new("sqlite3")
        .arg(original.path("switchyard.db"))
        .arg(format!(".backup '{}'", backed_up.display()))
        .status()
    {
        assert!(tool.success());
        backups.push(backed_up);
    }
    for backup in backups {
        let database = Database::open(&backup).await.unwrap();
        let check = query("SELECT integrity_check FROM pragma_integrity_check")
            .fetch_one(database.reader())
            .await
            .unwrap();
        assert_eq!(check.scalar::<String>().unwrap(), "ok");
        let restored = Embedded::open(database, &original.file("key")).await.unwrap();
        for stored in &rows {
            assert_eq!(
                get(&restored, "A", stored).await.unwrap(),
                format!("value {}", stored.version)
            );
        }
        assert!(get(&restored, "A", &destroyed).await.is_err());
        // A backup does not open without its key.
        drop(restored);
        let database = Database::open(&backup).await;
        if let Ok(database) = database {
            assert!(Embedded::open(database, &original.file("another")).await.is_err());
        }
    }
}
