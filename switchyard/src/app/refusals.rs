//! Writes refusals to the audit log: the first ones as events, and floods of them as counts.

mod table;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use runtime::logs::ErrorChain;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::audit::{AuditError, AuditLog, Event};
use crate::disk::DiskSpace;
use crate::metrics::Metrics;
use table::{CountedRefusals, INTERVAL, RefusalTable};

/// How often counts are looked at.
const TICK: Duration = Duration::from_secs(15);

/// Counts wait longer when the disk is nearly full.
const INTERVAL_IN_RESERVE: Duration = Duration::from_secs(3600);

/// The refusals of all clients. Clones share them.
#[derive(Clone)]
pub(crate) struct RefusalLog {
    audit: AuditLog,
    disk: DiskSpace,
    metrics: Metrics,
    state: Arc<Mutex<RefusalState>>,
}

struct RefusalState {
    table: RefusalTable,
    /// Nothing writes the counts any longer.
    closed: bool,
}

impl RefusalLog {
    pub(crate) fn new(audit: AuditLog, disk: DiskSpace, metrics: Metrics) -> Self {
        let state = RefusalState { table: RefusalTable::new(Instant::now()), closed: false };
        Self { audit, disk, metrics, state: Arc::new(Mutex::new(state)) }
    }

    /// Records a refusal: as an event that is durable when this returns, or in a count that becomes
    /// an event later.
    ///
    /// # Errors
    /// If the event cannot be written now. It is in a count then.
    pub(crate) async fn record(&self, event: Event) -> Result<(), AuditError> {
        let only_count = self.disk.is_in_reserve();
        let is_event = {
            let mut state = self.lock();
            state.closed || state.table.note(&event, only_count, Instant::now())
        };
        self.metrics.refused(!is_event);
        if !is_event {
            return Ok(());
        }
        let written = self.audit.record(event.clone()).await;
        if written.is_err() {
            let refused = CountedRefusals { event, refusals: 1, within: Duration::ZERO };
            self.lock().table.put_back(refused, Instant::now());
        }
        written
    }

    /// Writes the counts until `stopping`, and then what is left of them.
    pub(crate) async fn run(self, stopping: CancellationToken) {
        while stopping.run_until_cancelled(tokio::time::sleep(TICK)).await.is_some() {
            let age = if self.disk.is_in_reserve() { INTERVAL_IN_RESERVE } else { INTERVAL };
            self.write_older_than(age).await;
        }
        self.lock().closed = true;
        self.write_older_than(Duration::ZERO).await;
    }

    async fn write_older_than(&self, age: Duration) {
        let due = self.lock().table.take_older_than(age, Instant::now());
        for refused in due {
            if let Err(error) = self.audit.record(event(&refused)).await {
                tracing::error!(error = %ErrorChain(&error), "record number of refusals");
                self.lock().table.put_back(refused, Instant::now());
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, RefusalState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The event for several refusals.
fn event(refused: &CountedRefusals) -> Event {
    let CountedRefusals { event, refusals, within } = refused;
    let details = event.details.as_deref().unwrap_or_default();
    let seconds = within.as_secs().max(1);
    let details = Some(format!("{refusals} more refusals within {seconds} s: {details}"));
    Event { details, ..event.clone() }
}
