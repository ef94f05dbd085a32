//! A rate limit with a burst. Pure: the caller passes `now`.

use std::time::Duration;

use tokio::time::Instant;

/// A token bucket: it starts full and refills with time.
#[derive(Clone, Copy, Debug)]
pub(crate) struct TokenBucket {
    capacity: u32,
    refill_interval: Duration,
    tokens: u32,
    refilled_at: Instant,
}

impl TokenBucket {
    /// A full bucket of `capacity` tokens that gains one token each `refill_interval`.
    pub(crate) fn new(capacity: u32, refill_interval: Duration, now: Instant) -> Self {
        Self { capacity, refill_interval, tokens: capacity, refilled_at: now }
    }

    /// Takes one token. `false` if the bucket is empty.
    pub(crate) fn take(&mut self, now: Instant) -> bool {
        let passed = now.saturating_duration_since(self.refilled_at);
        let interval = self.refill_interval.as_nanos().max(1);
        let refill = u32::try_from(passed.as_nanos() / interval).unwrap_or(u32::MAX);
        if refill > 0 {
            self.tokens = self.tokens.saturating_add(refill).min(self.capacity);
            // The remainder of an interval counts for the next token, unless the bucket is full.
            self.refilled_at = if self.tokens == self.capacity {
                now
            } else {
                self.refilled_at + self.refill_interval * refill
            };
        }
        let taken = self.tokens > 0;
        self.tokens = self.tokens.saturating_sub(1);
        taken
    }

    /// Whether there is a token to take.
    pub(crate) fn is_available(&self, now: Instant) -> bool {
        self.tokens > 0 || now.saturating_duration_since(self.refilled_at) >= self.refill_interval
    }

    /// How long until an empty bucket has a token again.
    pub(crate) fn wait(&self, now: Instant) -> Duration {
        (self.refilled_at + self.refill_interval).saturating_duration_since(now)
    }

    /// Whether the bucket is full.
    pub(crate) fn is_full(&self, now: Instant) -> bool {
        let passed = now.saturating_duration_since(self.refilled_at).as_nanos();
        let interval = self.refill_interval.as_nanos().max(1);
        passed / interval >= u128::from(self.capacity - self.tokens)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_is_followed_by_the_refill_rate() {
        let start = Instant::now();
        let mut bucket = TokenBucket::new(3, Duration::from_secs(2), start);
        let at = |seconds| start + Duration::from_secs(seconds);
        assert_eq!(
            (0..5).map(|_| bucket.take(at(0))).collect::<Vec<_>>(),
            [true, true, true, false, false]
        );
        assert!(!bucket.take(at(1)));
        assert!(bucket.take(at(2)));
        assert!(!bucket.is_available(at(3)) && !bucket.take(at(3)));
        assert!(bucket.is_available(at(4)) && bucket.take(at(4)));
        // A long rest refills it to its capacity and no further.
        assert_eq!(
            (0..5).map(|_| bucket.take(at(1000))).collect::<Vec<_>>(),
            [true, true, true, false, false]
        );
    }
}
