//! So many at once, and so many a second after that. Pure: `now` is handed in.

use std::time::Duration;

use tokio::time::Instant;

/// A budget that refills with time.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Budget {
    burst: u32,
    every: Duration,
    left: u32,
    since: Instant,
}

impl Budget {
    /// `burst` at once, and one more each `every`.
    pub(crate) fn new(burst: u32, every: Duration, now: Instant) -> Self {
        Self { burst, every, left: burst, since: now }
    }

    /// Takes one; `false` where there is none left.
    pub(crate) fn take(&mut self, now: Instant) -> bool {
        let passed = now.saturating_duration_since(self.since);
        let refill =
            u32::try_from(passed.as_nanos() / self.every.as_nanos().max(1)).unwrap_or(u32::MAX);
        if refill > 0 {
            self.left = self.left.saturating_add(refill).min(self.burst);
            // What is left over of an interval counts for the next one, unless the budget is full.
            self.since =
                if self.left == self.burst { now } else { self.since + self.every * refill };
        }
        let taken = self.left > 0;
        self.left = self.left.saturating_sub(1);
        taken
    }

    /// How long until there is one more, where there is none left.
    pub(crate) fn wait(&self, now: Instant) -> Duration {
        (self.since + self.every).saturating_duration_since(now)
    }

    /// Whether all of it is there.
    pub(crate) fn is_full(&self, now: Instant) -> bool {
        let passed = now.saturating_duration_since(self.since).as_nanos();
        passed / self.every.as_nanos().max(1) >= u128::from(self.burst - self.left)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_and_then_the_rate() {
        let start = Instant::now();
        let mut budget = Budget::new(3, Duration::from_secs(2), start);
        let at = |seconds| start + Duration::from_secs(seconds);
        assert_eq!(
            (0..5).map(|_| budget.take(at(0))).collect::<Vec<_>>(),
            [true, true, true, false, false]
        );
        assert!(!budget.take(at(1)));
        assert!(budget.take(at(2)));
        assert!(!budget.take(at(3)));
        assert!(budget.take(at(4)));
        // A long rest refills it to the burst and no further.
        assert_eq!(
            (0..5).map(|_| budget.take(at(1000))).collect::<Vec<_>>(),
            [true, true, true, false, false]
        );
    }
}
