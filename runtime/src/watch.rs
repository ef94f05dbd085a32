//! Waits for changes in a directory. The directory is watched and not a file in it: a rename or the
//! swap of a symbolic link, which is how kubelet updates mounted Secrets and ConfigMaps, ends a
//! watch on the file itself (kubernetes/kubernetes#112677).
//!
//! A watch can be lost without an error, so a poll backs it up.
//!
//! `notify` alone and not `notify-debouncer-full`: the debouncer's thread wakes every few
//! milliseconds for as long as the process lives, and a reader that reads everything again needs
//! neither its file ids nor its pairing of renames.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use notify::event::{AccessKind, AccessMode, EventKind};
use notify::{RecommendedWatcher, RecursiveMode, Watcher};
use tokio::sync::Notify;

/// How long events are collected: writers touch several files in a row.
const DEBOUNCE: Duration = Duration::from_millis(50);

/// What a watch covers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Depth {
    /// The directory's own entries.
    Entries,
    /// Everything below the directory.
    Tree,
}

/// How often [`DirectoryWatch::changed`] returns without an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PollIntervals {
    /// While the watch works.
    pub watched: Duration,
    /// When there is no watch: the directory does not exist, or the system has no watch left.
    pub unwatched: Duration,
}

/// A watch on one directory.
#[derive(Debug)]
pub struct DirectoryWatch {
    changed: Arc<Notify>,
    poll: PollIntervals,
    // Dropping it ends the watch.
    watcher: Option<RecommendedWatcher>,
}

impl DirectoryWatch {
    /// Watches from now on. Create it before reading the directory, so that no change falls between
    /// the two.
    ///
    /// A directory that cannot be watched is polled instead, so there is no error.
    pub fn new(directory: &Path, depth: Depth, poll: PollIntervals) -> Self {
        let changed = Arc::new(Notify::new());
        let notify = Arc::clone(&changed);
        let mode = match depth {
            Depth::Entries => RecursiveMode::NonRecursive,
            Depth::Tree => RecursiveMode::Recursive,
        };
        let watcher = notify::recommended_watcher(move |event| {
            if is_change(&event) {
                notify.notify_one();
            }
        })
        .and_then(|mut watcher| watcher.watch(directory, mode).map(|()| watcher))
        .inspect_err(|error| {
            tracing::debug!(%error, directory = %directory.display(), "watch directory");
        })
        .ok();
        Self { changed, poll, watcher }
    }

    /// Whether the system reports changes; otherwise the directory is polled.
    pub fn is_watched(&self) -> bool {
        self.watcher.is_some()
    }

    /// Waits for a change since the watch began or since the last call returned, or for the poll
    /// interval to pass.
    pub async fn changed(&self) {
        let poll = if self.is_watched() { self.poll.watched } else { self.poll.unwatched };
        if tokio::time::timeout(poll, self.changed.notified()).await.is_ok() {
            tokio::time::sleep(DEBOUNCE).await;
            // The caller reads after this, so it sees the rest of the burst as well.
            let _ = self.changed.notified().now_or_never();
        }
    }
}

/// Any event counts, and an error (a queue that overflowed) too. Only reading does not, because the
/// reader reads.
fn is_change(event: &Result<notify::Event, notify::Error>) -> bool {
    let Ok(event) = event else { return true };
    match event.kind {
        EventKind::Access(AccessKind::Close(AccessMode::Write)) => true,
        EventKind::Access(_) => false,
        _ => true,
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::io::Write;
    use std::os::unix::fs::symlink;

    use super::*;

    const NEVER: PollIntervals =
        PollIntervals { watched: Duration::from_secs(3600), unwatched: Duration::from_secs(3600) };

    async fn sees(watch: &DirectoryWatch) -> bool {
        tokio::time::timeout(Duration::from_millis(500), watch.changed()).await.is_ok()
    }

    fn write(path: &Path) {
        fs::File::create(path).unwrap().write_all(b"x").unwrap();
    }

    #[tokio::test]
    async fn a_swapped_link_is_a_change_and_reading_is_not() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path();
        write(&path.join("file"));
        let watch = DirectoryWatch::new(path, Depth::Entries, NEVER);
        assert!(watch.is_watched());
        fs::read(path.join("file")).unwrap();
        assert!(!sees(&watch).await);
        symlink("one", path.join("new")).unwrap();
        fs::rename(path.join("new"), path.join("..data")).unwrap();
        assert!(sees(&watch).await);
        assert!(!sees(&watch).await, "one burst is one change");
    }

    #[tokio::test]
    async fn the_depth_decides_about_subdirectories() {
        let directory = tempfile::tempdir().unwrap();
        let below = directory.path().join("below");
        fs::create_dir(&below).unwrap();
        let entries = DirectoryWatch::new(directory.path(), Depth::Entries, NEVER);
        let tree = DirectoryWatch::new(directory.path(), Depth::Tree, NEVER);
        write(&below.join("file"));
        assert!(sees(&tree).await);
        assert!(!sees(&entries).await);
    }

    #[tokio::test(start_paused = true)]
    async fn the_poll_stands_in_for_a_watch() {
        let directory = tempfile::tempdir().unwrap();
        let poll =
            PollIntervals { watched: Duration::from_secs(30), unwatched: Duration::from_secs(1) };
        for (path, expected) in [("", poll.watched), ("absent", poll.unwatched)] {
            let watch = DirectoryWatch::new(&directory.path().join(path), Depth::Tree, poll);
            let start = tokio::time::Instant::now();
            watch.changed().await;
            assert_eq!(start.elapsed(), expected);
        }
    }
}
