//! Sees that the agent has swapped in another generation.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::fs::inotify::{self, CreateFlags, WatchFlags};

use crate::files::current_name;

/// How long after a swap it counts, so that swaps in a row are one.
const SETTLE: Duration = Duration::from_secs(1);

/// How often the link is read where the kernel grants no watch: a user of the node has 128 in all.
const POLL_INTERVAL: Duration = Duration::from_secs(2);

/// Watches the volume.
#[derive(Debug)]
pub(super) struct Rotation {
    directory: PathBuf,
    /// The generation that the command has, or that it was kept from.
    known: String,
    watch: Option<OwnedFd>,
    due: Option<Instant>,
    /// A swap before the watch began gave no event, so the link is read at once.
    is_new: bool,
}

impl Rotation {
    /// Watches a volume whose generation `known` the command has.
    pub(super) fn watch(directory: &str, known: String) -> Self {
        let directory = PathBuf::from(directory);
        Self { watch: watch(&directory), directory, known, due: None, is_new: true }
    }

    /// The command has this generation.
    pub(super) fn started_with(&mut self, name: String) {
        self.known = name;
    }

    /// Whether there is another generation, and has been for a while. Says so once for each.
    pub(super) fn is_due(&mut self, now: Instant) -> bool {
        self.is_new = false;
        if let Some(watch) = &self.watch {
            let mut buffer = [0; 4096];
            while rustix::io::read(watch, &mut buffer).is_ok_and(|count| count > 0) {}
        }
        match current_name(&self.directory) {
            Ok(name) if name != self.known => {
                if now < *self.due.get_or_insert(now + SETTLE) {
                    return false;
                }
                self.known = name;
                self.due = None;
                true
            }
            _ => {
                self.due = None;
                false
            }
        }
    }

    /// When to ask [`Self::is_due`] again at the latest.
    pub(super) fn deadline(&self) -> Option<Instant> {
        let at_once = self.is_new.then(Instant::now);
        at_once
            .or(self.due)
            .or_else(|| self.watch.is_none().then(|| Instant::now() + POLL_INTERVAL))
    }

    /// Readable when the link was swapped.
    pub(super) fn descriptor(&self) -> Option<BorrowedFd<'_>> {
        self.watch.as_ref().map(AsFd::as_fd)
    }
}

fn watch(directory: &Path) -> Option<OwnedFd> {
    let watch = inotify::init(CreateFlags::CLOEXEC | CreateFlags::NONBLOCK).ok()?;
    inotify::add_watch(&watch, directory, WatchFlags::MOVED_TO | WatchFlags::ONLYDIR).ok()?;
    Some(watch)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn a_swap_is_due_once_after_it_has_settled() {
        let temp = tempfile::tempdir().unwrap();
        let swap = |name: &str| {
            symlink(name, temp.path().join("..data_tmp")).unwrap();
            std::fs::rename(temp.path().join("..data_tmp"), temp.path().join("..data")).unwrap();
        };
        swap("..1");
        let mut rotation = Rotation::watch(temp.path().to_str().unwrap(), "..1".to_owned());
        let start = Instant::now();
        assert!(rotation.deadline().is_some());
        assert!(!rotation.is_due(start) && rotation.deadline().is_none());
        swap("..2");
        assert!(!rotation.is_due(start));
        assert_eq!(rotation.deadline(), Some(start + SETTLE));
        swap("..3");
        assert!(rotation.is_due(start + SETTLE));
        assert!(!rotation.is_due(start + SETTLE));
        // Back to what the command has: nothing to do.
        swap("..4");
        assert!(!rotation.is_due(start));
        swap("..3");
        assert!(!rotation.is_due(start + SETTLE));
    }

    #[test]
    fn a_swap_before_the_watch_counts() {
        let temp = tempfile::tempdir().unwrap();
        symlink("..2", temp.path().join("..data")).unwrap();
        let mut rotation = Rotation::watch(temp.path().to_str().unwrap(), "..1".to_owned());
        assert!(rotation.deadline().is_some_and(|at| at <= Instant::now()));
        let start = Instant::now();
        assert!(!rotation.is_due(start) && rotation.is_due(start + SETTLE));
    }

    #[test]
    fn without_a_watch_the_link_is_polled() {
        let rotation = Rotation::watch("/nowhere", "..1".to_owned());
        assert!(rotation.descriptor().is_none() && rotation.deadline().is_some());
    }
}
