//! What all streams of agents share.

use std::sync::Arc;

use certs::bundle::TrustBundle;
use tokio::sync::{Semaphore, watch};

use super::frame_cache::FrameCache;
use crate::bundle_updates::BundleUpdates;

/// Open streams on one replica: twice the number that one is designed for.
pub(crate) const MAX_STREAMS: usize = 10_000;

/// What all streams of agents share. Clones share it too.
#[derive(Clone)]
pub(crate) struct StreamState {
    pub(crate) updates: BundleUpdates,
    pub(crate) frames: FrameCache,
    /// The CAs that may have signed switchyard's certificate.
    pub(crate) trust: watch::Receiver<TrustBundle>,
    /// One permit for each stream that may be open.
    pub(crate) slots: Arc<Semaphore>,
}

impl StreamState {
    pub(crate) fn new(updates: BundleUpdates, trust: watch::Receiver<TrustBundle>) -> Self {
        let slots = Arc::new(Semaphore::new(MAX_STREAMS));
        Self { updates, frames: FrameCache::default(), trust, slots }
    }
}
