//! When a token or a lease is renewed, and when another one replaces it. Pure: the random number is
//! an argument.

use std::time::Duration;

/// How long a token, a lease or a certificate is valid, counted from when it was granted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Lifetime {
    /// The lifetime; `None` if it never ends.
    granted: Option<Duration>,
    /// Whether Vault renews it.
    is_renewable: bool,
    /// The lifetime at first. Renewals get shorter as the end that no renewal moves comes near.
    first: Duration,
}

/// What keeps a lifetime from ending.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Upkeep {
    /// Vault makes it longer.
    Renew,
    /// Another one takes its place.
    Replace,
}

impl Lifetime {
    /// What Vault granted first. Zero seconds never end.
    pub(super) fn new(seconds: u64, is_renewable: bool) -> Self {
        let first = Duration::from_secs(seconds);
        Self { granted: (seconds > 0).then_some(first), is_renewable, first }
    }

    /// What Vault granted by a renewal.
    pub(super) fn renewed(self, seconds: u64, is_renewable: bool) -> Self {
        // A lease that Vault renews for no time is at its end.
        Self { granted: Some(Duration::from_secs(seconds)), is_renewable, first: self.first }
    }

    /// The same without renewals, which Vault refuses.
    pub(super) fn without_renewal(self) -> Self {
        Self { is_renewable: false, ..self }
    }

    /// The seconds to ask for at a renewal: what was granted first.
    pub(super) fn increment(&self) -> u64 {
        self.first.as_secs()
    }

    /// How long it lasts.
    pub(super) fn granted(&self) -> Option<Duration> {
        self.granted
    }

    /// What to do before it ends.
    pub(super) fn upkeep(&self) -> Upkeep {
        if self.is_renewable && !self.is_near_end() { Upkeep::Renew } else { Upkeep::Replace }
    }

    /// When to do that, counted from when it was granted; `None` if it never ends.
    ///
    /// After two thirds, minus up to a tenth as jitter, so that pods that started together do not
    /// act together. A renewal that gave less than half of the first lifetime is near the end that
    /// no renewal moves: the replacement is due soon, so that the application has the rest of the
    /// time to take it up.
    pub(super) fn due_after(&self, random: f64) -> Option<Duration> {
        let granted = self.granted?;
        let jitter = if random.is_nan() { 1.0 } else { random.clamp(0.0, 1.0) };
        let was_renewed = granted != self.first;
        let share =
            if was_renewed && self.is_near_end() { 0.1 * jitter } else { 2.0 / 3.0 - 0.1 * jitter };
        Some(granted.mul_f64(share))
    }

    fn is_near_end(&self) -> bool {
        self.granted.is_some_and(|granted| granted * 2 < self.first)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn renewals_go_on_until_they_get_short() {
        let first = Lifetime::new(3600, true);
        for (lifetime, seconds, upkeep) in [
            (first, 2400.0, Upkeep::Renew),
            (first.renewed(3600, true), 2400.0, Upkeep::Renew),
            (first.renewed(1800, true), 1200.0, Upkeep::Renew),
            (first.renewed(1799, true), 0.0, Upkeep::Replace),
            (first.renewed(0, true), 0.0, Upkeep::Replace),
            (first.renewed(3600, false), 2400.0, Upkeep::Replace),
            (first.without_renewal(), 2400.0, Upkeep::Replace),
            (Lifetime::new(60, false), 40.0, Upkeep::Replace),
        ] {
            assert_eq!(lifetime.upkeep(), upkeep, "{lifetime:?}");
            let due = lifetime.due_after(0.0).unwrap().as_secs_f64();
            assert!((due - seconds).abs() < 1.0, "{lifetime:?}: {due}");
        }
        assert_eq!(Lifetime::new(0, false).due_after(0.5), None);
        assert_eq!(first.increment(), 3600);
    }

    proptest! {
        #[test]
        fn the_upkeep_is_always_within_the_lifetime(
            first in 1u64..100_000_000,
            granted in 1u64..100_000_000,
            is_renewable: bool,
            random: f64,
        ) {
            let lifetime = Lifetime::new(first, true).renewed(granted, is_renewable);
            let due = lifetime.due_after(random).unwrap();
            prop_assert!(due < Duration::from_secs(granted).mul_f64(0.7));
        }

        #[test]
        fn a_replacement_leaves_time_to_take_it_up(
            first in 60u64..1_000_000,
            until_end in 1u64..10_000_000,
            random in 0.0..1.0f64,
        ) {
            // Renewed as due, until the end that no renewal moves.
            let (mut lifetime, mut left) = (Lifetime::new(first, true), until_end.max(first));
            while lifetime.upkeep() == Upkeep::Renew {
                left -= lifetime.due_after(random).unwrap().as_secs();
                lifetime = lifetime.renewed(first.min(left), true);
            }
            let rest = left - lifetime.due_after(random).unwrap().as_secs();
            prop_assert!(rest >= first / 8, "{rest} of {first}");
        }
    }
}
