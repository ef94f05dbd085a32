//! Limits how many refused credentials go into the audit log.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use crate::token_bucket::TokenBucket;

/// Records at most 100 refused credentials at once and one more per second: enough to see an
/// attack, too few to fill a disk. The metrics count all of them.
pub(crate) struct AuthFailureLimiter(Mutex<TokenBucket>);

impl Default for AuthFailureLimiter {
    fn default() -> Self {
        Self(Mutex::new(TokenBucket::new(100, Duration::from_secs(1), Instant::now())))
    }
}

impl AuthFailureLimiter {
    /// Whether one more refused credential may be recorded now.
    pub(super) fn may_record(&self) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take(Instant::now())
    }
}
