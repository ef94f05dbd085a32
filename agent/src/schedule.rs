//! Timeouts and retry delays. Pure: attempts, elapsed times and random numbers are arguments.

use std::time::Duration;

use runtime::backoff::Backoff;

/// The time to resolve and reach the server.
pub const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// The time for the TLS handshake.
pub const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(5);

/// The time for the server to answer the login: it asks the Kubernetes API who the pod is.
pub const LOGIN_TIMEOUT: Duration = Duration::from_secs(10);

/// The time to send one message to the server.
pub const SEND_TIMEOUT: Duration = Duration::from_secs(10);

/// The time for the application to accept a connection. On loopback that takes microseconds, unless
/// its queue of connections is full.
pub const POST_CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// The time for the application to answer a POST, which may be the time that its reload takes, if
/// the pod names none.
pub const POST_TIMEOUT: Duration = Duration::from_secs(30);

/// How long the previous generation stays on the volume: a reader that resolved the link just
/// before the swap can still open its file.
pub const KEEP_PREVIOUS_GENERATION: Duration = Duration::from_secs(60);

/// The minimum time between two reloads. Several writes in a row become one reload; a single write
/// reloads at once.
pub const MIN_RELOAD_INTERVAL: Duration = Duration::from_millis(100);

/// The minimum time between two restarts of the containers, counted from the start of the agent,
/// which starts with them.
pub const MIN_RESTART_INTERVAL: Duration = Duration::from_secs(30);

/// How long to wait for more changes before a restart. It has no grace period for the application,
/// so several writes in a row become one restart.
pub const RESTART_DELAY: Duration = Duration::from_secs(1);

/// How long `enclii-agent init` tries to get the files. While an init container runs, its log can
/// be read and the pod stopped, so this may be longer than the hook's wait.
pub const INIT_TIMEOUT: Duration = Duration::from_secs(120);

/// How long to wait before writing files again that could not be written.
pub const WRITE_RETRY_INTERVAL: Duration = Duration::from_secs(30);

/// How long to retry a reload: the application may still be starting and not listen yet.
pub const RELOAD_TIMEOUT: Duration = Duration::from_secs(30);

/// How long to wait before an application that is not up is tried again, and half of it at least:
/// it may have read its files before it listens, so it is told once it does.
pub const NOT_UP_RETRY_INTERVAL: Duration = Duration::from_secs(10);

/// How long to look whether a signalled process lives on. A runtime that ends on a signal does so
/// within milliseconds.
pub const SIGNAL_WATCH: Duration = Duration::from_secs(1);

/// How often to look.
pub const SIGNAL_WATCH_INTERVAL: Duration = Duration::from_millis(100);

/// How long to look for a process of the application. After that it counts as not started: it
/// reads the new files when it starts.
pub const NOT_STARTED_TIMEOUT: Duration = Duration::from_secs(5);

/// The time from the first byte of a message to its last. The largest is a few MiB.
pub const MESSAGE_TIMEOUT: Duration = Duration::from_secs(120);

// Capped at 10 s, so that a write made after the server's return arrives within seconds.
const CONNECT: Backoff = Backoff { base: Duration::from_millis(500), cap: Duration::from_secs(10) };

// A server that ends cuts all its streams at once. Their agents come back over 3 s: any sooner, and
// there would be several times as many attempts as while the server is away.
const RECONNECT: Backoff = Backoff { base: Duration::from_secs(3), cap: CONNECT.cap };

// A denial lasts until a person changes something, and each attempt costs the API server a
// TokenReview.
const DENIED: Backoff = Backoff { base: Duration::from_secs(2), cap: Duration::from_secs(30) };

const RELOAD: Backoff = Backoff { base: Duration::from_millis(100), cap: Duration::from_secs(2) };

// Full jitter may yield zero, which would turn a server's immediate refusals into a busy loop.
const MIN_DELAY: Duration = Duration::from_millis(20);

/// Why there is no connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Disconnect {
    /// The server was unreachable or closed the connection.
    Unavailable,
    /// The server identified the pod and denied it access.
    Denied,
}

/// The delay before connecting again, after `failures` disconnects in a row (at least 1).
/// `had_stream` says whether this run of the agent has had a stream: if so, other agents may have
/// lost theirs at the same time.
#[must_use]
pub fn reconnect_delay(
    reason: Disconnect,
    had_stream: bool,
    failures: u32,
    random: f64,
) -> Duration {
    let backoff = match (reason, had_stream) {
        (Disconnect::Unavailable, false) => CONNECT,
        (Disconnect::Unavailable, true) => RECONNECT,
        (Disconnect::Denied, _) => DENIED,
    };
    backoff.delay(failures.saturating_sub(1), random).max(MIN_DELAY)
}

/// Whether a stream that lasted for `duration` resets the count of failures. A stream that the
/// server ends right after it opens does not, or the agent would reconnect in a loop.
#[must_use]
pub fn resets_backoff(duration: Duration, got_snapshot: bool) -> bool {
    got_snapshot && duration >= RECONNECT.cap
}

