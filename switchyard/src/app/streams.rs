//! What all streams of agents share.

use std::sync::Arc;
use std::time::Duration;

use certs::bundle::TrustBundle;
use tokio::sync::watch;

use super::frame_cache::FrameCache;
use super::rate_limiter::RateLimiter;
use super::stream_slots::{StreamLimits, StreamSlots};
use super::waiting_values::WaitingValues;
use crate::bundle_updates::BundleUpdates;

/// Logins of one pod, and reports of one pod that no delivery caused: this many at once, and then
/// one in [`REFILL_INTERVAL`]. Enough for an agent on a bad network, too few to fill the audit log.
const BURST: u32 = 60;
const REFILL_INTERVAL: Duration = Duration::from_secs(10);

/// What all streams of agents share. Clones share it too.
#[derive(Clone)]
pub(crate) struct StreamState {
    pub(crate) updates: BundleUpdates,
    pub(crate) frames: FrameCache,
    /// The values that wait for their events.
    pub(crate) waiting_values: WaitingValues,
    /// The CAs that may have signed switchyard's certificate.
    pub(crate) trust: watch::Receiver<TrustBundle>,
    pub(crate) slots: StreamSlots,
    /// The logins with each token, before the API server reviews it.
    pub(crate) token_logins: Arc<RateLimiter>,
    /// The logins of each pod, whichever token it has.
    pub(crate) pod_logins: Arc<RateLimiter>,
    /// The reports of each pod that no delivery caused.
    pub(crate) reports: Arc<RateLimiter>,
}

impl StreamState {
    pub(crate) fn new(
        updates: BundleUpdates,
        trust: watch::Receiver<TrustBundle>,
        limits: StreamLimits,
    ) -> Self {
        let limiter = || Arc::new(RateLimiter::every(REFILL_INTERVAL, BURST));
        Self {
            updates,
            frames: FrameCache::default(),
            waiting_values: WaitingValues::default(),
            trust,
            slots: StreamSlots::new(limits),
            token_logins: limiter(),
            pod_logins: limiter(),
            reports: limiter(),
        }
    }
}
