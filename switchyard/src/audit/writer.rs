//! The audit writer task and the handle to it.
//!
//! All queued events are written in one transaction, so a thousand pods that receive a generation
//! at the same time cost a few disk flushes instead of a thousand. Events that a value waits for go
//! before the reports of pods that have theirs.

use std::time::Duration;

use jiff::Timestamp;
use runtime::logs::ErrorChain;
use tokio::sync::{mpsc, oneshot};

use super::Event;
use crate::repository::{AuditEntry, PodReport, Repository};

/// Queue capacity. When it is full, requests wait for a free slot.
const QUEUE_CAPACITY: usize = 4096;

/// How many events fill a transaction: enough to amortize the flush, few enough that the first one
/// does not wait long.
const MAX_BATCH: usize = 512;

/// The maximum number of reports in one transaction.
const MAX_REPORTS: usize = 128;

/// How long a request waits for its event to become durable before it is refused.
const WRITE_TIMEOUT: Duration = Duration::from_secs(5);

/// A handle to the [`AuditWriter`]. Clones share it; the writer ends when the last one is dropped.
#[derive(Clone, Debug)]
pub struct AuditLog {
    queue: mpsc::Sender<QueuedEvents>,
    reports: mpsc::Sender<QueuedEvents>,
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

/// Events that are written together, and who waits for them.
#[derive(Debug)]
struct QueuedEvents {
    records: Vec<AuditEntry>,
    written: oneshot::Sender<bool>,
}

/// Appends queued events to the ledger.
#[derive(Debug)]
pub struct AuditWriter {
    queue: mpsc::Receiver<QueuedEvents>,
    reports: mpsc::Receiver<QueuedEvents>,
    repository: Repository,
}

impl AuditLog {
    /// A writer for the audit log in `repository`, and a handle to it.
    #[must_use]
    pub fn new(repository: Repository) -> (Self, AuditWriter) {
        let (queue, queued) = mpsc::channel(QUEUE_CAPACITY);
        let (reports, reported) = mpsc::channel(QUEUE_CAPACITY);
        let writer = AuditWriter { queue: queued, reports: reported, repository };
        (Self { queue, reports }, writer)
    }

    /// Writes an event. It is durable when this returns.
    ///
    /// # Errors
    /// The database refused the event, or it did not become durable in time.
    pub async fn record(&self, event: Event) -> Result<(), AuditError> {
        self.record_all(vec![event]).await
    }

