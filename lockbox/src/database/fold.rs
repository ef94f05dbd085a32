//! Moves SQLite's write-ahead log into the database file: on a timer, so that no commit waits for
//! it, and on request, because until then the log still holds what was overwritten in the file.

use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::time::{Duration, Instant};

use rusqlite::Connection;
use tokio::sync::oneshot;

use super::error::DatabaseError;
use super::sqlite;

/// How often the size of the log is looked at.
const INTERVAL: Duration = Duration::from_millis(500);

/// A log larger than this is moved without stopping the writer, as far as readers allow.
const PASSIVE_BYTES: u64 = 4 << 20;

/// A log larger than this is emptied, which stops the writer for a moment.
const TRUNCATE_BYTES: u64 = 32 << 20;

/// How long one attempt to empty the log waits for readers, with the writer stopped.
const ATTEMPT_TIMEOUT: Duration = Duration::from_millis(50);

/// The pause between two attempts.
const ATTEMPT_PAUSE: Duration = Duration::from_millis(150);

/// How long a request is tried.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(2);

/// Requests that wait. One attempt answers all of them.
const MAX_REQUESTS: usize = 256;

type FoldRequest = oneshot::Sender<bool>;

/// A handle to the thread. It ends when the last handle is dropped.
#[derive(Clone, Debug)]
pub(super) struct Fold(SyncSender<FoldRequest>);

impl Fold {
    pub(super) fn start(path: PathBuf) -> std::io::Result<Self> {
        let (requests, received) = sync_channel(MAX_REQUESTS);
        std::thread::Builder::new()
            .name("database-log".to_owned())
            .spawn(move || run(&path, &received))?;
        Ok(Self(requests))
    }

    /// Empties the log. Returns whether that was possible in time: a reader that began earlier
    /// keeps what it sees.
    pub(super) async fn truncate(&self) -> bool {
        let (reply, emptied) = oneshot::channel();
        self.0.try_send(reply).is_ok() && emptied.await.unwrap_or(false)
    }
}

fn run(path: &Path, requests: &Receiver<FoldRequest>) {
    loop {
        match requests.recv_timeout(INTERVAL) {
            Ok(first) => {
                let all: Vec<FoldRequest> =
                    std::iter::once(first).chain(requests.try_iter()).collect();
                let emptied = truncate(path).unwrap_or_else(|error| {
                    tracing::warn!(%error, "empty SQLite's write-ahead log");
                    false
                });
                for request in all {
                    let _ = request.send(emptied);
                }
            }
            Err(RecvTimeoutError::Timeout) => {
                if let Err(error) = fold(path) {
                    tracing::warn!(%error, "move SQLite's write-ahead log into its file");
                }
            }
            Err(RecvTimeoutError::Disconnected) => return,
        }
    }
}

/// The regular check.
fn fold(path: &Path) -> Result<(), DatabaseError> {
    let size = log_size(path);
    if size < PASSIVE_BYTES {
        return Ok(());
    }
    let connection = sqlite::connect_checkpointer(path)?;
    checkpoint(&connection, "PRAGMA wal_checkpoint(PASSIVE)")?;
    if size >= TRUNCATE_BYTES {
        connection.busy_timeout(ATTEMPT_TIMEOUT)?;
        checkpoint(&connection, "PRAGMA wal_checkpoint(TRUNCATE)")?;
    }
    Ok(())
}

/// Tries to empty the log until [`REQUEST_TIMEOUT`].
fn truncate(path: &Path) -> Result<bool, DatabaseError> {
    let connection = sqlite::connect_checkpointer(path)?;
    connection.busy_timeout(ATTEMPT_TIMEOUT)?;
    let end = Instant::now() + REQUEST_TIMEOUT;
    loop {
        if checkpoint(&connection, "PRAGMA wal_checkpoint(TRUNCATE)")? {
            return Ok(true);
        }
        if Instant::now() + ATTEMPT_PAUSE > end {
            return Ok(false);
        }
        std::thread::sleep(ATTEMPT_PAUSE);
    }
}

/// Runs a checkpoint. Returns whether nothing was in its way.
fn checkpoint(connection: &Connection, sql: &str) -> Result<bool, DatabaseError> {
    let busy: i64 = connection.query_row(sql, (), |row| row.get(0))?;
    Ok(busy == 0)
}

fn log_size(path: &Path) -> u64 {
    let mut log = path.as_os_str().to_owned();
    log.push("-wal");
    std::fs::metadata(log).map_or(0, |metadata| metadata.len())
}
