//! The database that switchyard's ledger and the embedded backend share: SQLite for one replica,
//! PostgreSQL for several.
//!
//! Both speak the same SQL through sqlx's `Any` driver (`$1` placeholders, `ON CONFLICT`,
//! `RETURNING`); where the dialects part, [`Database::kind`] tells them apart. Acknowledged means
//! durable on either.

mod postgres;
mod sqlite;

use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Once};
use std::time::Duration;

use contract::Redacted;
use sqlx::any::AnyPoolOptions;
use sqlx::migrate::{MigrateError, Migrator};
use sqlx::{Any, AnyPool, Transaction};

/// How long a statement waits for its connection, and a connection for a lock.
const PATIENCE: Duration = Duration::from_secs(5);

/// Which database it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A file of one process.
    Sqlite,
    /// A server that several replicas share.
    Postgres,
}

impl Kind {
    /// The word.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Sqlite => "sqlite",
            Self::Postgres => "postgres",
        }
    }
}

/// An open database. Clones share it; it is given back when the last one is dropped.
#[derive(Clone, Debug)]
pub struct Database {
    kind: Kind,
    reader: AnyPool,
    writer: AnyPool,
    /// Where a listener of its own connects to. Of PostgreSQL alone.
    address: Option<Arc<Redacted>>,
    _lock: Option<Arc<sqlite::Lock>>,
}

/// Why the database cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Another process has it.
    #[error(
        "open database {0}: another process has it open; SQLite serves one switchyard, so stop the other one, give this one its own --data, or have both share PostgreSQL (--database-url)"
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
    /// The file's path is none that SQLite can be given.
    #[error("open database {0}: the path is not UTF-8")]
    Path(PathBuf),
    /// SQLite cannot open it.
    #[error("open database {path}")]
    Open {
        /// The file.
        path: PathBuf,
        /// SQLite's words.
        source: sqlx::Error,
    },
    /// A library that may corrupt the file.
    #[error(
        "open database {path}: SQLite {found} is too old, and 3.51.3 is the first without the log-reset bug"
    )]
    Version {
        /// The file.
        path: PathBuf,
        /// What the library says it is.
        found: String,
    },
    /// The address is of no PostgreSQL server. It may hold a password, so it is not quoted.
    #[error("read database URL: it must be of the form postgres://USER@HOST:PORT/NAME")]
    Address,
    /// PostgreSQL cannot be reached.
    #[error("connect to PostgreSQL")]
    Connect(#[source] sqlx::Error),
    /// A server from before what is used here.
    #[error(
        "connect to PostgreSQL: the server is version {0}, and 13 is the oldest that is supported"
    )]
    Server(i64),
    /// A server whose acknowledgement of a commit does not mean that it is durable.
    #[error(
        "connect to PostgreSQL: its setting {setting} is {value}, so what it acknowledges could be lost in a crash; set it to {wanted}"
    )]
    NotDurable {
        /// The setting.
        setting: &'static str,
        /// What it is.
        value: String,
        /// What it has to be.
        wanted: &'static str,
    },
}

impl Database {
    /// Opens a SQLite file, and makes it where there is none.
    ///
    /// # Errors
    /// Where another process has it, or SQLite cannot open it or is too old.
    pub async fn open(path: &Path) -> Result<Self, OpenError> {
        sqlite::open(path).await
    }

    /// Connects to a PostgreSQL server,
    /// `postgres://USER:PASSWORD@HOST:PORT/NAME?sslmode=verify-full&sslrootcert=FILE`.
    ///
    /// # Errors Where the address is not of the form, or the server cannot be reached, is too old,
    /// or may lose what it acknowledged.
    pub async fn connect(address: &Redacted) -> Result<Self, OpenError> {
        postgres::connect(address).await
    }

    /// Which database it is.
    #[must_use]
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// Connections for reading.
    #[must_use]
    pub fn reader(&self) -> &AnyPool {
        &self.reader
    }

    /// Connections for writing. On SQLite it is one, and writers queue for it in order, so that
    /// none meets a lock.
    #[must_use]
    pub fn writer(&self) -> &AnyPool {
        &self.writer
    }

    /// Where PostgreSQL is, for a connection that listens; it holds the password.
    #[must_use]
    pub fn address(&self) -> Option<&Redacted> {
        self.address.as_deref()
    }

    /// Begins a transaction that will write.
    ///
    /// # Errors
    /// Where the database cannot be reached, or is locked for too long.
    pub async fn begin(&self) -> Result<Transaction<'static, Any>, sqlx::Error> {
        match self.kind {
            // The lock is taken at once: taken later, two readers that turn writers block each
            // other.
            Kind::Sqlite => self.writer.begin_with("BEGIN IMMEDIATE").await,
            Kind::Postgres => self.writer.begin().await,
        }
    }

    /// Brings tables up to date with the migrations of this database's dialect; `table` is where
    /// they are listed.
    ///
    /// # Errors
    /// Where one cannot be made, or was changed after it was made.
    pub async fn migrate(
        &self,
        table: &'static str,
        sqlite: Migrator,
        postgres: Migrator,
    ) -> Result<(), MigrateError> {
        let mut migrator = match self.kind {
            Kind::Sqlite => sqlite,
            Kind::Postgres => postgres,
        };
        migrator.dangerous_set_table_name(table);
        migrator.run(&self.writer).await
    }

    /// Closes every connection, and folds SQLite's log into its file.
    pub async fn close(&self) {
        self.reader.close().await;
        self.writer.close().await;
    }
}

fn pool(most: u32) -> AnyPoolOptions {
    static DRIVERS: Once = Once::new();
    DRIVERS.call_once(|| {
        // It fails where the program's other half was faster, and then they are there.
        let _ =
            sqlx::any::install_drivers(&[sqlx::sqlite::any::DRIVER, sqlx::postgres::any::DRIVER]);
    });
    AnyPoolOptions::new()
        .max_connections(most)
        .acquire_timeout(PATIENCE)
        .idle_timeout(None)
        .max_lifetime(None)
}
