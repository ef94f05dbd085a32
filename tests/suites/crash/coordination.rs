//! State that the clients and the killer share.

use std::sync::atomic::{AtomicBool, AtomicU64};

/// When the clients of one epoch work and stop, and how far they are.
#[derive(Default)]
pub(crate) struct Coordination {
    /// The target is running.
    pub(crate) up: AtomicBool,
    /// The clients stop.
    pub(crate) stop: AtomicBool,
    /// The number of acknowledged changes.
    pub(crate) acknowledged: AtomicU64,
    /// The last value that a client used.
    pub(crate) values: AtomicU64,
}
