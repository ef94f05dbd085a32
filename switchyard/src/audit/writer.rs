//! The handle to the audit log, and the task that helps when the database is behind.

use std::sync::{Arc, Weak};
use std::time::Duration;

use jiff::Timestamp;
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;

use super::Event;
use super::queue::{AuditQueue, QueuedEvents};
use crate::repository::{AuditEntry, PodReport, Repository};

/// Queue capacity. When it is full, requests wait for a free slot.
const QUEUE_CAPACITY: usize = 4096;

/// How long a request waits for its event to become durable before it is refused.
const WRITE_TIMEOUT: Duration = Duration::from_secs(5);

/// A handle to the audit log. Clones share it.
#[derive(Clone, Debug)]
pub struct AuditLog {
    events: mpsc::Sender<QueuedEvents>,
    reports: mpsc::Sender<QueuedEvents>,
    queue: Arc<AuditQueue>,
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

/// Asks the database again that had no room for what is queued. It ends when the last [`AuditLog`]
/// is dropped.
#[derive(Debug)]
pub struct AuditWriter {
    overflow: mpsc::Receiver<()>,
    queue: Weak<AuditQueue>,
}

impl AuditLog {
    /// A writer for the audit log in `repository`, and a handle to it.
    #[must_use]
    pub fn new(repository: Repository) -> (Self, AuditWriter) {
        let (events, queued) = mpsc::channel(QUEUE_CAPACITY);
        let (reports, reported) = mpsc::channel(QUEUE_CAPACITY);
        let (overflowed, overflow) = mpsc::channel(1);
        let queue = Arc::new(AuditQueue::new(repository, queued, reported, overflowed));
        let writer = AuditWriter { overflow, queue: Arc::downgrade(&queue) };
        (Self { events, reports, queue }, writer)
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
        self.enqueue(&self.events, events.into_iter().map(entry).collect()).await
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
        self.enqueue(&self.reports, vec![entry]).await
    }

    async fn enqueue(
        &self,
        queue: &mpsc::Sender<QueuedEvents>,
        records: Vec<AuditEntry>,
    ) -> Result<(), AuditError> {
        let (written, answer) = oneshot::channel();
        let done = async {
            let queued_at = Instant::now();
            let queued = queue.send(QueuedEvents { records, written, queued_at }).await;
            queued.map_err(|_| AuditError::Refused)?;
            self.queue.ask();
            answer.await.map_err(|_| AuditError::Refused)
        };
        tokio::time::timeout(WRITE_TIMEOUT, done).await.unwrap_or(Err(AuditError::Slow))
    }
}

impl AuditWriter {
    /// Runs until the last [`AuditLog`] is dropped.
    pub async fn run(mut self) {
        while self.overflow.recv().await.is_some() {
            let Some(queue) = self.queue.upgrade() else { return };
            queue.room().await;
            queue.ask();
        }
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;
    use lockbox::database::{Connection, DatabaseError};

    use super::super::queue::{EventBatch, MAX_BATCH, MAX_REPORTS};
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
        let (log, writer) = AuditLog::new(Repository::open(database).await.unwrap());
        log.queue.hold();
        tokio::time::pause();
        let (mut waiting, mut taken) = (Vec::new(), Vec::new());
        // Reports, reads, and what comes of them after how many milliseconds.
        for (reports, reads, after, expected) in [
            (MAX_REPORTS + 2, 3, 0, (0, 3, true)),
            (0, 1, 200, (0, 1, true)),
            (0, 0, 0, (MAX_REPORTS, 0, true)),
            (0, 2, 40, (0, 2, true)),
            (0, 2, 20, (2, 2, false)),
        ] {
            for _ in 0..reports {
                let report = log.record_with_report(event(Action::Applied), report());
                waiting.push(report.boxed_local());
            }
            waiting.extend((0..reads).map(|_| log.record(event(Action::Read)).boxed_local()));
            for it in &mut waiting {
                assert!(futures_util::poll!(it).is_pending());
                // One turn of a task may send a limited number of messages.
                tokio::task::yield_now().await;
            }
            tokio::time::advance(Duration::from_millis(after)).await;
            let (EventBatch { records, waiting }, is_more) = log.queue.next_batch();
            let reports = records.iter().filter(|it| it.report.is_some()).count();
            assert_eq!((reports, records.len() - reports, is_more), expected);
            assert_eq!(waiting.len(), records.len());
            taken.push(waiting);
        }
        drop(waiting);
        drop(log);
        // The last handle is dropped.
        writer.run().await;
    }

