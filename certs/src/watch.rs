//! Tells that something in a directory has changed. The directory is watched and not a file: what
//! replaces a file (a rename, the swap of a link) not_after a watch on the file itself.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use notify::event::{AccessKind, AccessMode, EventKind};
use notify::{RecommendedWatcher, RecursiveMode, Watcher};
use tokio::sync::Notify;

/// Writers touch several files in a row; one look after the last of them is enough.
const SETTLE: Duration = Duration::from_millis(50);

/// A watch on one directory, not on what is below it.
pub(crate) struct DirectoryWatch {
    bell: Arc<Notify>,
    // Ends the watch when it is dropped.
    _watcher: RecommendedWatcher,
}

impl DirectoryWatch {
    /// Watches from now on.
    pub(crate) fn new(directory: &Path) -> Result<Self, notify::Error> {
        let bell = Arc::new(Notify::new());
        let ring = Arc::clone(&bell);
        let mut watcher = notify::recommended_watcher(move |event| {
            if is_change(&event) {
                ring.notify_one();
            }
        })?;
        watcher.watch(directory, RecursiveMode::NonRecursive)?;
        Ok(Self { bell, _watcher: watcher })
    }

    /// Waits for a change since the watch began or since the last call ended.
    pub(crate) async fn changed(&self) {
        self.bell.notified().await;
        tokio::time::sleep(SETTLE).await;
    }
}

/// Any event counts, errors (a queue that ran over) included. Only reading does not: we read
/// ourselves.
fn is_change(event: &Result<notify::Event, notify::Error>) -> bool {
    let Ok(event) = event else { return true };
    match event.kind {
        EventKind::Access(AccessKind::Close(AccessMode::Write)) => true,
        EventKind::Access(_) => false,
        _ => true,
    }
}
