//! Which values wait for their audit event, so that what pods report does not hold them up.
//!
//! A write that reaches a thousand pods makes a thousand reports as well, and the first come while
//! most pods still wait for their value. Nobody waits for a report, so it is read later.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::{Instant, timeout_at};

/// How long a pod's reports wait after its own delivery, at most.
const REPORTS_TIMEOUT: Duration = Duration::from_millis(250);

/// The values of this replica that wait for their events. Clones share them.
#[derive(Clone, Debug, Default)]
pub(crate) struct WaitingValues(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    count: AtomicUsize,
    /// Notified when none waits any more.
    over: Notify,
}

/// A value that waits, until this is dropped.
#[derive(Debug)]
pub(crate) struct WaitingValue(Arc<Shared>);

/// When a pod's next reports are read.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ReportsDue(Instant);

impl WaitingValues {
    /// A value begins to wait.
    pub(crate) fn begin(&self) -> WaitingValue {
        self.0.count.fetch_add(1, Ordering::AcqRel);
        WaitingValue(Arc::clone(&self.0))
    }

    /// Returns when no value waits, or the reports have waited for long enough.
    pub(crate) async fn over(&self, due: ReportsDue) {
        // Made first, so that no notification is lost in between.
        let over = self.0.over.notified();
        if self.0.count.load(Ordering::Acquire) > 0 {
            // Its time is over: so is the wait.
            let _ = timeout_at(due.0, over).await;
        }
    }
}

impl ReportsDue {
    /// After a delivery that was sent just now.
    pub(crate) fn from_now() -> Self {
        Self(Instant::now() + REPORTS_TIMEOUT)
    }
}

impl Drop for WaitingValue {
    fn drop(&mut self) {
        if self.0.count.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.0.over.notify_waiters();
        }
    }
}

#[cfg(test)]
mod tests {
    use futures_util::poll;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn reports_wait_for_every_value_and_not_for_long() {
        let values = WaitingValues::default();
        values.over(ReportsDue::from_now()).await;
        let (one, two) = (values.begin(), values.clone().begin());
        let due = ReportsDue::from_now();
        let mut waiting = Box::pin(values.over(due));
        assert!(poll!(&mut waiting).is_pending());
        drop(one);
        assert!(poll!(&mut waiting).is_pending());
        drop(two);
        assert!(poll!(&mut waiting).is_ready());

        let _endless = values.begin();
        let mut waiting = Box::pin(values.over(due));
        assert!(poll!(&mut waiting).is_pending());
        tokio::time::advance(REPORTS_TIMEOUT).await;
        assert!(poll!(&mut waiting).is_ready());
        values.over(due).await;
    }
}
