//! A SQLite file: one connection writes and a few read, and one process has the file.
//!
//! Acknowledged means durable (write-ahead log, `synchronous=FULL`). SQLite's own locks would let a
//! second process in, and its writes would not reach the agents of the first.

use std::fs::{File, OpenOptions, TryLockError};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use sqlx::any::AnyConnectOptions;
use sqlx::{AnyPool, ConnectOptions as _, Connection as _, Executor as _};
use url::Url;

use super::{Database, Kind, OpenError, pool};

/// The first release without the bug that could corrupt a database when its log is reset
/// (3.7.0 to 3.51.2).
const OLDEST: (u32, u32, u32) = (3, 51, 3);

/// Readers beside the one writer. More only cost memory: the file is in the page cache.
const READERS: u32 = 4;

/// What each connection is told.
const SETTINGS: &str = "
    PRAGMA busy_timeout = 5000;
    PRAGMA journal_mode = WAL;
    PRAGMA synchronous = FULL;
    PRAGMA foreign_keys = ON;
    -- What is deleted is overwritten, so that a destroyed data key is not in a free page.
    PRAGMA secure_delete = ON;
    PRAGMA temp_store = MEMORY;";

/// What the one that writes is told besides. Where a file cannot be opened for writing, SQLite
/// opens it for reading alone, and such a connection would go on refusing when the disk can be
/// written again. This is a write that leaves nothing behind, so that it never gets into the pool.
const WRITES: &str = "BEGIN IMMEDIATE; PRAGMA application_id = 0; ROLLBACK;";

pub(super) async fn open(path: &Path) -> Result<Database, OpenError> {
    let lock = lock(path)?;
    let failed = |source| OpenError::Open { path: path.to_owned(), source };
    let writer = connect(path, 1, "rwc", Some(WRITES)).await?;
    let found: String =
        sqlx::query_scalar("SELECT sqlite_version()").fetch_one(&writer).await.map_err(failed)?;
    if parse(&found).is_none_or(|found| found < OLDEST) {
        return Err(OpenError::Version { path: path.to_owned(), found });
    }
    let reader = connect(path, READERS, "rw", None).await?;
    Ok(Database { kind: Kind::Sqlite, reader, writer, address: None, _lock: Some(Arc::new(lock)) })
}

async fn connect(
    path: &Path,
    most: u32,
    mode: &str,
    probe: Option<&'static str>,
) -> Result<AnyPool, OpenError> {
    let options = options(path, mode).ok_or_else(|| OpenError::Path(path.to_owned()))?;
    let pool = pool(most).after_connect(move |connection, _| {
        Box::pin(async move {
            connection.execute(SETTINGS).await?;
            match probe {
                Some(probe) => connection.execute(probe).await.map(drop),
                None => Ok(()),
            }
        })
    });
    // Where a commit fails (a full disk), SQLite rolls back by itself and sqlx goes on counting the
    // transaction as open: each later one would be refused, for ever. Such a connection is not used
    // again.
    let pool = pool.before_acquire(|connection, _| {
        Box::pin(async move { Ok(!connection.is_in_transaction()) })
    });
    pool.connect_with(options)
        .await
        .map_err(|source| OpenError::Open { path: path.to_owned(), source })
}

/// The file as the URL that the driver takes it by.
fn options(path: &Path, mode: &str) -> Option<AnyConnectOptions> {
    path.to_str()?;
    let mut url = Url::from_file_path(std::path::absolute(path).ok()?).ok()?;
    url.set_query(Some(&format!("mode={mode}")));
    let url =
        url.as_str().strip_prefix("file").map(|rest| format!("sqlite{rest}"))?.parse().ok()?;
    AnyConnectOptions::from_url(&url).ok()
}

/// The lock file beside the database. The kernel gives it back when the process ends, however it
/// ends.
#[derive(Debug)]
pub(super) struct Lock(File);

impl Drop for Lock {
    fn drop(&mut self) {
        // Closing it is not enough: a program that is being started may hold a copy for a moment.
        let _ = self.0.unlock();
    }
}

/// Takes it.
fn lock(database: &Path) -> Result<Lock, OpenError> {
    let mut path = database.as_os_str().to_owned();
    path.push(".lock");
    let path = PathBuf::from(path);
    let failed = |source| OpenError::Lock { path: path.clone(), source };
    let file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(&path)
        .map_err(failed)?;
    match file.try_lock() {
        Ok(()) => Ok(Lock(file)),
        Err(TryLockError::WouldBlock) => Err(OpenError::Taken(database.to_owned())),
        Err(TryLockError::Error(source)) => Err(failed(source)),
    }
}

fn parse(version: &str) -> Option<(u32, u32, u32)> {
    let mut parts = version.split('.').map(|part| part.parse().ok());
    Some((parts.next()??, parts.next()??, parts.next()??))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_compare_by_number() {
        for (version, new_enough) in [
            ("3.51.3", true),
            ("3.52.0", true),
            ("4.0.0", true),
            ("3.51.2", false),
            ("3.9.9", false),
        ] {
            assert_eq!(parse(version).unwrap() >= OLDEST, new_enough, "{version}");
        }
        assert!(parse("3.51").is_none());
        assert!(parse("").is_none());
    }

    #[tokio::test]
    async fn durable_and_for_one_process() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("a b%20?#\u{fc}.db");
        let database = Database::open(&path).await.unwrap();
        assert!(path.is_file(), "the file has another name than was asked for");
        for pool in [database.writer(), database.reader()] {
            for (setting, expected) in
                [("synchronous", 2), ("foreign_keys", 1), ("secure_delete", 1)]
            {
                let sql = sqlx::AssertSqlSafe(format!(
                    "SELECT CAST({setting} AS INTEGER) FROM pragma_{setting}"
                ));
                assert_eq!(
                    sqlx::query_scalar::<_, i64>(sql).fetch_one(pool).await.unwrap(),
                    expected,
                    "{setting}"
                );
            }
            let mode: String = sqlx::query_scalar("SELECT journal_mode FROM pragma_journal_mode")
                .fetch_one(pool)
                .await
                .unwrap();
            assert_eq!(mode, "wal");
        }
        let error = Database::open(&path).await.unwrap_err();
        assert!(matches!(error, OpenError::Taken(_)), "{error}");
        database.close().await;
        drop(database);
        Database::open(&path).await.unwrap();
    }
}
