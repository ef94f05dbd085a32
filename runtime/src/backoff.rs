//! How long to wait before the next try. Pure: the random number is an argument.
//!
//! The wait is spread over the whole range ("full jitter"), also once the cap is reached: a fleet
//! that lost its server at one moment must not come back at one moment.

use std::hash::{BuildHasher, Hasher, RandomState};
use std::time::Duration;

/// The bounds of an exponential wait: `base` doubles with every attempt up to `cap`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Backoff {
    /// The longest wait before the second try.
    pub base: Duration,
    /// The longest wait ever.
    pub cap: Duration,
}

impl Backoff {
    /// For calls to a server: up to half a second at first, half a minute at most.
    pub const NETWORK: Self =
        Self { base: Duration::from_millis(500), cap: Duration::from_secs(30) };

    /// For what others hold for a moment: the next version of a secret, a lock.
    pub const QUICK: Self =
        Self { base: Duration::from_millis(20), cap: Duration::from_millis(500) };

    /// The longest wait after `attempt` failures (0 = the first failure), without jitter.
    pub fn ceiling(&self, attempt: u32) -> Duration {
        let factor = 1u32.checked_shl(attempt).unwrap_or(u32::MAX);
        self.base.saturating_mul(factor).min(self.cap)
    }

    /// The wait after `attempt` failures (0 = the first failure): `random` of the ceiling.
    ///
    /// `random` is a number in 0..1; what lies outside is clamped, and NaN counts as 1.
    pub fn delay(&self, attempt: u32, random: f64) -> Duration {
        let share = if random.is_nan() { 1.0 } else { random.clamp(0.0, 1.0) };
        let ceiling = self.ceiling(attempt);
        Duration::try_from_secs_f64(ceiling.as_secs_f64() * share).unwrap_or(ceiling).min(ceiling)
    }
}

/// A number in 0..1 to spread waits with. Not for cryptography.
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

    proptest! {
        #[test]
        fn never_above_the_ceiling(attempt: u32, random: f64) {
            prop_assert!(BACKOFF.delay(attempt, random) <= BACKOFF.ceiling(attempt));
        }

        #[test]
        fn the_ceiling_never_falls(attempt in 0u32..u32::MAX) {
            prop_assert!(BACKOFF.ceiling(attempt) <= BACKOFF.ceiling(attempt + 1));
        }

        #[test]
        fn jitter_is_still_there_at_the_cap(attempt in 20u32.., one in 0.0..0.5f64, more in 0.1..0.5f64) {
            let (early, late) = (BACKOFF.delay(attempt, one), BACKOFF.delay(attempt, one + more));
            prop_assert!(late >= early + BACKOFF.cap.mul_f64(more / 2.0));
        }

        #[test]
        fn any_bounds_are_safe(base: u64, cap: u64, attempt: u32, random: f64) {
            let backoff = Backoff { base: Duration::from_secs(base), cap: Duration::from_secs(cap) };
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
