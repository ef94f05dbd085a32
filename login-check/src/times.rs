//! The time of one run.

use tokio::time::Instant;

/// When the program started, and when it has to have answered.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Times {
    /// Its start.
    pub(crate) started: Instant,
    /// Its end.
    pub(crate) deadline: Instant,
}
