//! Events on their way into the database.
//!
//! The database's thread takes all that is queued at the moment when it begins to write, so a
//! thousand pods that receive a generation at the same time cost a few disk flushes instead of a
//! thousand, and a change that commits just then shares its flush. That thread also wakes whoever
//! waits. Events that a value waits for go before the reports of pods that have theirs, which are
//! late then, and not lost.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use runtime::logs::ErrorChain;
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;

use crate::repository::{AuditEntry, Repository, RepositoryError};

/// How many events fill a transaction: enough to amortize the flush, few enough that the first one
/// does not wait long.
pub(super) const MAX_BATCH: usize = 512;

/// The maximum number of reports in one transaction: a value may come meanwhile.
pub(super) const MAX_REPORTS: usize = 128;

/// How long reports wait while values do.
pub(super) const REPORT_PATIENCE: Duration = Duration::from_millis(250);

/// Events that are written together, and who waits for them. Dropped, they are refused.
#[derive(Debug)]
pub(super) struct QueuedEvents {
    pub(super) records: Vec<AuditEntry>,
    pub(super) written: oneshot::Sender<()>,
    pub(super) queued_at: Instant,
}

/// The events that wait for the database.
#[derive(Debug)]
pub(super) struct AuditQueue {
    repository: Repository,
    events: Mutex<mpsc::Receiver<QueuedEvents>>,
    reports: Mutex<Reports>,
    /// Whether the database was asked to take what is queued, and has not yet.
    is_asked: AtomicBool,
    /// Told when the database has no room for the question.
    overflow: mpsc::Sender<()>,
}

/// The reports that wait, and the oldest one of them once it was looked at.
#[derive(Debug)]
struct Reports {
    queue: mpsc::Receiver<QueuedEvents>,
    oldest: Option<QueuedEvents>,
}

/// What is written together, and who waits for it.
#[derive(Debug, Default)]
pub(super) struct EventBatch {
    pub(super) records: Vec<AuditEntry>,
    pub(super) waiting: Vec<oneshot::Sender<()>>,
}

impl AuditQueue {
    pub(super) fn new(
        repository: Repository,
        events: mpsc::Receiver<QueuedEvents>,
        reports: mpsc::Receiver<QueuedEvents>,
        overflow: mpsc::Sender<()>,
    ) -> Self {
        let reports = Mutex::new(Reports { queue: reports, oldest: None });
        let events = Mutex::new(events);
        Self { repository, events, reports, is_asked: AtomicBool::new(false), overflow }
    }

    /// Has the database take what is queued. Never waits.
    pub(super) fn ask(self: &Arc<Self>) {
        // What was queued before is seen by whoever takes after this.
        if self.is_asked.swap(true, Ordering::AcqRel) {
            return;
        }
        let was_taken = Arc::new(AtomicBool::new(false));
        let (taking, taken) = (Arc::clone(self), Arc::clone(&was_taken));
        let take = move || {
            taken.store(true, Ordering::Relaxed);
            let EventBatch { records, waiting } = taking.take();
            (records, waiting)
        };
        let refusing = Arc::clone(self);
        let answer = move |written: Result<Vec<oneshot::Sender<()>>, RepositoryError>| {
            match written {
                Ok(waiting) => {
                    for waiter in waiting {
                        // A caller that timed out has already refused its request.
                        let _ = waiter.send(());
                    }
                }
                Err(error) => {
                    tracing::error!(error = %ErrorChain(&error), "audit events not written, \
                        their requests are refused");
                    if !was_taken.load(Ordering::Relaxed) {
                        drop(refusing.take());
                    }
                }
            }
        };
        if self.repository.append_taken(take, answer).is_err() {
            self.is_asked.store(false, Ordering::Release);
            // If it is told already, it will look at all that is there.
            let _ = self.overflow.try_send(());
        }
    }

    /// Waits until the database has room for the question.
    pub(super) async fn room(&self) {
        self.repository.database().room().await;
    }

    /// Takes what is queued. What is too much for one batch is asked for again.
    fn take(self: &Arc<Self>) -> EventBatch {
        self.is_asked.swap(false, Ordering::AcqRel);
        let (batch, is_more) = self.next_batch();
        if is_more {
            self.ask();
        }
        batch
    }

    /// What is queued, as far as it fits into one batch, and whether there is more.
    pub(super) fn next_batch(&self) -> (EventBatch, bool) {
        let mut events = self.events.lock().unwrap_or_else(PoisonError::into_inner);
        let mut reports = self.reports.lock().unwrap_or_else(PoisonError::into_inner);
        let mut batch = EventBatch::default();
        // What belongs together stays together, so the last ones may go beyond the maximum.
        while batch.records.len() < MAX_BATCH
            && let Ok(next) = events.try_recv()
        {
            batch.add(next);
        }
        if batch.records.is_empty() || reports.oldest_waited() > REPORT_PATIENCE {
            for report in std::iter::from_fn(|| reports.next()).take(MAX_REPORTS) {
                batch.add(report);
            }
        }
        (batch, !events.is_empty() || reports.peek().is_some())
    }

    /// Nobody takes anything from here on but the test.
    #[cfg(test)]
    pub(super) fn hold(&self) {
        self.is_asked.store(true, Ordering::Release);
    }
}

impl Reports {
    fn peek(&mut self) -> Option<&QueuedEvents> {
        if self.oldest.is_none() {
            self.oldest = self.queue.try_recv().ok();
        }
        self.oldest.as_ref()
    }

    fn next(&mut self) -> Option<QueuedEvents> {
        self.oldest.take().or_else(|| self.queue.try_recv().ok())
    }

    fn oldest_waited(&mut self) -> Duration {
        self.peek().map_or(Duration::ZERO, |it| it.queued_at.elapsed())
    }
}

impl EventBatch {
    fn add(&mut self, QueuedEvents { records, written, .. }: QueuedEvents) {
        self.records.extend(records);
        self.waiting.push(written);
    }
}
