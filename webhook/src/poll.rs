//! What the readers of directories share: poll intervals, and warnings that are not repeated.

use std::error::Error;
use std::time::Duration;

use runtime::logs::ErrorChain;
use runtime::watch::PollIntervals;

/// How often a directory is polled. A watch can stop without an error, so a watched one is too.
pub(crate) const POLL_INTERVALS: PollIntervals =
    PollIntervals { watched: Duration::from_secs(30), unwatched: Duration::from_secs(1) };

/// Logs an error once, although every poll repeats it. Holds the last warning.
#[derive(Default)]
pub(crate) struct WarnOnChange(String);

impl WarnOnChange {
    /// Warns of an error unless it is the same as the last one.
    pub(crate) fn warn(&mut self, what: &'static str, error: &dyn Error) {
        let line = ErrorChain(error).to_string();
        if self.0 != line {
            tracing::warn!(error = line, "{what}");
            self.0 = line;
        }
    }
}
