//! The writer: a thread that owns the only connection for writing and commits changes in groups.
//!
//! Whoever changes something sends a closure and waits for its result. The writer takes what is
//! queued, runs each closure behind a savepoint of one transaction, commits once, and only then
//! answers: a thousand changes that arrive together cost one flush of the disk. A change that is
//! refused rolls back alone. It is answered after the commit as well: it may have been refused for
//! what an earlier change of the group did, which nobody can read before.

use std::collections::VecDeque;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use super::change::{Applied, Change, Told, TypedChange};
use super::connection::Connection;
use super::error::DatabaseError;
use super::row_cache::RowCache;
use super::source::Source;

/// How many changes wait for the writer. More wait for a place.
const QUEUE_CAPACITY: usize = 4096;

/// The maximum number of changes in one transaction: large enough to share the flush, small enough
/// that the first does not wait long.
const MAX_BATCH: usize = 128;

/// How long a change waits for a place in the queue.
const QUEUE_TIMEOUT: Duration = Duration::from_secs(5);

/// How long a change in the queue may take. Its outcome is unknown after that.
const CHANGE_TIMEOUT: Duration = Duration::from_secs(30);

/// There is no room in the writer's queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("change database: too many changes wait")]
pub struct QueueFull;

/// A handle to the writer's thread. The thread ends when the last handle is dropped.
#[derive(Clone, Debug)]
pub(super) struct Writer {
    queue: mpsc::Sender<Message>,
    lost: CancellationToken,
}

enum Message {
    Change(Box<dyn Change>),
    Close(oneshot::Sender<()>),
}

impl fmt::Debug for Message {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Change(_) => f.write_str("Change"),
            Self::Close(_) => f.write_str("Close"),
        }
    }
}

impl Writer {
    /// Starts the thread. `source` makes its connections, and `cache` is told what they write.
    pub(super) fn start(
        source: Source,
        cache: Arc<RowCache>,
        lost: CancellationToken,
    ) -> std::io::Result<Self> {
        let (queue, changes) = mpsc::channel(QUEUE_CAPACITY);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let thread = WriterThread { source, changes, connection: None, cache, lost: lost.clone() };
        std::thread::Builder::new().name("database".to_owned()).spawn(move || {
            // If the thread ends by a panic, nothing can be written any more.
            let on_panic = thread.lost.clone().drop_guard();
            runtime.block_on(thread.run());
            on_panic.disarm();
        })?;
        Ok(Self { queue, lost })
    }

    /// Runs `work` inside a transaction. What it did is durable when this returns `Ok`; if it
    /// fails, all of it is rolled back.
    pub(super) async fn transaction<T, E, F>(&self, work: F) -> Result<T, E>
    where
        F: AsyncFnOnce(&mut Connection) -> Result<T, E> + Send + 'static,
        T: Send + 'static,
        E: From<DatabaseError> + Send + 'static,
    {
        if self.lost.is_cancelled() {
            return Err(DatabaseError::Lost.into());
        }
        let (reply, result) = oneshot::channel();
        let change = Message::Change(Box::new(TypedChange::new(work, reply)));
        match timeout(QUEUE_TIMEOUT, self.queue.send(change)).await {
            Ok(Ok(())) => {}
            Ok(Err(_)) => return Err(DatabaseError::Closed.into()),
            Err(_) => return Err(DatabaseError::Queue.into()),
        }
        match timeout(CHANGE_TIMEOUT, result).await {
            Ok(Ok(result)) => result,
            Ok(Err(_)) => Err(DatabaseError::Closed.into()),
            Err(_) => Err(DatabaseError::Queue.into()),
        }
    }

    /// As [`Self::transaction`], for a change that nobody waits for here: `answer` learns how it
    /// ended, on the writer's thread.
    ///
    /// # Errors
    /// There is no room in the queue now. `answer` is not asked.
    pub(super) fn try_submit<T, E, F>(
        &self,
        work: F,
        answer: impl FnOnce(Result<T, E>) + Send + 'static,
    ) -> Result<(), QueueFull>
    where
        F: AsyncFnOnce(&mut Connection) -> Result<T, E> + Send + 'static,
        T: Send + 'static,
        E: From<DatabaseError> + Send + 'static,
    {
        if self.lost.is_cancelled() {
            answer(Err(DatabaseError::Lost.into()));
            return Ok(());
        }
        match self.queue.try_send(Message::Change(Box::new(TypedChange::new(work, Told(answer))))) {
            Ok(()) => Ok(()),
            Err(TrySendError::Full(_)) => Err(QueueFull),
            Err(TrySendError::Closed(Message::Change(change))) => {
                change.refuse(DatabaseError::Closed);
                Ok(())
            }
            Err(TrySendError::Closed(Message::Close(_))) => Ok(()),
        }
    }

