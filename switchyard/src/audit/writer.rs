//! The audit writer task and the handle to it.
//!
//! All queued events are written in one transaction, so a thousand pods that receive a generation
//! at the same time cost a few disk flushes instead of a thousand.

use std::time::Duration;

use jiff::Timestamp;
use runtime::logs::ErrorChain;
use tokio::sync::{mpsc, oneshot};

use super::Event;
use crate::repository::{AuditEntry, PodReport, Repository};

/// Queue capacity. When it is full, requests wait for a free slot.
const QUEUE_CAPACITY: usize = 4096;

/// The maximum number of events in one transaction: large enough to amortize the flush, small
/// enough that the first event does not wait long.
const MAX_BATCH: usize = 512;

/// How long a request waits for its event to become durable before it is refused.
const WRITE_TIMEOUT: Duration = Duration::from_secs(5);

/// A handle to the [`AuditWriter`]. Clones share it; the writer ends when the last one is dropped.
#[derive(Clone, Debug)]
pub struct AuditLog {
    queue: mpsc::Sender<QueuedEvent>,
}

/// An event could not be written, so the action it describes must not happen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AuditError {
    /// The database refused it. The log has the reason.
    #[error("write audit event: the database refused it")]
    Refused,
    /// It timed out.
    #[error("write audit event: not done within {WRITE_TIMEOUT:?}")]
    Slow,
}

#[derive(Debug)]
struct QueuedEvent {
    record: AuditEntry,
    written: oneshot::Sender<bool>,
}

/// Appends queued events to the ledger.
#[derive(Debug)]
pub struct AuditWriter {
    queue: mpsc::Receiver<QueuedEvent>,
    repository: Repository,
}

impl AuditLog {
    /// A writer for the audit log in `repository`, and a handle to it.
    #[must_use]
    pub fn new(repository: Repository) -> (Self, AuditWriter) {
        let (sender, receiver) = mpsc::channel(QUEUE_CAPACITY);
        (Self { queue: sender }, AuditWriter { queue: receiver, repository })
    }

    /// Writes an event. It is durable when this returns.
    ///
    /// # Errors
    /// The database refused the event, or it did not become durable in time.
    pub async fn record(&self, event: Event) -> Result<(), AuditError> {
        self.enqueue(AuditEntry { at: Timestamp::now(), event, report: None }).await
    }

    /// Writes an event together with a pod's report.
    ///
    /// # Errors
    /// The database refused the event, or it did not become durable in time.
    pub async fn record_with_report(
        &self,
        event: Event,
        report: PodReport,
    ) -> Result<(), AuditError> {
        self.enqueue(AuditEntry { at: Timestamp::now(), event, report: Some(report) }).await
    }

    async fn enqueue(&self, record: AuditEntry) -> Result<(), AuditError> {
        let (written, answer) = oneshot::channel();
        let done = async {
            self.queue
                .send(QueuedEvent { record, written })
                .await
                .map_err(|_| AuditError::Refused)?;
            match answer.await {
                Ok(true) => Ok(()),
                Ok(false) | Err(_) => Err(AuditError::Refused),
            }
        };
        tokio::time::timeout(WRITE_TIMEOUT, done).await.unwrap_or(Err(AuditError::Slow))
    }
}

impl AuditWriter {
    /// Runs until the last [`AuditLog`] is dropped.
    pub async fn run(mut self) {
        let mut entries = Vec::with_capacity(MAX_BATCH);
        while self.queue.recv_many(&mut entries, MAX_BATCH).await > 0 {
            let (records, waiters): (Vec<_>, Vec<_>) =
                entries.drain(..).map(|QueuedEvent { record, written }| (record, written)).unzip();
            let events = records.len();
            let written = match self.repository.append(records).await {
                Ok(()) => true,
                Err(error) => {
                    tracing::error!(error = %ErrorChain(&error), events, "audit \
                        events not written, their requests are refused");
                    false
                }
            };
            for waiter in waiters {
                // A caller that timed out has already refused its request.
                let _ = waiter.send(written);
            }
        }
    }
}