    #[tokio::test]
    async fn events_that_belong_together_are_written_with_one_wait() {
        let directory = tempfile::tempdir().unwrap();
        let database = lockbox::Database::open(&directory.path().join("x.db")).await.unwrap();
        let repository = Repository::open(database).await.unwrap();
        let (log, _writer) = AuditLog::new(repository.clone());
        log.queue.hold();
        assert_eq!(log.record_all(vec![]).await, Ok(()));
        let many = |count: usize| vec![event(Action::Read); count];
        let mut waiting: Vec<_> = [MAX_BATCH - 1, 1000, 1]
            .map(|count| Box::pin(log.record_all(many(count))))
            .into_iter()
            .collect();
        for it in &mut waiting {
            assert!(futures_util::poll!(it).is_pending());
        }
        let sizes = [(); 2].map(|()| {
            let (batch, _) = log.queue.next_batch();
            (batch.records.len(), batch.waiting.len())
        });
        assert_eq!(sizes, [(MAX_BATCH - 1 + 1000, 2), (1, 1)]);
        drop(waiting);
        let (log, _writer) = AuditLog::new(repository.clone());
        log.record_all(many(700)).await.unwrap();
        let all = AuditQuery { limit: 1000, ..AuditQuery::default() };
        assert_eq!(repository.audit(&all).await.unwrap().len(), 700);
    }

    /// Keeps the database's writer busy until something is sent.
    async fn occupy(database: &lockbox::Database) -> oneshot::Sender<()> {
        let (go_on, wait) = oneshot::channel::<()>();
        let (began, begun) = oneshot::channel::<()>();
        let work = async move |_: &mut Connection| {
            let _ = began.send(());
            let _ = wait.await;
            Ok::<_, DatabaseError>(())
        };
        assert_eq!(database.try_submit(work, drop), Ok(()));
        begun.await.unwrap();
        go_on
    }

    #[tokio::test]
    async fn whoever_gives_up_takes_nobody_along() {
        let directory = tempfile::tempdir().unwrap();
        let database = lockbox::Database::open(&directory.path().join("x.db")).await.unwrap();
        let repository = Repository::open(database.clone()).await.unwrap();
        let (log, _writer) = AuditLog::new(repository.clone());
        let go_on = occupy(&database).await;
        // The first one asks the database on behalf of both.
        let mut first = Box::pin(log.record(event(Action::Read)));
        let mut second = Box::pin(log.record(event(Action::Write)));
        assert!(futures_util::poll!(&mut first).is_pending());
        assert!(futures_util::poll!(&mut second).is_pending());
        drop(first);
        go_on.send(()).unwrap();
        assert_eq!(second.await, Ok(()));
        let all = AuditQuery { limit: 10, ..AuditQuery::default() };
        assert_eq!(repository.audit(&all).await.unwrap().len(), 2);
    }

    #[tokio::test]
    async fn a_database_without_room_is_asked_again() {
        let directory = tempfile::tempdir().unwrap();
        let database = lockbox::Database::open(&directory.path().join("x.db")).await.unwrap();
        let repository = Repository::open(database.clone()).await.unwrap();
        let (log, writer) = AuditLog::new(repository.clone());
        let go_on = occupy(&database).await;
        let nothing = || async |_: &mut Connection| Ok::<_, DatabaseError>(());
        while database.try_submit(nothing(), drop).is_ok() {}
        let recording = async move {
            let recorded = {
                let mut recording = Box::pin(log.record(event(Action::Read)));
                assert!(futures_util::poll!(&mut recording).is_pending());
                go_on.send(()).unwrap();
                recording.await
            };
            drop(log);
            recorded
        };
        let (recorded, ()) = tokio::join!(recording, writer.run());
        assert_eq!(recorded, Ok(()));
    }

    #[tokio::test]
    async fn a_database_that_has_ended_refuses() {
        let directory = tempfile::tempdir().unwrap();
        let database = lockbox::Database::open(&directory.path().join("x.db")).await.unwrap();
        let (log, _writer) = AuditLog::new(Repository::open(database.clone()).await.unwrap());
        database.close().await;
        for _ in 0..2 {
            assert_eq!(log.record(event(Action::Read)).await, Err(AuditError::Refused));
        }
    }
}