    /// Waits until there is room in the queue, or the writer has ended.
    pub(super) async fn room(&self) {
        drop(self.queue.reserve().await);
    }

    /// Finishes what is queued and closes the connection.
    pub(super) async fn close(&self) {
        let (done, closed) = oneshot::channel();
        if self.queue.send(Message::Close(done)).await.is_ok() {
            let _ = closed.await;
        }
    }
}

/// What the thread owns.
struct WriterThread {
    source: Source,
    changes: mpsc::Receiver<Message>,
    /// `None` until the first change, and after a failure that the connection may not survive.
    connection: Option<Connection>,
    cache: Arc<RowCache>,
    lost: CancellationToken,
}

impl WriterThread {
    async fn run(mut self) {
        let mut messages = Vec::with_capacity(MAX_BATCH);
        while self.changes.recv_many(&mut messages, MAX_BATCH).await > 0 {
            let mut changes = VecDeque::with_capacity(messages.len());
            let mut closing = None;
            for message in messages.drain(..) {
                match message {
                    Message::Change(change) if !change.is_abandoned() => changes.push_back(change),
                    Message::Change(_) => {}
                    Message::Close(done) => closing = Some(done),
                }
            }
            while !changes.is_empty() {
                self.commit_some(&mut changes).await;
            }
            if let Some(done) = closing {
                self.changes.close();
                self.connection = None;
                let _ = done.send(());
            }
        }
    }

    /// Runs changes in one transaction: all of them, unless one breaks the transaction.
    async fn commit_some(&mut self, changes: &mut VecDeque<Box<dyn Change>>) {
        let mut connection = match self.begin().await {
            Ok(connection) => connection,
            Err(error) => {
                for change in changes.drain(..) {
                    change.refuse(error.clone());
                }
                return;
            }
        };
        let alone = changes.len() == 1;
        let mut applied: Vec<Applied> = Vec::with_capacity(changes.len());
        while let Some(change) = changes.pop_front() {
            match apply(&mut connection, change, alone).await {
                Ok(it) => applied.push(it),
                // SQLite has rolled everything back, or the connection is gone.
                Err(error) => {
                    drop(connection);
                    answer(applied, &Err(error));
                    return;
                }
            }
        }
        let committing = self.cache.begin_commit(connection.take_written());
        let any_accepted = applied.iter().any(|it| it.accepted);
        let committed = match (alone, any_accepted) {
            // The refused change was the only one, and rolled back.
            (true, false) => Ok(()),
            (false, false) => connection.control("ROLLBACK").await,
            (_, true) => connection.control("COMMIT").await,
        };
        drop(committing);
        match &committed {
            Ok(()) => self.connection = Some(connection),
            Err(error) if error.is_flush_failure() => {
                tracing::error!(
                    "a write could not be flushed to disk, no further writes are accepted"
                );
                self.lost.cancel();
            }
            Err(_) => {}
        }
        answer(applied, &committed);
    }

    /// The connection, with a transaction begun.
    async fn begin(&mut self) -> Result<Connection, DatabaseError> {
        if self.lost.is_cancelled() {
            return Err(DatabaseError::Lost);
        }
        if let Some(mut connection) = self.connection.take()
            && connection.begin().await.is_ok()
        {
            return Ok(connection);
        }
        // The server was restarted, or the disk became writable again.
        let mut connection = self.source.connect().await?;
        connection.begin().await?;
        Ok(connection)
    }
}

/// Runs one change, and rolls it back if it is refused. `Err` if the transaction is broken.
async fn apply(
    connection: &mut Connection,
    change: Box<dyn Change>,
    alone: bool,
) -> Result<Applied, DatabaseError> {
    if !alone && let Err(error) = connection.control("SAVEPOINT change").await {
        change.refuse(error.clone());
        return Err(error);
    }
    let applied = change.apply(connection).await;
    if !connection.is_in_transaction() {
        (applied.answer)(Err(DatabaseError::Aborted));
        return Err(DatabaseError::Aborted);
    }
    let ended = match (applied.accepted, alone) {
        (true, true) => Ok(()),
        (true, false) => connection.control("RELEASE change").await,
        (false, true) => connection.control("ROLLBACK").await,
        (false, false) => connection.control("ROLLBACK TO change; RELEASE change").await,
    };
    match ended {
        Ok(()) => Ok(applied),
        Err(error) => {
            (applied.answer)(Err(error.clone()));
            Err(error)
        }
    }
}

fn answer(changes: Vec<Applied>, committed: &Result<(), DatabaseError>) {
    for change in changes {
        (change.answer)(committed.clone());
    }
}
