//! When a token is renewed, and when a new login replaces it. Pure: the random number is an
//! argument.

use std::time::Duration;

/// A token's lifetime, counted from the login or the last renewal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Lease {
    /// The lifetime, or `None` if the token never expires.
    pub(super) life: Option<Duration>,
    pub(super) renewable: bool,
    /// The lifetime at login. Renewals get shorter as the token approaches its maximum lifetime.
    pub(super) first: Duration,
}

/// What to do before a token expires.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum RenewalAction {
    Renew,
    LogIn,
}

impl Lease {
    pub(super) fn new(seconds: u64, renewable: bool) -> Self {
        let life = Duration::from_secs(seconds);
        Self { life: (seconds > 0).then_some(life), renewable, first: life }
    }

    /// The lease after a renewal.
    pub(super) fn renewed(self, seconds: u64, renewable: bool) -> Self {
        Self { first: self.first, ..Self::new(seconds, renewable) }
    }

    /// When to act, counted from the lease's start, and how: after two thirds of the lifetime,
    /// minus up to a tenth as jitter, so that replicas that started together do not act together.
    pub(super) fn next(&self, random: f64) -> Option<(Duration, RenewalAction)> {
        let life = self.life?;
        let share = 2.0 / 3.0 - 0.1 * random.clamp(0.0, 1.0);
        // A renewal that gave less than half of a login's lifetime is near the token's maximum.
        let step = if self.renewable && life * 2 >= self.first {
            RenewalAction::Renew
        } else {
            RenewalAction::LogIn
        };
        Some((life.mul_f64(if share.is_nan() { 0.5 } else { share }), step))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_token_is_renewed_until_renewals_get_short() {
        let lease = Lease::new(3600, true);
        assert_eq!(lease.next(0.0), Some((Duration::from_secs(2400), RenewalAction::Renew)));
        assert_eq!(lease.next(1.0), Some((Duration::from_secs(2040), RenewalAction::Renew)));
        assert_eq!(lease.renewed(3600, true).next(0.0).unwrap().1, RenewalAction::Renew);
        assert_eq!(lease.renewed(1800, true).next(0.0).unwrap().1, RenewalAction::Renew);
        assert_eq!(lease.renewed(1799, true).next(0.0).unwrap().1, RenewalAction::LogIn);
        assert_eq!(lease.renewed(3600, false).next(0.0).unwrap().1, RenewalAction::LogIn);
        assert_eq!(
            Lease::new(60, false).next(0.0),
            Some((Duration::from_secs(40), RenewalAction::LogIn))
        );
        assert_eq!(Lease::new(0, false).next(0.5), None);
    }

    proptest! {
        #[test]
        fn the_action_is_always_within_the_lifetime(
            seconds in 1u64..100_000_000,
            renewable: bool,
            random: f64,
        ) {
            let (after, _) = Lease::new(seconds, renewable).next(random).unwrap();
            let latest = Duration::from_secs(seconds).mul_f64(0.7);
            prop_assert!(after > Duration::ZERO && after < latest);
        }
    }
}
