//! How many requests a second one principal may make. Reads and writes are counted separately, so
//! that neither starves the other.
//!
//! `governor` is not used here: its keyed stores grow without a bound, and a store with one needs
//! as much code as this file.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use crate::token_bucket::TokenBucket;

/// The most buckets that are kept. Full ones are dropped first. If none is full, every further
/// principal shares one bucket.
const MAX_BUCKETS: usize = 10_000;

/// The buckets of all principals.
pub(crate) struct RateLimiter {
    rate: Option<RateLimit>,
    buckets: Mutex<HashMap<BucketKey, TokenBucket>>,
}

#[derive(Clone, Copy)]
struct RateLimit {
    burst: u32,
    refill_interval: Duration,
}

#[derive(Clone, PartialEq, Eq, Hash)]
struct BucketKey {
    principal: String,
    is_write: bool,
}

impl RateLimiter {
    /// Allows `burst` requests at once and `per_second` after that. There is no limit if
    /// `per_second` is 0.
    pub(crate) fn new(per_second: u32, burst: u32) -> Self {
        let rate = (per_second > 0).then(|| RateLimit {
            burst: burst.max(1),
            refill_interval: Duration::from_secs(1) / per_second,
        });
        Self { rate, buckets: Mutex::default() }
    }

    /// Allows `burst` requests at once and one per `interval` after that.
    pub(crate) fn every(interval: Duration, burst: u32) -> Self {
        let rate = Some(RateLimit { burst, refill_interval: interval });
        Self { rate, buckets: Mutex::default() }
    }

    /// Takes one request from the principal's bucket.
    ///
    /// # Errors
    /// If the bucket is empty: how long to wait.
    pub(crate) fn take(
        &self,
        principal: &str,
        is_write: bool,
        now: Instant,
    ) -> Result<(), Duration> {
        let Some(RateLimit { burst, refill_interval }) = self.rate else { return Ok(()) };
        let mut buckets = self.buckets.lock().unwrap_or_else(PoisonError::into_inner);
        let mut key = BucketKey { principal: principal.to_owned(), is_write };
        if buckets.len() >= MAX_BUCKETS && !buckets.contains_key(&key) {
            buckets.retain(|_, bucket| !bucket.is_full(now));
            if buckets.len() >= MAX_BUCKETS {
                key.principal.clear();
            }
        }
        let bucket =
            buckets.entry(key).or_insert_with(|| TokenBucket::new(burst, refill_interval, now));
        if bucket.take(now) { Ok(()) } else { Err(bucket.wait(now)) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_principal_has_a_bucket_for_reads_and_one_for_writes() {
        let (limiter, now) = (RateLimiter::new(2, 3), Instant::now());
        let take = |principal: &str, is_write, at| {
            limiter.take(principal, is_write, now + Duration::from_millis(at))
        };
        for is_write in [false, true] {
            for principal in ["token:a", "token:b"] {
                assert!((0..3).all(|_| take(principal, is_write, 0).is_ok()));
                assert_eq!(take(principal, is_write, 100), Err(Duration::from_millis(400)));
                assert!(take(principal, is_write, 500).is_ok());
                assert!(take(principal, is_write, 500).is_err());
            }
        }
        let unlimited = RateLimiter::new(0, 0);
        assert!((0..10_000).all(|_| unlimited.take("token:a", true, now).is_ok()));
    }

    #[test]
    fn the_number_of_buckets_is_bounded() {
        let (limiter, now) = (RateLimiter::new(1, 1), Instant::now());
        for at in 0..2 * MAX_BUCKETS {
            let _ = limiter.take(&format!("token:{at}"), false, now);
        }
        assert!(limiter.buckets.lock().unwrap().len() <= MAX_BUCKETS + 1);
        // Once the buckets are full again they make room.
        let later = now + Duration::from_secs(5);
        assert!(
            limiter.take("token:new", false, later).is_ok()
                && limiter.take("token:newer", false, later).is_ok()
        );
        assert!(limiter.buckets.lock().unwrap().len() < 5);
    }
}
