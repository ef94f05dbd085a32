//! The SQLite file that switchyard's ledger and the embedded backend share.
//!
//! Acknowledged means durable (write-ahead log, `synchronous=FULL`), one connection writes and a few
//! read, and one process has the file. SQLite's own locks would let a second process in, and its
//! writes would not reach the agents of the first.

use std::fs::{File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use sqlx::SqlitePool;
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous};

/// The first release without the bug that could corrupt a database when its log is reset
/// (3.7.0 to 3.51.2).
const OLDEST: (u32, u32, u32) = (3, 51, 3);

/// How long a statement waits for its connection, and a connection for a lock.
const PATIENCE: Duration = Duration::from_secs(5);

/// Readers beside the one writer. More only cost memory: the file is in the page cache.
const READERS: u32 = 4;

/// An open database. Clones share it; it is given back when the last one is dropped.
#[derive(Clone, Debug)]
pub struct Database {
    reader: SqlitePool,
    writer: SqlitePool,
    _lock: Arc<File>,
}

/// Why the database cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Another process has it.
    #[error(
        "open database {0}: another process has it open; SQLite serves one switchyard, so stop the other one or give this one its own --data"
    )]
    Taken(PathBuf),
    /// The lock file cannot be made.
    #[error("open lock file {path}")]
    Lock {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// SQLite cannot open it.
    #[error("open database {path}")]
    Open {
        /// The file.
        path: PathBuf,
        /// SQLite's words.
        source: sqlx::Error,
    },
    /// A library that may corrupt the file.
    #[error("open database {path}: SQLite {found} is too old, and 3.51.3 is the first without the log-reset bug")]
    Version {
        /// The file.
        path: PathBuf,
        /// What the library says it is.
        found: String,
    },
}

impl Database {
    /// Opens the file, and makes it where there is none.
    ///
    /// # Errors
    /// Where another process has it, or SQLite cannot open it or is too old.
    pub async fn open(path: &Path) -> Result<Self, OpenError> {
        let lock = lock(path)?;
        let failed = |source| OpenError::Open { path: path.to_owned(), source };
        let options = SqliteConnectOptions::new()
            .filename(path)
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Full)
            .foreign_keys(true)
            .busy_timeout(PATIENCE)
            // What is deleted is overwritten, so that a destroyed data key is not in a free page.
            .pragma("secure_delete", "ON")
            .pragma("temp_store", "MEMORY");
        let pool = |most| SqlitePoolOptions::new().max_connections(most).acquire_timeout(PATIENCE).idle_timeout(None).max_lifetime(None);
        let writer = pool(1).connect_with(options.clone()).await.map_err(failed)?;
        let found: String = sqlx::query_scalar("SELECT sqlite_version()").fetch_one(&writer).await.map_err(failed)?;
        if parse(&found).is_none_or(|found| found < OLDEST) {
            return Err(OpenError::Version { path: path.to_owned(), found });
        }
        let reader = pool(READERS).connect_with(options.create_if_missing(false)).await.map_err(failed)?;
        Ok(Self { reader, writer, _lock: Arc::new(lock) })
    }

    /// Connections for reading.
    #[must_use]
    pub fn reader(&self) -> &SqlitePool {
        &self.reader
    }

    /// The connection for writing. Writers queue for it in order, so that none meets a lock.
    #[must_use]
    pub fn writer(&self) -> &SqlitePool {
        &self.writer
    }

    /// Closes every connection and folds the log into the file.
    pub async fn close(&self) {
        self.reader.close().await;
        self.writer.close().await;
    }
}

/// Takes the lock file beside the database. The kernel gives it back when the process ends, however
/// it ends.
fn lock(database: &Path) -> Result<File, OpenError> {
    let mut path = database.as_os_str().to_owned();
    path.push(".lock");
    let path = PathBuf::from(path);
    let failed = |source| OpenError::Lock { path: path.clone(), source };
    let file = OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(&path).map_err(failed)?;
    match file.try_lock() {
        Ok(()) => Ok(file),
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
        for (version, new_enough) in [("3.51.3", true), ("3.52.0", true), ("4.0.0", true), ("3.51.2", false), ("3.9.9", false)] {
            assert_eq!(parse(version).unwrap() >= OLDEST, new_enough, "{version}");
        }
        assert!(parse("3.51").is_none());
        assert!(parse("").is_none());
    }

    #[tokio::test]
    async fn durable_and_for_one_process() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("x.db");
        let database = Database::open(&path).await.unwrap();
        let setting =
            async |pool: &SqlitePool, sql: &'static str| -> String { sqlx::query_scalar::<_, String>(sql).fetch_one(pool).await.unwrap() };
        for pool in [database.writer(), database.reader()] {
            assert_eq!(setting(pool, "SELECT journal_mode FROM pragma_journal_mode").await, "wal");
            assert_eq!(setting(pool, "SELECT CAST(synchronous AS TEXT) FROM pragma_synchronous").await, "2");
            assert_eq!(setting(pool, "SELECT CAST(foreign_keys AS TEXT) FROM pragma_foreign_keys").await, "1");
            assert_eq!(setting(pool, "SELECT CAST(secure_delete AS TEXT) FROM pragma_secure_delete").await, "1");
        }
        let error = Database::open(&path).await.unwrap_err();
        assert!(matches!(error, OpenError::Taken(_)), "{error}");
        database.close().await;
        drop(database);
        Database::open(&path).await.unwrap();
    }
}
