//! Follows a directory, and logs an error once and not at each poll.

use std::path::Path;
use std::time::Duration;

use runtime::logs::ErrorChain;
use runtime::watch::{Depth, DirectoryWatch, PollIntervals};

const POLL: PollIntervals =
    PollIntervals { watched: Duration::from_secs(30), unwatched: Duration::from_secs(1) };

/// Watches a directory and everything below it.
pub(crate) fn watch(directory: &Path) -> DirectoryWatch {
    DirectoryWatch::new(directory, Depth::Tree, POLL)
}

/// Says one trouble once: a directory is looked at again and again.
#[derive(Default)]
pub(crate) struct Said(String);

impl Said {
    /// Warns of an error unless the last one was the same.
    pub(crate) fn warn(&mut self, what: &'static str, error: &dyn std::error::Error) {
        let line = ErrorChain(error).to_string();
        if self.0 != line {
            tracing::warn!(error = line, "{what}");
            self.0 = line;
        }
    }
}