    /// Writes events, in this order and with one wait. All of them are durable when this returns.
    /// If it fails, none of what they describe may happen.
    ///
    /// # Errors
    /// The database refused the events, or they did not become durable in time.
    pub async fn record_all(&self, events: Vec<Event>) -> Result<(), AuditError> {
        if events.is_empty() {
            return Ok(());
        }
        let at = Timestamp::now();
        let entry = |event| AuditEntry { at, event, report: None };
        enqueue(&self.queue, events.into_iter().map(entry).collect()).await
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
        let entry = AuditEntry { at: Timestamp::now(), event, report: Some(report) };
        enqueue(&self.reports, vec![entry]).await
    }
}

async fn enqueue(
    queue: &mpsc::Sender<QueuedEvents>,
    records: Vec<AuditEntry>,
) -> Result<(), AuditError> {
    let (written, answer) = oneshot::channel();
    let done = async {
        queue.send(QueuedEvents { records, written }).await.map_err(|_| AuditError::Refused)?;
        match answer.await {
            Ok(true) => Ok(()),
            Ok(false) | Err(_) => Err(AuditError::Refused),
        }
    };
    tokio::time::timeout(WRITE_TIMEOUT, done).await.unwrap_or(Err(AuditError::Slow))
}

impl AuditWriter {
    /// Runs until the last [`AuditLog`] is dropped.
    pub async fn run(mut self) {
        let mut entries = Vec::with_capacity(MAX_BATCH);
        while self.next_batch(&mut entries).await {
            let (records, waiters): (Vec<_>, Vec<_>) = entries
                .drain(..)
                .map(|QueuedEvents { records, written }| (records, written))
                .unzip();
            let records: Vec<AuditEntry> = records.into_iter().flatten().collect();
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

    /// Waits for events and takes those that are there. Returns `false` when the last [`AuditLog`]
    /// is dropped.
    async fn next_batch(&mut self, entries: &mut Vec<QueuedEvents>) -> bool {
        let first = tokio::select! {
            biased;
            Some(event) = self.queue.recv() => event,
            Some(report) = self.reports.recv() => report,
            else => return false,
        };
        let mut events = first.records.len();
        entries.push(first);
        // What belongs together stays together, so the last ones may go beyond the maximum.
        while events < MAX_BATCH
            && let Ok(next) = self.queue.try_recv()
        {
            events += next.records.len();
            entries.push(next);
        }
        // Some reports go with every batch, so that they are late and not lost.
        entries.extend(std::iter::from_fn(|| self.reports.try_recv().ok()).take(MAX_REPORTS));
        true
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Action, Actor, Origin, Outcome, Pod, Resource, ResourceKind};
    use super::*;
    use crate::repository::{AuditQuery, BundleId, ReportedState};

    fn event(action: Action) -> Event {
        Event {
            actor: Actor::Anonymous,
            action,
            resource: Resource { kind: ResourceKind::Bundle, id: "api-prod".into(), scope: None },
            version: None,
            outcome: Outcome::Allowed,
            origin: Origin::default(),
            details: None,
        }
    }

    fn report() -> PodReport {
        let pod = Pod {
            namespace: "shop-prod".into(),
            service_account: "api".into(),
            name: "api-1".into(),
            uid: "1".into(),
        };
        let state = ReportedState::Failed {
            wanted: contract::Generation(1),
            step: "write".into(),
            detail: String::new(),
        };
        PodReport { pod, bundle: BundleId(1), state }
    }

    #[tokio::test]
    async fn what_a_value_waits_for_goes_before_reports_which_are_not_left_out() {
        let directory = tempfile::tempdir().unwrap();
        let database = lockbox::Database::open(&directory.path().join("x.db")).await.unwrap();
        let (log, mut writer) = AuditLog::new(Repository::open(database).await.unwrap());
        let mut reports: Vec<_> = (0..MAX_REPORTS + 2)
            .map(|_| Box::pin(log.record_with_report(event(Action::Applied), report())))
            .collect();
        let mut reads: Vec<_> = (0..3).map(|_| Box::pin(log.record(event(Action::Read)))).collect();
        for it in &mut reports {
            assert!(futures_util::poll!(it).is_pending());
            // One turn of a task may send a limited number of messages.
            tokio::task::yield_now().await;
        }
        for it in &mut reads {
            assert!(futures_util::poll!(it).is_pending());
        }
        let mut batches = Vec::new();
        let mut entries = Vec::new();
        for _ in 0..2 {
            assert!(writer.next_batch(&mut entries).await);
            let are_reports: Vec<bool> =
                entries.drain(..).map(|it| it.records[0].report.is_some()).collect();
            batches.push(are_reports);
        }
        let expected = [[vec![false; 3], vec![true; MAX_REPORTS]].concat(), vec![true; 2]];
        assert_eq!(batches, expected);
        drop((reports, reads));
        drop(log);
        assert!(!writer.next_batch(&mut entries).await);
    }

    #[tokio::test]
    async fn events_that_belong_together_are_written_with_one_wait() {
        let directory = tempfile::tempdir().unwrap();
        let database = lockbox::Database::open(&directory.path().join("x.db")).await.unwrap();
        let repository = Repository::open(database).await.unwrap();
        let (log, mut writer) = AuditLog::new(repository.clone());
        assert_eq!(log.record_all(vec![]).await, Ok(()));
        let many = |count: usize| vec![event(Action::Read); count];
        let mut waiting: Vec<_> = [MAX_BATCH - 1, 1000, 1]
            .map(|count| Box::pin(log.record_all(many(count))))
            .into_iter()
            .collect();
        for it in &mut waiting {
            assert!(futures_util::poll!(it).is_pending());
        }
        let mut sizes = Vec::new();
        let mut entries = Vec::new();
        for _ in 0..2 {
            assert!(writer.next_batch(&mut entries).await);
            sizes.push(entries.drain(..).map(|it| it.records.len()).collect::<Vec<_>>());
        }
        assert_eq!(sizes, [vec![MAX_BATCH - 1, 1000], vec![1]]);
        drop(waiting);
        runtime::tasks::Tasks::new().spawn("writer", writer.run());
        log.record_all(many(700)).await.unwrap();
        let all = AuditQuery { limit: 1000, ..AuditQuery::default() };
        assert_eq!(repository.audit(&all).await.unwrap().len(), 700);
    }
}
