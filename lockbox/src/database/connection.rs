//! One connection to either database, as a transaction uses it.

use std::time::Duration;

use sqlx::PgConnection;

use super::error::DatabaseError;
use super::query::{Executor, Query, Row};
use super::row_cache::Written;
use super::{postgres, sqlite};

/// How long PostgreSQL has for one statement, over its own `statement_timeout`: the connection may
/// be dead without an error.
const STATEMENT_TIMEOUT: Duration = Duration::from_secs(15);

/// The connection that changes run on, inside their transaction.
#[derive(Debug)]
pub enum Connection {
    /// SQLite's. Its statements run on the calling thread.
    Sqlite(SqliteConnection),
    /// PostgreSQL's.
    Postgres(PgConnection),
}

/// The connection that writes to a SQLite file.
#[derive(Debug)]
pub struct SqliteConnection {
    connection: rusqlite::Connection,
    /// What was written since the last commit.
    written: Written,
}

impl Connection {
    pub(super) fn sqlite(connection: rusqlite::Connection) -> Self {
        Self::Sqlite(SqliteConnection { connection, written: Written::default() })
    }

    /// What was written since this was last asked.
    pub(super) fn take_written(&mut self) -> Written {
        match self {
            Self::Sqlite(it) => std::mem::take(&mut it.written),
            // Its rows are not cached.
            Self::Postgres(_) => Written::default(),
        }
    }

    /// Begins a transaction. SQLite's takes the write lock at once: taken later, two readers that
    /// become writers would deadlock.
    pub(super) async fn begin(&mut self) -> Result<(), DatabaseError> {
        let sql = match self {
            Self::Sqlite(_) => "BEGIN IMMEDIATE",
            Self::Postgres(_) => "BEGIN",
        };
        self.control(sql).await
    }

    /// Begins, ends or divides a transaction. Such statements are repeated with every change, so
    /// SQLite keeps them prepared.
    pub(super) async fn control(&mut self, sql: &'static str) -> Result<(), DatabaseError> {
        match self {
            Self::Sqlite(it) => sqlite::control(&it.connection, sql),
            Self::Postgres(connection) => within(postgres::control(connection, sql)).await,
        }
    }

    /// Runs the statements of a migration.
    pub(super) async fn script(&mut self, sql: &'static str) -> Result<(), DatabaseError> {
        match self {
            Self::Sqlite(it) => Ok(it.connection.execute_batch(sql)?),
            Self::Postgres(connection) => within(postgres::control(connection, sql)).await,
        }
    }

    /// Whether a transaction is open. SQLite ends one by itself when a write fails badly (a full
    /// disk); PostgreSQL never does.
    pub(super) fn is_in_transaction(&self) -> bool {
        match self {
            Self::Sqlite(it) => !it.connection.is_autocommit(),
            Self::Postgres(_) => true,
        }
    }
}

impl Executor for &mut Connection {
    async fn rows(self, query: Query) -> Result<Vec<Row>, DatabaseError> {
        match self {
            Connection::Sqlite(it) => {
                it.written.add(&query.sql);
                sqlite::rows(&it.connection, &query)
            }
            Connection::Postgres(connection) => {
                within(postgres::rows(&mut *connection, &query)).await
            }
        }
    }

    async fn changes(self, query: Query) -> Result<u64, DatabaseError> {
        match self {
            Connection::Sqlite(it) => {
                it.written.add(&query.sql);
                sqlite::changes(&it.connection, &query)
            }
            Connection::Postgres(connection) => {
                within(postgres::changes(&mut *connection, &query)).await
            }
        }
    }
}

async fn within<T>(
    statement: impl Future<Output = Result<T, DatabaseError>>,
) -> Result<T, DatabaseError> {
    tokio::time::timeout(STATEMENT_TIMEOUT, statement).await.unwrap_or(Err(DatabaseError::Slow))
}
