//! When a token is renewed, and when it is got anew instead. Pure: the random number is an
//! argument.

use std::time::Duration;

/// How long a token lives, from when it was got or renewed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Lease {
    /// How long it lives; none is for ever.
    pub(super) life: Option<Duration>,
    pub(super) renewable: bool,
    /// How long it lived when it was got. Renewals shorten it towards the end of its maximum.
    pub(super) first: Duration,
}

/// What is done with a token in time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    Renew,
    Login,
}

impl Lease {
    pub(super) fn new(seconds: u64, renewable: bool) -> Self {
        let life = Duration::from_secs(seconds);
        Self { life: (seconds > 0).then_some(life), renewable, first: life }
    }

    /// The same token's next lease.
    pub(super) fn renewed(self, seconds: u64, renewable: bool) -> Self {
        Self { first: self.first, ..Self::new(seconds, renewable) }
    }

    /// How long from its beginning, and then what. Two thirds of its life, up to a tenth of it
    /// earlier, so that replicas that began together do not come together.
    pub(super) fn next(&self, random: f64) -> Option<(Duration, Step)> {
        let life = self.life?;
        let share = 2.0 / 3.0 - 0.1 * random.clamp(0.0, 1.0);
        // A renewal that gave less than half of what a login gives was near the token's maximum.
        let step = if self.renewable && life * 2 >= self.first { Step::Renew } else { Step::Login };
        Some((life.mul_f64(if share.is_nan() { 0.5 } else { share }), step))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn renewed_while_that_is_worth_it() {
        let lease = Lease::new(3600, true);
        assert_eq!(lease.next(0.0), Some((Duration::from_secs(2400), Step::Renew)));
        assert_eq!(lease.next(1.0), Some((Duration::from_secs(2040), Step::Renew)));
        assert_eq!(lease.renewed(3600, true).next(0.0).unwrap().1, Step::Renew);
        assert_eq!(lease.renewed(1800, true).next(0.0).unwrap().1, Step::Renew);
        assert_eq!(lease.renewed(1799, true).next(0.0).unwrap().1, Step::Login);
        assert_eq!(lease.renewed(3600, false).next(0.0).unwrap().1, Step::Login);
        assert_eq!(Lease::new(60, false).next(0.0), Some((Duration::from_secs(40), Step::Login)));
        assert_eq!(Lease::new(0, false).next(0.5), None);
    }

    proptest! {
        #[test]
        fn always_within_the_life(seconds in 1u64..100_000_000, renewable: bool, random: f64) {
            let (after, _) = Lease::new(seconds, renewable).next(random).unwrap();
            prop_assert!(after > Duration::ZERO && after < Duration::from_secs(seconds).mul_f64(0.7));
        }
    }
}
