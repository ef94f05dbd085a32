//! Tells that something below a directory has changed.
//!
//! The directory is watched and not a file: what replaces a file (a rename, the swap of a link)
//! ends a watch on the file itself. Since a watch can be lost without a word, a poll stands behind
//! it.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use notify::event::{AccessKind, AccessMode, EventKind};
use notify::{RecommendedWatcher, RecursiveMode, Watcher};
use runtime::logs::ErrorChain;
use tokio::sync::Notify;

/// Writers touch several files in a row; one look after the last of them is enough.
const SETTLE: Duration = Duration::from_millis(20);

/// Behind a watch that works.
const POLL: Duration = Duration::from_secs(30);

/// In the place of a watch: the directory does not exist yet, or the system has no watch left.
const WITHOUT_WATCH: Duration = Duration::from_secs(1);

/// A watch on a directory and what is below it.
pub(crate) struct Watch {
    bell: Arc<Notify>,
    // Ends the watch when it is dropped.
    watcher: Option<RecommendedWatcher>,
}

impl Watch {
    /// Watches from now on. Made before a look, so that no change falls between the two.
    pub(crate) fn new(directory: &Path) -> Self {
        let bell = Arc::new(Notify::new());
        let ring = Arc::clone(&bell);
        let watcher = notify::recommended_watcher(move |event| {
            if is_change(&event) {
                ring.notify_one();
            }
        });
        let watcher = watcher
            .and_then(|mut watcher| {
                watcher.watch(directory, RecursiveMode::Recursive).map(|()| watcher)
            })
            .ok();
        Self { bell, watcher }
    }

    /// Waits until a look is worth it.
    pub(crate) async fn changed(self) {
        let poll = if self.watcher.is_some() { POLL } else { WITHOUT_WATCH };
        if tokio::time::timeout(poll, self.bell.notified()).await.is_ok() {
            tokio::time::sleep(SETTLE).await;
        }
    }
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

/// Any event counts, errors (a queue that ran over) included. Only reading does not: we read
/// ourselves.
fn is_change(event: &Result<notify::Event, notify::Error>) -> bool {
    match event.as_ref().map(|event| event.kind) {
        Ok(EventKind::Access(AccessKind::Close(AccessMode::Write))) | Err(_) => true,
        Ok(EventKind::Access(_)) => false,
        Ok(_) => true,
    }
}
