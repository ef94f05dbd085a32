//! Reads outside of transactions, on a few connections of their own.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use sqlx::PgPool;
use tokio::sync::Semaphore;
use tokio::time::timeout;

use super::error::DatabaseError;
use super::query::{Executor, Query, Row};
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
}

/// Runs the reads of a [`Reader`] that find one row by an index. On SQLite they run on the calling
/// thread: they take a few microseconds, and the way to another thread and back takes longer.
#[derive(Clone, Copy, Debug)]
pub struct PointReader<'r>(&'r Reader);

impl Reader {
    /// For reads that find one row, or a few, by an index.
    #[must_use]
    pub fn point(&self) -> PointReader<'_> {
        PointReader(self)
    }

    pub(super) fn sqlite(path: PathBuf) -> Self {
        Self::Sqlite(Arc::new(SqliteReaders {
            path,
            permits: Arc::new(Semaphore::new(MAX_SQLITE_READERS)),
            idle: Mutex::new(Vec::new()),
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
    /// than the memory.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn fold<T: Send + 'static>(
        &self,
        query: Query,
        mut state: T,
        mut step: impl FnMut(&mut T, &Row) + Send + 'static,
    ) -> Result<T, DatabaseError> {
        match self {
            Self::Sqlite(readers) => {
                let read = move |connection: &rusqlite::Connection| {
                    sqlite::each(connection, &query, |row| step(&mut state, &row))?;
                    Ok(state)
                };
                readers.clone().run(read).await
            }
            Self::Postgres(pool) => {
                postgres::each(pool, &query, |row| step(&mut state, &row)).await?;
                Ok(state)
            }
        }
    }
}

impl SqliteReaders {
    /// Runs a read on this thread, if that needs to wait for nothing: neither for a connection nor
    /// for another's lock.
    fn try_here(&self, query: &Query) -> Option<Result<Vec<Row>, DatabaseError>> {
        let _permit = self.permits.try_acquire().ok()?;
        let connection = self.take_idle()?;
        let result = sqlite::rows_without_waiting(&connection, query);
        match &result {
            Ok(_) => self.give_back(connection),
            // It waits on another thread.
            Err(error) if error.is_busy() => {
                self.give_back(connection);
                return None;
            }
            Err(_) => {}
        }
        Some(result)
    }

    fn take_idle(&self) -> Option<rusqlite::Connection> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop()
    }

    fn give_back(&self, connection: rusqlite::Connection) {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).push(connection);
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
            Reader::Sqlite(readers) => {
                readers.clone().run(move |connection| sqlite::rows(connection, &query)).await
            }
            Reader::Postgres(pool) => postgres::rows(pool, &query).await,
        }
    }

    async fn changes(self, query: Query) -> Result<u64, DatabaseError> {
        // A reader's connection refuses to write.
        self.rows(query).await.map(|_| 0)
    }
}

impl Executor for PointReader<'_> {
    async fn rows(self, query: Query) -> Result<Vec<Row>, DatabaseError> {
        let Self(reader) = self;
        if let Reader::Sqlite(readers) = reader
            && let Some(result) = readers.try_here(&query)
        {
            return result;
        }
        reader.rows(query).await
    }

    async fn changes(self, query: Query) -> Result<u64, DatabaseError> {
        self.rows(query).await.map(|_| 0)
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Database, query};
    use super::*;

    #[tokio::test]
    async fn a_point_read_finds_what_another_read_finds_and_changes_nothing() {
        let directory = tempfile::tempdir().unwrap();
        let database = Database::open(&directory.path().join("it.db")).await.unwrap();
        database.execute(query("CREATE TABLE it (n INTEGER)")).await.unwrap();
        let count = || query("SELECT count(*) AS n FROM it");
        // The first one has no connection yet, and the second one has.
        for expected in 0..3 {
            let point = count().fetch_one(database.reader().point()).await.unwrap();
            let other = count().fetch_one(database.reader()).await.unwrap();
            assert_eq!(point.scalar::<i64>().unwrap(), expected);
            assert_eq!(other.scalar::<i64>().unwrap(), expected);
            let insert = query("INSERT INTO it VALUES (1)");
            insert.clone().execute(database.reader().point()).await.unwrap_err();
            database.execute(insert).await.unwrap();
        }
    }

    #[tokio::test]
    async fn a_point_read_without_a_free_connection_waits_for_one() {
        let directory = tempfile::tempdir().unwrap();
        let database = Database::open(&directory.path().join("it.db")).await.unwrap();
        let Reader::Sqlite(readers) = database.reader() else { panic!() };
        let all = readers.permits.clone().acquire_many_owned(MAX_SQLITE_READERS as u32).await;
        let read = query("SELECT 1 AS n");
        assert!(readers.try_here(&read).is_none());
        let (row, ()) = tokio::join!(read.fetch_one(database.reader().point()), async {
            tokio::task::yield_now().await;
            drop(all);
        });
        assert_eq!(row.unwrap().scalar::<i64>().unwrap(), 1);
    }
}
