//! What one connection is doing: answering requests, receiving a header, or nothing.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;
use tokio::time::Instant;

use super::Limits;

/// The activity of one connection, shared by its task, its I/O and the table of connections.
#[derive(Debug)]
pub(super) struct Activity {
    state: Mutex<ActivityState>,
    /// Told when the connection has nothing left to answer.
    idle: Arc<Notify>,
}

#[derive(Debug)]
struct ActivityState {
    in_flight: usize,
    /// Whether a request has come.
    requested: bool,
    /// When the connection was opened, or when its last answer was complete.
    quiet_since: Instant,
    /// When the first bytes of the next header arrived.
    header_since: Option<Instant>,
}

impl Activity {
    pub(super) fn new(idle: Arc<Notify>) -> Arc<Self> {
        let state = ActivityState {
            in_flight: 0,
            requested: false,
            quiet_since: Instant::now(),
            header_since: None,
        };
        Arc::new(Self { state: Mutex::new(state), idle })
    }

    /// A request has come. The connection is busy until the result is dropped.
    pub(super) fn begin(self: &Arc<Self>) -> Busy {
        let mut state = self.lock();
        state.in_flight += 1;
        state.requested = true;
        state.header_since = None;
        Busy(Arc::clone(self))
    }

    /// Bytes have arrived. Between requests they are the start of a header.
    pub(super) fn heard(&self) {
        let mut state = self.lock();
        if state.in_flight == 0 && state.header_since.is_none() {
            state.header_since = Some(Instant::now());
        }
    }

    /// Since when nothing is being answered. `None` while a request is in flight.
    pub(super) fn idle_since(&self) -> Option<Instant> {
        let state = self.lock();
        (state.in_flight == 0).then_some(state.quiet_since)
    }

    /// Returns why the connection has to end, once it has been silent for longer than `limits`
    /// allows.
    pub(super) async fn overdue(&self, limits: &Limits) -> &'static str {
        // A wait that has not begun ends no earlier than this after it begins.
        let shortest = limits.header_timeout.min(limits.idle_timeout);
        loop {
            let now = Instant::now();
            let next = match self.deadline(limits) {
                Some((deadline, reason)) if deadline <= now => return reason,
                Some((deadline, _)) => deadline.min(now + shortest),
                None => now + shortest,
            };
            tokio::time::sleep_until(next).await;
        }
    }

    fn deadline(&self, limits: &Limits) -> Option<(Instant, &'static str)> {
        let ActivityState { in_flight, requested, quiet_since, header_since } = *self.lock();
        if in_flight > 0 {
            return None;
        }
        let quiet = if requested {
            (quiet_since + limits.idle_timeout, "idle for too long")
        } else {
            (quiet_since + limits.first_request_timeout, "no request in time")
        };
        let header =
            header_since.map(|since| (since + limits.header_timeout, "a header takes too long"));
        Some(header.filter(|header| header.0 < quiet.0).unwrap_or(quiet))
    }

    fn lock(&self) -> MutexGuard<'_, ActivityState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A request in flight, from its header to the end of the answer's body.
#[derive(Debug)]
pub(super) struct Busy(Arc<Activity>);

impl Drop for Busy {
    fn drop(&mut self) {
        let mut state = self.0.lock();
        state.in_flight -= 1;
        if state.in_flight == 0 {
            state.quiet_since = Instant::now();
            drop(state);
            self.0.idle.notify_one();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn limits() -> Limits {
        let seconds = Duration::from_secs;
        Limits {
            first_request_timeout: seconds(10),
            header_timeout: seconds(5),
            idle_timeout: seconds(60),
            ..Limits::default()
        }
    }

    async fn ends(activity: &Activity) -> (u64, &'static str) {
        let start = Instant::now();
        let reason = activity.overdue(&limits()).await;
        (start.elapsed().as_secs(), reason)
    }

    #[tokio::test(start_paused = true)]
    async fn every_kind_of_silence_has_its_limit() {
        let activity = Activity::new(Arc::default());
        assert_eq!(ends(&activity).await, (10, "no request in time"));

        let activity = Activity::new(Arc::default());
        activity.heard();
        tokio::time::advance(Duration::from_secs(2)).await;
        activity.heard();
        assert_eq!(ends(&activity).await, (3, "a header takes too long"));

        drop(activity.begin());
        assert_eq!(ends(&activity).await, (60, "idle for too long"));

        drop(activity.begin());
        activity.heard();
        assert_eq!(ends(&activity).await, (5, "a header takes too long"));
    }

    #[tokio::test(start_paused = true)]
    async fn a_request_in_flight_is_not_silence() {
        let activity = Activity::new(Arc::default());
        let (one, two) = (activity.begin(), activity.begin());
        drop(one);
        activity.heard();
        assert_eq!(activity.idle_since(), None);
        let hour = Duration::from_secs(3600);
        assert!(tokio::time::timeout(hour, activity.overdue(&limits())).await.is_err());
        drop(two);
        assert_eq!(activity.idle_since(), Some(Instant::now()));
        assert_eq!(ends(&activity).await, (60, "idle for too long"));
    }
}
