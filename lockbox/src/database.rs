//! The database that switchyard's ledger and the embedded backend share: SQLite for one replica,
//! PostgreSQL for several.
//!
//! Both speak the same SQL (`$1` placeholders, `ON CONFLICT`, `RETURNING`), through rusqlite and
//! sqlx. Where the dialects differ, [`Database::kind`] tells which it is. Reads run on a few
//! connections of their own; every write goes through one writer, which commits in groups. An
//! acknowledged commit is durable on both.

mod change;
mod connection;
mod error;
mod fold;
mod migrate;
mod postgres;
mod postgres_url;
mod query;
mod reader;
mod row_cache;
mod schema;
mod source;
mod sqlite;
mod writer;

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use contract::Redacted;
use tokio_util::sync::CancellationToken;

pub use connection::Connection;
pub use error::DatabaseError;
pub use migrate::MigrateError;
pub use postgres_url::PostgresUrlError;
pub use query::{Executor, FromSql, Query, Row, SqlValue, placeholders, query, query_built};
pub use reader::Reader;
pub use schema::{Migration, Schema};
pub use writer::QueueFull;

use fold::Fold;
use row_cache::RowCache;
use source::Source;
use writer::Writer;

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
    reader: Reader,
    writer: Writer,
    /// SQLite only.
    fold: Option<Fold>,
    /// Cancelled when a change could not be flushed to disk.
    lost: CancellationToken,
    /// The complete URL for a listener's own connection. PostgreSQL only.
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
        source: DatabaseError,
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
    /// PostgreSQL's URL is refused.
    #[error(transparent)]
    Url(#[from] PostgresUrlError),
    /// A thread for the database cannot be started.
    #[error("start thread of the database")]
    Thread(#[source] io::Error),
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
        if path.to_str().is_none() {
            return Err(OpenError::Path(path.to_owned()));
        }
        sqlite::check_version(path)?;
        let lock = sqlite::lock(path)?;
        sqlite::make_private(path);
        let failed = |source| OpenError::Open { path: path.to_owned(), source };
        let source = Source::Sqlite(path.to_owned());
        // The first connection creates the file.
        drop(source.connect().await.map_err(failed)?);
        let fold = Fold::start(path.to_owned()).map_err(OpenError::Thread)?;
        let cache = Arc::new(RowCache::default());
        let reader = Reader::sqlite(path.to_owned(), cache.clone());
        Self::start(DatabaseKind::Sqlite, reader, (source, cache), |database| Self {
            fold: Some(fold),
            _lock: Some(Arc::new(lock)),
            ..database
        })
    }

    /// Connects to a PostgreSQL server,
    /// `postgres://USER:PASSWORD@HOST:PORT/NAME?sslmode=verify-full&sslrootcert=FILE`. A weaker
    /// `sslmode` is accepted for a loopback address and a Unix socket alone, and `PG…` variables
    /// change nothing.
    ///
    /// # Errors
    /// If the URL is invalid or its connection not verified, or the server cannot be reached, is
    /// too old, or acknowledges commits that are not durable.
    pub async fn connect(address: &Redacted) -> Result<Self, OpenError> {
        let address = postgres_url::complete(address, |name| std::env::var_os(name).is_some())?;
        let options = postgres::options(&address).ok_or(PostgresUrlError::Form)?;
        let reader = Reader::Postgres(postgres::connect(&options).await?);
        let source = Source::Postgres(Box::new(options));
        let cache = Arc::new(RowCache::default());
        Self::start(DatabaseKind::Postgres, reader, (source, cache), |database| Self {
            address: Some(Arc::new(address)),
            ..database
        })
    }

    fn start(
        kind: DatabaseKind,
        reader: Reader,
        (source, cache): (Source, Arc<RowCache>),
        complete: impl FnOnce(Self) -> Self,
    ) -> Result<Self, OpenError> {
        let lost = CancellationToken::new();
        let writer = Writer::start(source, cache, lost.clone()).map_err(OpenError::Thread)?;
        let database = Self { kind, reader, writer, fold: None, lost, address: None, _lock: None };
        Ok(complete(database))
    }

    /// The kind of database.
    #[must_use]
    pub fn kind(&self) -> DatabaseKind {
        self.kind
    }

    /// Connections for reading.
    #[must_use]
    pub fn reader(&self) -> &Reader {
        &self.reader
    }

    /// PostgreSQL's complete URL, for a listener's own connection. It contains the password.
    #[must_use]
    pub fn address(&self) -> Option<&Redacted> {
        self.address.as_deref()
    }

    /// Runs `work` inside a transaction of the writer. What it did is durable when this returns
    /// `Ok`; if `work` fails, all of it is rolled back.
    ///
    /// # Errors
    /// What `work` fails with; or the database cannot be reached, did not take the change in time
    /// (its outcome is then unknown), or could not commit it.
    pub async fn transaction<T, E, F>(&self, work: F) -> Result<T, E>
    where
        F: AsyncFnOnce(&mut Connection) -> Result<T, E> + Send + 'static,
        T: Send + 'static,
        E: From<DatabaseError> + Send + 'static,
    {
        self.writer.transaction(work).await
    }

    /// As [`Self::transaction`], for a change that nobody waits for here: `answer` learns how it
    /// ended, on the writer's thread, and must not block it.
    ///
    /// # Errors
    /// There is no room in the queue now, and `answer` is not asked. [`Self::room`] waits for some.
    pub fn try_submit<T, E, F>(
        &self,
        work: F,
        answer: impl FnOnce(Result<T, E>) + Send + 'static,
    ) -> Result<(), QueueFull>
    where
        F: AsyncFnOnce(&mut Connection) -> Result<T, E> + Send + 'static,
        T: Send + 'static,
        E: From<DatabaseError> + Send + 'static,
    {
        self.writer.try_submit(work, answer)
    }

    /// Waits until there is room for a change in the writer's queue, or it takes no more.
    pub async fn room(&self) {
        self.writer.room().await;
    }

    /// Runs one statement in a transaction of its own, and returns its rows.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn write(&self, statement: Query) -> Result<Vec<Row>, DatabaseError> {
        self.transaction(async move |connection| statement.fetch_all(connection).await).await
    }

    /// Runs one statement in a transaction of its own, and returns how many rows it changed.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn execute(&self, statement: Query) -> Result<u64, DatabaseError> {
        self.transaction(async move |connection| statement.execute(connection).await).await
    }

    /// Checks that the database can be written: takes the write lock, which shows a read-only disk
    /// as a read would not.
    ///
    /// # Errors
    /// If it cannot.
    pub async fn health(&self) -> Result<(), DatabaseError> {
        self.transaction(async |_| Ok(())).await
    }

    /// Completes when a change could not be flushed to disk. A later flush may then succeed
    /// without covering the lost pages, so no further change is accepted and the process must
    /// exit; its successor reads what the disk really has.
    pub async fn lost(&self) {
        self.lost.cancelled().await;
    }

    /// Whether a change could not be flushed, see [`Self::lost`].
    #[must_use]
    pub fn is_lost(&self) -> bool {
        self.lost.is_cancelled()
    }

    /// Moves SQLite's write-ahead log into the database file and empties it: until then the log
    /// holds what was overwritten in the file. Returns whether that was possible; a reader that
    /// began earlier is in its way, and then it is to be tried again. PostgreSQL overwrites in its
    /// own time, with VACUUM.
    pub async fn truncate_log(&self) -> bool {
        match &self.fold {
            Some(fold) => fold.truncate().await,
            None => true,
        }
    }

    /// Applies the migrations of `schema` that are pending, in this database's dialect.
    ///
    /// # Errors
    /// If one fails, or was changed after it was applied.
    pub async fn migrate(&self, schema: &Schema) -> Result<(), MigrateError> {
        match &self.reader {
            Reader::Sqlite(_) => {
                let schema = *schema;
                self.transaction(async move |connection| migrate::apply(connection, &schema).await)
                    .await
            }
            Reader::Postgres(pool) => {
                let failed = |error| MigrateError::Postgres(Arc::new(error));
                schema.migrator().run(pool).await.map_err(failed)
            }
        }
    }

    /// Closes every connection. SQLite then moves its write-ahead log into the database file.
    pub async fn close(&self) {
        self.reader.close().await;
        self.writer.close().await;
    }
}
