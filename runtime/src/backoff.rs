//! How long to wait before the next attempt. The delays are pure: the random number is an argument.
//!
//! Delays use full jitter: each is drawn from the whole range between zero and the exponential
//! ceiling, also once the ceiling has reached its cap. Clients that lost their server at the same
//! moment do not come back at the same moment.
//!
//! This is not the `backon` crate: its jitter adds to the delay, so it neither spreads delays over
//! the whole range nor stays below the cap.

use std::hash::{BuildHasher, Hasher, RandomState};
use std::time::Duration;

/// An exponential delay: the ceiling starts at `base` and doubles with each failure up to `cap`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Backoff {
    /// The longest delay after the first failure.
    pub base: Duration,
    /// The longest delay of all.
    pub cap: Duration,
}

impl Backoff {
    /// For calls to a server: up to half a second at first, at most half a minute.
    pub const NETWORK: Self =
        Self { base: Duration::from_millis(500), cap: Duration::from_secs(30) };

    /// For conflicts that end within milliseconds, such as a lost compare-and-swap.
    pub const QUICK: Self =
        Self { base: Duration::from_millis(20), cap: Duration::from_millis(500) };

    /// The longest delay after `attempt` earlier failures (0 = the first failure), without jitter.
    pub fn ceiling(&self, attempt: u32) -> Duration {
        let factor = 1u32.checked_shl(attempt).unwrap_or(u32::MAX);
        self.base.saturating_mul(factor).min(self.cap)
    }

    /// The delay after `attempt` earlier failures (0 = the first failure): `random` of the ceiling.
    ///
    /// `random` is clamped to 0..=1; NaN counts as 1.
    pub fn delay(&self, attempt: u32, random: f64) -> Duration {
        let share = if random.is_nan() { 1.0 } else { random.clamp(0.0, 1.0) };
        let ceiling = self.ceiling(attempt);
        Duration::try_from_secs_f64(ceiling.as_secs_f64() * share).unwrap_or(ceiling).min(ceiling)
    }

    /// Starts the delays of a loop that never gives up.
    pub const fn delays(self) -> Delays {
        Delays { backoff: self, failures: 0 }
    }
}

/// The delays of one loop that retries until it succeeds. Made by [`Backoff::delays`].
#[derive(Clone, Copy, Debug)]
pub struct Delays {
    backoff: Backoff,
    failures: u32,
}

impl Delays {
    /// Counts a failure and returns how long to wait before the next attempt.
    pub fn next_delay(&mut self) -> Duration {
        let delay = self.backoff.delay(self.failures, random());
        self.failures = self.failures.saturating_add(1);
        delay
    }

    /// The failures since the last success.
    pub const fn failures(&self) -> u32 {
        self.failures
    }

    /// Starts over after a success.
    pub const fn reset(&mut self) {
        self.failures = 0;
    }
}

/// A random number in 0..1 for jitter. Not for cryptography.
pub fn random() -> f64 {
    // The standard library seeds each hash map differently: enough for jitter, and no crate.
    let bits = RandomState::new().build_hasher().finish() >> 11;
    #[expect(clippy::cast_precision_loss, reason = "53 bits are exactly what a double holds")]
    let share = bits as f64 / (1u64 << 53) as f64;
    share
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const BACKOFF: Backoff =
        Backoff { base: Duration::from_millis(100), cap: Duration::from_secs(10) };

    #[test]
    fn the_ceiling_doubles_up_to_the_cap() {
        let table = [(0, 100), (1, 200), (2, 400), (6, 6_400), (7, 10_000)];
        for (attempt, millis) in table {
            assert_eq!(BACKOFF.ceiling(attempt), Duration::from_millis(millis));
        }
        assert_eq!(BACKOFF.ceiling(31), BACKOFF.cap);
        assert_eq!(BACKOFF.ceiling(u32::MAX), BACKOFF.cap);
    }

    #[test]
    fn a_reset_starts_the_delays_over() {
        let mut delays = BACKOFF.delays();
        for failures in 1..20 {
            assert!(delays.next_delay() <= BACKOFF.ceiling(failures - 1));
            assert_eq!(delays.failures(), failures);
        }
        delays.reset();
        assert_eq!(delays.failures(), 0);
        assert!(delays.next_delay() <= BACKOFF.base);
    }

    proptest! {
        #[test]
        fn a_delay_is_never_above_the_ceiling(attempt: u32, random: f64) {
            prop_assert!(BACKOFF.delay(attempt, random) <= BACKOFF.ceiling(attempt));
        }

        #[test]
        fn the_ceiling_never_falls(attempt in 0u32..u32::MAX) {
            prop_assert!(BACKOFF.ceiling(attempt) <= BACKOFF.ceiling(attempt + 1));
        }

        #[test]
        fn jitter_remains_at_the_cap(
            attempt in 20u32..,
            one in 0.0..0.5f64,
            more in 0.1..0.5f64,
        ) {
            let (early, late) = (BACKOFF.delay(attempt, one), BACKOFF.delay(attempt, one + more));
            prop_assert!(late >= early + BACKOFF.cap.mul_f64(more / 2.0));
        }

        #[test]
        fn any_bounds_are_safe(base: u64, cap: u64, attempt: u32, random: f64) {
            let backoff =
                Backoff { base: Duration::from_secs(base), cap: Duration::from_secs(cap) };
            prop_assert!(backoff.delay(attempt, random) <= backoff.cap);
        }
    }

    #[test]
    fn random_numbers_are_spread() {
        let numbers: Vec<f64> = (0..1_000).map(|_| random()).collect();
        assert!(numbers.iter().all(|n| (0.0..1.0).contains(n)));
        let mean = numbers.iter().sum::<f64>() / 1_000.0;
        assert!((0.4..0.6).contains(&mean), "{mean}");
    }
}
