//! Why a database call failed.

use std::sync::Arc;

/// Why a database call failed. Clones share the cause: one failed commit fails every change that
/// was part of it.
#[derive(Clone, Debug, thiserror::Error)]
pub enum DatabaseError {
    /// SQLite refused.
    #[error("SQLite: {0}")]
    Sqlite(Arc<rusqlite::Error>),
    /// PostgreSQL refused, or cannot be reached.
    #[error("PostgreSQL: {0}")]
    Postgres(Arc<sqlx::Error>),
    /// A result has no column of this name.
    #[error("read column {0}: the result does not have it")]
    Column(String),
    /// A column has another type than expected, or is NULL.
    #[error("read column {0}: it has another type than expected")]
    Type(String),
    /// A statement that always returns a row returned none.
    #[error("read row: the statement returned none")]
    NoRow,
    /// A statement got no answer in time.
    #[error("run statement: the database did not answer in time")]
    Slow,
    /// Another change of the same batch failed in a way that ended the transaction.
    #[error("write database: the transaction was ended by another change's failure")]
    Aborted,
    /// No connection was free in time.
    #[error("wait for a database connection: none was free in time")]
    Busy,
    /// A change waited too long for the changes before it.
    #[error("wait for earlier changes of the database: they take too long")]
    Queue,
    /// The database is closed.
    #[error("use database: it is closed")]
    Closed,
    /// An earlier change could not be flushed to disk, see [`Database::lost`].
    ///
    /// [`Database::lost`]: super::Database::lost
    #[error("write database: an earlier change could not be flushed to disk")]
    Lost,
}

impl From<rusqlite::Error> for DatabaseError {
    fn from(error: rusqlite::Error) -> Self {
        Self::Sqlite(Arc::new(error))
    }
}

impl From<sqlx::Error> for DatabaseError {
    fn from(error: sqlx::Error) -> Self {
        Self::Postgres(Arc::new(error))
    }
}

impl DatabaseError {
    /// Whether PostgreSQL's user lacks a right (`insufficient_privilege`).
    #[must_use]
    pub fn is_forbidden(&self) -> bool {
        let Self::Postgres(error) = self else { return false };
        let code = error.as_database_error().and_then(|error| error.code());
        code.is_some_and(|code| code == "42501")
    }

    /// Whether SQLite failed to flush a file or directory (`SQLITE_IOERR_FSYNC`,
    /// `SQLITE_IOERR_DIR_FSYNC`). PostgreSQL itself panics and restarts.
    pub(super) fn is_flush_failure(&self) -> bool {
        let Self::Sqlite(error) = self else { return false };
        error.sqlite_error().is_some_and(|error| matches!(error.extended_code, 1034 | 1290))
    }
}
