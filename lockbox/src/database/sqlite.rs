//! A SQLite file: one connection writes, a few read, and only one process opens the file.
//!
//! An acknowledged commit is durable (write-ahead log, `synchronous=FULL`). SQLite's own locks
//! would allow a second process, whose writes would not reach the agents of the first.

use std::fs::{File, OpenOptions, TryLockError};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use sqlx::any::AnyConnectOptions;
use sqlx::{AnyPool, ConnectOptions as _, Connection as _, Executor as _};
use url::Url;

use super::{Database, DatabaseKind, OpenError, pool};

/// The first release without the bug that could corrupt a database when its log is reset
/// (3.7.0 to 3.51.2).
const MIN_VERSION: (u32, u32, u32) = (3, 51, 3);

/// Readers beside the one writer. More would only cost memory: the file is in the page cache.
const MAX_READERS: u32 = 4;

/// The settings of each connection.
const SETTINGS: &str = "
    PRAGMA busy_timeout = 5000;
    PRAGMA journal_mode = WAL;
    PRAGMA synchronous = FULL;
    PRAGMA foreign_keys = ON;
    -- What is deleted is overwritten, so that a destroyed data key is not in a free page.
    PRAGMA secure_delete = ON;
    PRAGMA temp_store = MEMORY;";

/// A write without effect, which the writing connection makes first. If a file cannot be opened for
/// writing, SQLite opens it read-only, and the connection would keep failing after the disk becomes
/// writable again. This keeps such a connection out of the pool.
const WRITE_PROBE: &str = "BEGIN IMMEDIATE; PRAGMA application_id = 0; ROLLBACK;";

pub(super) async fn open(path: &Path) -> Result<Database, OpenError> {
    let lock = lock(path)?;
    let failed = |source| OpenError::Open { path: path.to_owned(), source };
    let writer = connect(path, 1, "rwc", Some(WRITE_PROBE)).await?;
    let found: String =
        sqlx::query_scalar("SELECT sqlite_version()").fetch_one(&writer).await.map_err(failed)?;
    if parse(&found).is_none_or(|found| found < MIN_VERSION) {
        return Err(OpenError::Version { path: path.to_owned(), found });
    }
    let reader = connect(path, MAX_READERS, "rw", None).await?;
    Ok(Database {
        kind: DatabaseKind::Sqlite,
        reader,
        writer,
        address: None,
        _lock: Some(Arc::new(lock)),
    })
}

async fn connect(
    path: &Path,
    max_connections: u32,
    mode: &str,
    probe: Option<&'static str>,
) -> Result<AnyPool, OpenError> {
    let options = options(path, mode).ok_or_else(|| OpenError::Path(path.to_owned()))?;
    let pool = pool(max_connections).after_connect(move |connection, _| {
        Box::pin(async move {
            connection.execute(SETTINGS).await?;
            match probe {
                Some(probe) => connection.execute(probe).await.map(drop),
                None => Ok(()),
            }
        })
    });
    // If a commit fails (a full disk), SQLite rolls back by itself while sqlx still counts the
    // transaction as open, and would refuse every later one. Such a connection is not used again.
    let pool = pool.before_acquire(|connection, _| {
        Box::pin(async move { Ok(!connection.is_in_transaction()) })
    });
    pool.connect_with(options)
        .await
        .map_err(|source| OpenError::Open { path: path.to_owned(), source })
}

/// The file as the URL that the driver accepts.
fn options(path: &Path, mode: &str) -> Option<AnyConnectOptions> {
    path.to_str()?;
    let mut url = Url::from_file_path(std::path::absolute(path).ok()?).ok()?;
    url.set_query(Some(&format!("mode={mode}")));
    let url =
        url.as_str().strip_prefix("file").map(|rest| format!("sqlite{rest}"))?.parse().ok()?;
    AnyConnectOptions::from_url(&url).ok()
}

/// The lock file beside the database. The kernel releases the lock when the process ends, however
/// it ends.
#[derive(Debug)]
pub(super) struct DatabaseLock(File);

impl Drop for DatabaseLock {
    fn drop(&mut self) {
        // Closing it is not enough: a child process that is starting may briefly hold a copy.
        let _ = self.0.unlock();
    }
}

/// Takes the lock.
fn lock(database: &Path) -> Result<DatabaseLock, OpenError> {
    let mut path = database.as_os_str().to_owned();
    path.push(".lock");
    let path = PathBuf::from(path);
    let failed = |source| OpenError::LockFile { path: path.clone(), source };
    let file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(&path)
        .map_err(failed)?;
    match file.try_lock() {
        Ok(()) => Ok(DatabaseLock(file)),
        Err(TryLockError::WouldBlock) => Err(OpenError::Locked(database.to_owned())),
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
            assert_eq!(parse(version).unwrap() >= MIN_VERSION, new_enough, "{version}");
        }
        assert!(parse("3.51").is_none());
        assert!(parse("").is_none());
    }

    #[tokio::test]
    async fn the_database_is_durable_and_opens_in_one_process() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("a b%20?#\u{fc}.db");
        let database = Database::open(&path).await.unwrap();
        assert!(path.is_file(), "the file has another name than requested");
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
        assert!(matches!(error, OpenError::Locked(_)), "{error}");
        database.close().await;
        drop(database);
        Database::open(&path).await.unwrap();
    }
}
