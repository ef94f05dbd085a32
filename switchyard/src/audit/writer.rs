//! The one who writes events down, and everybody else's way to it.
//!
//! Whatever waits is written in one transaction, so that a thousand pods that are handed a
//! generation at once cost a few flushes of the disk and not a thousand behind each other.

use std::time::Duration;

use jiff::Timestamp;
use runtime::logs::ErrorChain;
use tokio::sync::{mpsc, oneshot};

use super::Event;
use crate::repository::{Holding, Record, Repository};

/// Events that may wait. More than that many requests at once wait for a place.
const QUEUE: usize = 4096;

/// The most events in one transaction: large enough that flushes do not matter, small enough that
/// the first one does not wait long for the last.
const BATCH: usize = 512;

/// How long a request waits for its event. After that it is refused.
const PATIENCE: Duration = Duration::from_secs(5);

/// The way to the clerk. Clones share it; the clerk goes home when the last one is dropped.
#[derive(Clone, Debug)]
pub struct Audit {
    desk: mpsc::Sender<Entry>,
}

/// An event could not be written down, so what it is about must not happen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AuditError {
    /// The database refused it; the log says why.
    #[error("write audit event: the database refused it")]
    Refused,
    /// It took too long.
    #[error("write audit event: not done within {PATIENCE:?}")]
    Slow,
}

#[derive(Debug)]
struct Entry {
    record: Record,
    written: oneshot::Sender<bool>,
}

/// Writes events down until nobody is left who could send one.
#[derive(Debug)]
pub struct Clerk {
    desk: mpsc::Receiver<Entry>,
    repository: Repository,
}

impl Audit {
    /// A clerk for the trail in `repository`, and the way to it.
    #[must_use]
    pub fn new(repository: Repository) -> (Self, Clerk) {
        let (sender, receiver) = mpsc::channel(QUEUE);
        (Self { desk: sender }, Clerk { desk: receiver, repository })
    }

    /// Writes an event down. It is durable when this returns.
    ///
    /// # Errors
    /// Where it is not durable within a few seconds.
    pub async fn record(&self, event: Event) -> Result<(), AuditError> {
        self.hand_in(Record { at: Timestamp::now(), event, holding: None }).await
    }

    /// Writes an event down together with what a pod says that it holds.
    ///
    /// # Errors
    /// Where it is not durable within a few seconds.
    pub async fn record_holding(&self, event: Event, holding: Holding) -> Result<(), AuditError> {
        self.hand_in(Record { at: Timestamp::now(), event, holding: Some(holding) }).await
    }

    async fn hand_in(&self, record: Record) -> Result<(), AuditError> {
        let (written, answer) = oneshot::channel();
        let done = async {
            self.desk.send(Entry { record, written }).await.map_err(|_| AuditError::Refused)?;
            match answer.await {
                Ok(true) => Ok(()),
                Ok(false) | Err(_) => Err(AuditError::Refused),
            }
        };
        tokio::time::timeout(PATIENCE, done).await.unwrap_or(Err(AuditError::Slow))
    }
}

impl Clerk {
    /// Works until the last [`Audit`] is gone.
    pub async fn work(mut self) {
        let mut entries = Vec::with_capacity(BATCH);
        while self.desk.recv_many(&mut entries, BATCH).await > 0 {
            let (records, waiting): (Vec<_>, Vec<_>) =
                entries.drain(..).map(|Entry { record, written }| (record, written)).unzip();
            let written = match self.repository.append(&records).await {
                Ok(()) => true,
                Err(error) => {
                    tracing::error!(error = %ErrorChain(&error), events = records.len(), "audit events not written, what they are about is refused");
                    false
                }
            };
            for one in waiting {
                // Whoever gave up waiting refused its request already.
                let _ = one.send(written);
            }
        }
    }
}
