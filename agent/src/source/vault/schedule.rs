//! How long to wait before the next question to Vault. Pure: the random number is an argument.

use std::time::Duration;

use runtime::backoff::Backoff;

use super::answer::Trouble;

/// The time for Vault to answer: a login asks the Kubernetes API who the pod is, and a dynamic
/// secret is made in another system.
pub(super) const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);

/// The time to revoke the token at the end. The supervisor drops the source soon after.
pub(super) const REVOKE_TIMEOUT: Duration = Duration::from_millis(1500);

/// What is due within this time is done at once, so that it becomes one generation.
pub(super) const TOGETHER: Duration = Duration::from_secs(1);

/// The shortest wait: full jitter may yield zero.
pub(super) const MIN_DELAY: Duration = Duration::from_millis(20);

// A Vault that comes back has all its clients at once, so they spread over half a minute.
const UNAVAILABLE: Backoff =
    Backoff { base: Duration::from_millis(500), cap: Duration::from_secs(30) };

// A refusal lasts until a person changes something, and a login costs the API server a TokenReview.
const REFUSED_LOGIN: Backoff =
    Backoff { base: Duration::from_secs(2), cap: Duration::from_secs(60) };

/// The longest wait between two attempts at a secret that Vault refuses.
const REFUSED_CAP: Duration = Duration::from_secs(300);

/// The wait between two polls: the interval, more or less by a fifth, so that pods that started
/// together do not ask together.
pub(super) fn poll_delay(interval: Duration, random: f64) -> Duration {
    interval.mul_f64(0.8 + 0.4 * random.clamp(0.0, 1.0)).max(MIN_DELAY)
}

/// The wait after `failures` failures in a row (at least 1) to reach Vault or to log in.
pub(super) fn server_delay(trouble: Trouble, failures: u32, random: f64) -> Duration {
    let backoff = match trouble {
        Trouble::Unreachable | Trouble::Unavailable => UNAVAILABLE,
        Trouble::Forbidden | Trouble::Missing | Trouble::Refused => REFUSED_LOGIN,
    };
    backoff.delay(failures.saturating_sub(1), random).max(MIN_DELAY)
}

/// The wait after `failures` failures in a row (at least 1) of one secret, while others work.
pub(super) fn secret_delay(
    trouble: Trouble,
    interval: Duration,
    failures: u32,
    random: f64,
) -> Duration {
    match trouble {
        // As cheap as any poll: a secret that is there again is found as soon as a new version.
        Trouble::Missing => poll_delay(interval, random),
        Trouble::Unreachable | Trouble::Unavailable => {
            UNAVAILABLE.delay(failures.saturating_sub(1), random).max(MIN_DELAY)
        }
        Trouble::Forbidden | Trouble::Refused => {
            let ceiling = Backoff { base: interval, cap: REFUSED_CAP.max(interval) }
                .ceiling(failures.saturating_sub(1));
            poll_delay(ceiling, random)
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const INTERVAL: Duration = Duration::from_secs(30);

    #[test]
    fn polls_are_spread_around_the_interval() {
        for (random, seconds) in [(0.0, 24), (0.5, 30), (1.0, 36)] {
            assert_eq!(poll_delay(INTERVAL, random), Duration::from_secs(seconds));
        }
    }

    #[test]
    fn delays_grow_to_their_caps() {
        for (trouble, failures, server, secret) in [
            (Trouble::Unreachable, 1, 500, 500),
            (Trouble::Unavailable, 3, 2_000, 2_000),
            (Trouble::Unavailable, u32::MAX, 30_000, 30_000),
            (Trouble::Forbidden, 1, 2_000, 36_000),
            (Trouble::Forbidden, 2, 4_000, 72_000),
            (Trouble::Refused, u32::MAX, 60_000, 360_000),
            (Trouble::Missing, u32::MAX, 60_000, 36_000),
        ] {
            let milliseconds = Duration::from_millis;
            assert_eq!(server_delay(trouble, failures, 1.0), milliseconds(server), "{trouble:?}");
            let delay = secret_delay(trouble, INTERVAL, failures, 1.0);
            assert_eq!(delay, milliseconds(secret), "{trouble:?}");
        }
    }

    proptest! {
        #[test]
        fn no_delay_is_zero(failures: u32, random in 0.0..1.0f64, seconds in 1u64..100_000) {
            let interval = Duration::from_secs(seconds);
            for trouble in [Trouble::Unreachable, Trouble::Forbidden, Trouble::Missing] {
                prop_assert!(server_delay(trouble, failures, random) >= MIN_DELAY);
                prop_assert!(secret_delay(trouble, interval, failures, random) >= MIN_DELAY);
            }
        }
    }
}