/// The delay before the next reload attempt, after `attempt` failures (0 = the first one failed)
/// and `elapsed` since the first; `None` when it is time to give up.
#[must_use]
pub fn reload_retry_delay(attempt: u32, elapsed: Duration, random: f64) -> Option<Duration> {
    (elapsed < RELOAD_TIMEOUT).then(|| RELOAD.delay(attempt, random).max(MIN_DELAY))
}

/// How long to wait before the application is told, `since` the last time that it was.
#[must_use]
pub fn reload_delay(since: Option<Duration>) -> Duration {
    since.map_or(Duration::ZERO, |since| MIN_RELOAD_INTERVAL.saturating_sub(since))
}

/// How long to wait before an application that was not up is tried again.
#[must_use]
pub fn not_up_delay(random: f64) -> Duration {
    NOT_UP_RETRY_INTERVAL.mul_f64(0.5 + random / 2.0)
}

/// Over how long the restarts of an application's pods are spread: each of them gets a new
/// generation at the same time.
pub const RESTART_SPREAD: Duration = Duration::from_secs(10);

/// How long after its start the agent restarts the containers, for a change that came `changed`
/// after its start. Later changes do not put the restart off.
#[must_use]
pub fn restart_after(changed: Duration, random: f64) -> Duration {
    MIN_RESTART_INTERVAL.max(changed + RESTART_DELAY) + RESTART_SPREAD.mul_f64(random)
}

/// Whether an application without a process, `elapsed` after the first lookup, counts as not
/// started.
#[must_use]
pub fn is_not_started(elapsed: Duration) -> bool {
    elapsed >= NOT_STARTED_TIMEOUT
}

#[cfg(test)]
mod herd;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn delays_grow_to_their_caps() {
        for (reason, had_stream, failures, millis) in [
            (Disconnect::Unavailable, false, 0, 500),
            (Disconnect::Unavailable, false, 1, 500),
            (Disconnect::Unavailable, false, 2, 1_000),
            (Disconnect::Unavailable, false, 5, 8_000),
            (Disconnect::Unavailable, false, 6, 10_000),
            (Disconnect::Unavailable, false, u32::MAX, 10_000),
            (Disconnect::Unavailable, true, 1, 3_000),
            (Disconnect::Unavailable, true, 2, 6_000),
            (Disconnect::Unavailable, true, 3, 10_000),
            (Disconnect::Denied, true, 1, 2_000),
            (Disconnect::Denied, false, 5, 30_000),
        ] {
            assert_eq!(
                reconnect_delay(reason, had_stream, failures, 1.0),
                Duration::from_millis(millis),
                "{reason:?} {had_stream} {failures}"
            );
        }
        assert_eq!(reconnect_delay(Disconnect::Unavailable, true, 9, 0.0), MIN_DELAY);
    }

    #[test]
    fn only_a_stream_that_worked_resets_the_backoff() {
        assert!(resets_backoff(Duration::from_secs(10), true));
        assert!(!resets_backoff(Duration::from_secs(9), true));
        assert!(!resets_backoff(Duration::from_secs(99), false));
    }

    #[test]
    fn restarts_are_not_too_close() {
        for (changed, restart) in [(0, 30), (28, 30), (29, 30), (30, 31), (500, 501)] {
            let changed = Duration::from_secs(changed);
            assert_eq!(restart_after(changed, 0.0), Duration::from_secs(restart));
            assert_eq!(restart_after(changed, 0.5), Duration::from_secs(restart + 5));
        }
    }

    #[test]
    fn reloads_are_not_too_close() {
        let milliseconds = |it| Duration::from_millis(it);
        for (since, delay) in [(0, 100), (60, 40), (100, 0), (5_000, 0)] {
            assert_eq!(reload_delay(Some(milliseconds(since))), milliseconds(delay));
        }
        assert_eq!(reload_delay(None), Duration::ZERO);
        assert_eq!(not_up_delay(0.0), Duration::from_secs(5));
        assert_eq!(not_up_delay(1.0), NOT_UP_RETRY_INTERVAL);
    }

    #[test]
    fn reload_attempts_end() {
        assert_eq!(reload_retry_delay(0, Duration::ZERO, 1.0), Some(Duration::from_millis(100)));
        assert_eq!(
            reload_retry_delay(9, Duration::from_secs(29), 1.0),
            Some(Duration::from_secs(2))
        );
        assert_eq!(reload_retry_delay(9, RELOAD_TIMEOUT, 1.0), None);
        assert!(!is_not_started(Duration::from_secs(4)));
        assert!(is_not_started(Duration::from_secs(5)));
    }

    proptest! {
        #[test]
        fn delays_are_bounded_and_never_zero(
            failures: u32, had_stream: bool, random in 0.0..1.0f64
        ) {
            for reason in [Disconnect::Unavailable, Disconnect::Denied] {
                let delay = reconnect_delay(reason, had_stream, failures, random);
                prop_assert!((MIN_DELAY..=Duration::from_secs(30)).contains(&delay));
            }
        }

        #[test]
        fn reconnects_are_spread_even_at_the_cap(failures in 6u32.., random in 0.0..0.5f64) {
            let delay = |random| reconnect_delay(Disconnect::Unavailable, true, failures, random);
            prop_assert!(delay(random + 0.5) - delay(random) >= Duration::from_secs(4));
        }
    }
}
