//! When to try again and when to give up. Pure: attempts and random numbers are arguments.

use std::time::Duration;

use runtime::backoff::Backoff;

/// How long finding and reaching the server may take.
pub const CONNECT_DEADLINE: Duration = Duration::from_secs(5);

/// How long the TLS handshake may take.
pub const HANDSHAKE_DEADLINE: Duration = Duration::from_secs(5);

/// How long the server may take to answer the login: it asks the Kubernetes API who the pod is.
pub const LOGIN_DEADLINE: Duration = Duration::from_secs(10);

/// How long one message to the server may take to leave.
pub const SEND_DEADLINE: Duration = Duration::from_secs(10);

/// How long the application may take to answer a POST.
pub const POST_DEADLINE: Duration = Duration::from_secs(5);

/// How long the generation before the current one stays readable: whoever resolved the link a
/// moment before the swap still opens its file.
pub const KEEP_PREVIOUS: Duration = Duration::from_secs(60);

/// The least time between two reloads. Several writes in a row are one reload for the application;
/// a write that comes alone is told at once.
pub const RELOAD_GAP: Duration = Duration::from_millis(100);

/// How long to wait before files that could not be written are tried again.
pub const REWRITE_AFTER: Duration = Duration::from_secs(30);

/// How long an application that does not listen for the reload yet is given: it may still be
/// starting.
pub const RELOAD_DEADLINE: Duration = Duration::from_secs(30);

/// How long no process of the application means that it has not started yet and reads the new files
/// when it does.
pub const ABSENT_DEADLINE: Duration = Duration::from_secs(5);

// 10 s at most, so that a write made after the server's return arrives within seconds.
const RECONNECT: Backoff =
    Backoff { base: Duration::from_millis(500), cap: Duration::from_secs(10) };

// A refusal stays until a person changes something, and each try costs the API server a
// TokenReview.
const REFUSED: Backoff = Backoff { base: Duration::from_secs(2), cap: Duration::from_secs(30) };

const RELOAD: Backoff = Backoff { base: Duration::from_millis(100), cap: Duration::from_secs(2) };

// Full jitter may say 0; a server that refuses at once must not be asked in a loop.
const LEAST: Duration = Duration::from_millis(20);

/// Why the last connection is not there any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Loss {
    /// The server was not reached, or went away.
    Away,
    /// The server knows who asks and said no.
    Refused,
}

/// How long to wait before connecting again, after `failures` losses in a row (at least 1).
#[must_use]
pub fn reconnect(loss: Loss, failures: u32, random: f64) -> Duration {
    let backoff = match loss {
        Loss::Away => RECONNECT,
        Loss::Refused => REFUSED,
    };
    backoff.delay(failures.saturating_sub(1), random).max(LEAST)
}

/// Whether a stream that lived this long and did this much starts the count of losses anew. One
/// that the server ends as soon as it is open does not, or it would be opened in a loop.
#[must_use]
pub fn forgives(lived: Duration, held: bool) -> bool {
    held && lived >= RECONNECT.cap
}

/// How long to wait before telling the application again, after `attempt` tries (0 = the first one
/// failed) and `passed` since the first; `None` where it is time to give up.
#[must_use]
pub fn retell(attempt: u32, passed: Duration, random: f64) -> Option<Duration> {
    (passed < RELOAD_DEADLINE).then(|| RELOAD.delay(attempt, random).max(LEAST))
}

/// Whether no process of the application, `passed` after the first look, means that there is none.
#[must_use]
pub fn is_absent(passed: Duration) -> bool {
    passed >= ABSENT_DEADLINE
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn delays_grow_to_their_caps() {
        for (loss, failures, longest) in [
            (Loss::Away, 0, 500),
            (Loss::Away, 1, 500),
            (Loss::Away, 2, 1_000),
            (Loss::Away, 5, 8_000),
            (Loss::Away, 6, 10_000),
            (Loss::Away, u32::MAX, 10_000),
            (Loss::Refused, 1, 2_000),
            (Loss::Refused, 5, 30_000),
        ] {
            assert_eq!(
                reconnect(loss, failures, 1.0),
                Duration::from_millis(longest),
                "{loss:?} {failures}"
            );
        }
        assert_eq!(reconnect(Loss::Away, 9, 0.0), LEAST);
    }

    #[test]
    fn only_a_stream_that_worked_is_forgiven() {
        assert!(forgives(Duration::from_secs(10), true));
        assert!(!forgives(Duration::from_secs(9), true));
        assert!(!forgives(Duration::from_secs(99), false));
    }

    #[test]
    fn telling_ends() {
        assert_eq!(retell(0, Duration::ZERO, 1.0), Some(Duration::from_millis(100)));
        assert_eq!(retell(9, Duration::from_secs(29), 1.0), Some(Duration::from_secs(2)));
        assert_eq!(retell(9, RELOAD_DEADLINE, 1.0), None);
        assert!(!is_absent(Duration::from_secs(4)));
        assert!(is_absent(Duration::from_secs(5)));
    }

    proptest! {
        #[test]
        fn waits_are_bounded_and_never_nothing(failures: u32, random in 0.0..1.0f64) {
            for loss in [Loss::Away, Loss::Refused] {
                let wait = reconnect(loss, failures, random);
                prop_assert!((LEAST..=Duration::from_secs(30)).contains(&wait));
            }
        }

        #[test]
        fn a_fleet_is_spread_also_at_the_cap(failures in 6u32.., random in 0.0..0.5f64) {
            let apart = reconnect(Loss::Away, failures, random + 0.5) - reconnect(Loss::Away, failures, random);
            prop_assert!(apart >= Duration::from_secs(4));
        }
    }
}
