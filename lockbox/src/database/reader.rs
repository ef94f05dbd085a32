//! Reads outside of transactions, on a few connections of their own, on threads that may block.
//! Even a read waits while the file system is frozen, and must not keep the rest of the process
//! from its deadlines.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use sqlx::PgPool;
use tokio::sync::Semaphore;
use tokio::time::timeout;

use super::error::DatabaseError;
use super::query::{Executor, Query, Row};
use super::row_cache::{CacheLookup, RowCache};
use super::{postgres, sqlite};

/// Connections for reading a SQLite file. More would only cost memory: the file is in the page
/// cache.
const MAX_SQLITE_READERS: usize = 4;

/// How long a statement waits for a connection.
const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(5);

/// Connections for reading. Clones share them.
#[derive(Clone, Debug)]
pub enum Reader {
    /// Of a SQLite file.
    Sqlite(Arc<SqliteReaders>),
    /// Of a PostgreSQL server.
    Postgres(PgPool),
}

/// Connections to a SQLite file that are only read from.
#[derive(Debug)]
pub struct SqliteReaders {
    path: PathBuf,
    permits: Arc<Semaphore>,
    idle: Mutex<Vec<rusqlite::Connection>>,
    cache: Arc<RowCache>,
}

impl Reader {
    pub(super) fn sqlite(path: PathBuf, cache: Arc<RowCache>) -> Self {
        Self::Sqlite(Arc::new(SqliteReaders {
            path,
            permits: Arc::new(Semaphore::new(MAX_SQLITE_READERS)),
            idle: Mutex::new(Vec::new()),
            cache,
        }))
    }

    /// Closes every connection, after the reads that are under way.
    pub(super) async fn close(&self) {
        match self {
            Self::Sqlite(readers) => {
                let all = MAX_SQLITE_READERS as u32;
                let permits = readers.permits.acquire_many(all).await;
                readers.permits.close();
                readers.idle.lock().unwrap_or_else(PoisonError::into_inner).clear();
                drop(permits);
            }
            Self::Postgres(pool) => pool.close().await,
        }
    }
}

impl Reader {
    /// Runs a statement and folds its rows into `state`, one at a time: what is read may be larger
    /// than the memory. The inner error is the first one of `step`, which no row follows.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn try_fold<T: Send + 'static, E: Send + 'static>(
        &self,
        query: Query,
        state: T,
        mut step: impl FnMut(&mut T, &Row) -> Result<(), E> + Send + 'static,
    ) -> Result<Result<T, E>, DatabaseError> {
        let mut folded = Ok(state);
        let mut take = move |folded: &mut Result<T, E>, row: &Row| {
            if let Ok(state) = folded
                && let Err(error) = step(state, row)
            {
                *folded = Err(error);
            }
        };
        match self {
            Self::Sqlite(readers) => {
                let read = move |connection: &rusqlite::Connection| {
                    sqlite::each(connection, &query, |row| take(&mut folded, &row))?;
                    Ok(folded)
                };
                Box::pin(readers.clone().run(read)).await
            }
            Self::Postgres(pool) => {
                Box::pin(postgres::each(pool, &query, |row| take(&mut folded, &row))).await?;
                Ok(folded)
            }
        }
    }
}

impl SqliteReaders {
    fn take_idle(&self) -> Option<rusqlite::Connection> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop()
    }

    fn give_back(&self, connection: rusqlite::Connection) {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).push(connection);
    }

    /// The rows of a statement, from memory if they are there.
    async fn rows(self: Arc<Self>, query: Query) -> Result<Vec<Row>, DatabaseError> {
        let ticket = match self.cache.get(&query) {
            CacheLookup::Hit(rows) => return Ok(rows),
            CacheLookup::Miss(ticket) => Some(ticket),
            CacheLookup::Bypass => None,
        };
        let readers = self.clone();
        let read = move |connection: &rusqlite::Connection| {
            let rows = sqlite::rows(connection, &query)?;
            if let Some(ticket) = ticket {
                readers.cache.put(&query, &rows, ticket);
            }
            Ok(rows)
        };
        // Boxed, so that whoever finds the rows in memory holds no room for a read of the file.
        Box::pin(self.run(read)).await
    }

    /// Runs a read on a thread that may block.
    async fn run<T: Send + 'static>(
        self: Arc<Self>,
        read: impl FnOnce(&rusqlite::Connection) -> Result<T, DatabaseError> + Send + 'static,
    ) -> Result<T, DatabaseError> {
        let permit = match timeout(ACQUIRE_TIMEOUT, self.permits.clone().acquire_owned()).await {
            Ok(Ok(permit)) => permit,
            Ok(Err(_)) => return Err(DatabaseError::Closed),
            Err(_) => return Err(DatabaseError::Busy),
        };
        let reading = tokio::task::spawn_blocking(move || {
            let connection = match self.take_idle() {
                Some(connection) => connection,
                None => sqlite::connect_reader(&self.path)?,
            };
            let result = read(&connection);
            // A connection that failed may keep failing; the next read opens another.
            if result.is_ok() {
                self.give_back(connection);
            }
            drop(permit);
            result
        });
        reading.await.unwrap_or(Err(DatabaseError::Closed))
    }
}

impl Executor for &Reader {
    async fn rows(self, query: Query) -> Result<Vec<Row>, DatabaseError> {
        match self {
            Reader::Sqlite(readers) => readers.clone().rows(query).await,
            Reader::Postgres(pool) => Box::pin(postgres::rows(pool, &query)).await,
        }
    }

    async fn changes(self, query: Query) -> Result<u64, DatabaseError> {
        // A reader's connection refuses to write.
        self.rows(query).await.map(|_| 0)
    }
}
