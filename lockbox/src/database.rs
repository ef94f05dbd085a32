//! The database that switchyard's ledger and the embedded backend share: SQLite for one replica,
//! PostgreSQL for several.
//!
//! Both speak the same SQL through sqlx's `Any` driver (`$1` placeholders, `ON CONFLICT`,
//! `RETURNING`). Where the dialects differ, [`Database::kind`] tells which it is. An acknowledged
//! commit is durable on both.

mod postgres;
mod schema;
mod sqlite;

use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Once};
use std::time::Duration;

use contract::Redacted;
use sqlx::any::AnyPoolOptions;
use sqlx::migrate::MigrateError;
use sqlx::{Any, AnyPool, Transaction};

pub use schema::{Migration, Schema};

/// How long a statement waits for a connection from the pool.
const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(5);

/// The kind of database.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DatabaseKind {
    /// A file, used by one process.
    Sqlite,
    /// A server that several replicas share.
    Postgres,
}

impl DatabaseKind {
    /// The name, for logs and metrics.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Sqlite => "sqlite",
            Self::Postgres => "postgres",
        }
    }
}

/// An open database. Clones share it, and it is released when the last one is dropped.
#[derive(Clone, Debug)]
pub struct Database {
    kind: DatabaseKind,
    reader: AnyPool,
    writer: AnyPool,
    /// The URL for a listener's own connection. PostgreSQL only.
    address: Option<Arc<Redacted>>,
    _lock: Option<Arc<sqlite::DatabaseLock>>,
}

/// Why the database cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Another process has it open.
    #[error(
        "open database {0}: another process has it open; SQLite serves one switchyard, so stop the \
         other one, give this one its own --data, or let both share PostgreSQL (--database-url)"
    )]
    Locked(PathBuf),
    /// The lock file cannot be opened.
    #[error("open lock file {path}")]
    LockFile {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// SQLite does not accept the file's path.
    #[error("open database {0}: the path is not UTF-8")]
    Path(PathBuf),
    /// SQLite cannot open it.
    #[error("open database {path}")]
    Open {
        /// The file.
        path: PathBuf,
        /// SQLite's error.
        source: sqlx::Error,
    },
    /// The SQLite library may corrupt the file.
    #[error(
        "open database {path}: SQLite {found} is too old; 3.51.3 is the first without the \
         log-reset bug"
    )]
    Version {
        /// The file.
        path: PathBuf,
        /// The library's version.
        found: String,
    },
    /// The URL is not a PostgreSQL URL. It may contain a password, so it is not quoted.
    #[error("read database URL: it must be of the form postgres://USER@HOST:PORT/NAME")]
    Address,
    /// PostgreSQL cannot be reached.
    #[error("connect to PostgreSQL")]
    Connect(#[source] sqlx::Error),
    /// The server is too old.
    #[error("connect to PostgreSQL: the server is version {0}, and 13 is the oldest supported")]
    Server(i64),
    /// The server acknowledges commits that are not durable.
    #[error(
        "connect to PostgreSQL: its setting {setting} is {value}, so an acknowledged commit could \
         be lost in a crash; set it to {wanted}"
    )]
    NotDurable {
        /// The setting.
        setting: &'static str,
        /// Its value.
        value: String,
        /// The value it must have.
        wanted: &'static str,
    },
}

impl Database {
    /// Opens a SQLite file, and creates it if it does not exist.
    ///
    /// # Errors
    /// If another process has it open, or SQLite cannot open it or is too old.
    pub async fn open(path: &Path) -> Result<Self, OpenError> {
        sqlite::open(path).await
    }

    /// Connects to a PostgreSQL server,
    /// `postgres://USER:PASSWORD@HOST:PORT/NAME?sslmode=verify-full&sslrootcert=FILE`.
    ///
    /// # Errors
    /// If the URL is invalid, or the server cannot be reached, is too old, or acknowledges commits
    /// that are not durable.
    pub async fn connect(address: &Redacted) -> Result<Self, OpenError> {
        postgres::connect(address).await
    }

    /// The kind of database.
    #[must_use]
    pub fn kind(&self) -> DatabaseKind {
        self.kind
    }

    /// Connections for reading.
    #[must_use]
    pub fn reader(&self) -> &AnyPool {
        &self.reader
    }

    /// Connections for writing. SQLite has only one, for which writers queue, so that none runs
    /// into a lock.
    #[must_use]
    pub fn writer(&self) -> &AnyPool {
        &self.writer
    }

    /// PostgreSQL's URL, for a listener's own connection. It contains the password.
    #[must_use]
    pub fn address(&self) -> Option<&Redacted> {
        self.address.as_deref()
    }

    /// Begins a transaction that will write.
    ///
    /// # Errors
    /// If the database cannot be reached, or is locked for too long.
    pub async fn begin(&self) -> Result<Transaction<'static, Any>, sqlx::Error> {
        match self.kind {
            // The write lock is taken at once. Taken later, two readers that become writers would
            // deadlock.
            DatabaseKind::Sqlite => self.writer.begin_with("BEGIN IMMEDIATE").await,
            DatabaseKind::Postgres => self.writer.begin().await,
        }
    }

    /// Applies the migrations of `schema` that are pending, in this database's dialect.
    ///
    /// # Errors
    /// If one fails, or was changed after it was applied.
    pub async fn migrate(&self, schema: &Schema) -> Result<(), MigrateError> {
        schema.migrator(self.kind).run(&self.writer).await
    }

    /// Closes every connection. SQLite then moves its write-ahead log into the database file.
    pub async fn close(&self) {
        self.reader.close().await;
        self.writer.close().await;
    }
}

fn pool(max_connections: u32) -> AnyPoolOptions {
    static DRIVERS: Once = Once::new();
    DRIVERS.call_once(|| {
        // It fails if another part of the process installed them first, which is fine.
        let _ =
            sqlx::any::install_drivers(&[sqlx::sqlite::any::DRIVER, sqlx::postgres::any::DRIVER]);
    });
    AnyPoolOptions::new()
        .max_connections(max_connections)
        .acquire_timeout(ACQUIRE_TIMEOUT)
        .idle_timeout(None)
        .max_lifetime(None)
}
