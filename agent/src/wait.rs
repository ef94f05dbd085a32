//! `enclii-agent wait`: the postStart hook. It exits once the files exist, and kubelet then starts
//! the application.

use std::path::Path;
use std::time::{Duration, Instant};

use crate::files;

// The files usually exist within 20 ms, so the first second is polled closely; a longer wait is a
// wait for a server. A poll costs one system call, whereas an inotify instance would be one of the
// 128 that all processes of a user on the node share.
const FAST_POLL_INTERVAL: Duration = Duration::from_millis(2);
const FAST_POLL_PERIOD: Duration = Duration::from_secs(1);
const SLOW_POLL_INTERVAL: Duration = Duration::from_millis(20);

/// How long the hook waits. While a hook runs, kubelet neither stops a deleted pod, nor shows the
/// container's log, nor reports why it does not start. A container whose hook failed restarts, with
/// the reason in the pod's events and in the container's last state. So the wait is bounded.
pub const WAIT_TIMEOUT: Duration = Duration::from_secs(30);

/// Returns `true` once `directory` has a generation, `false` if it has none within `timeout`.
#[must_use]
pub fn wait_for_files(directory: &Path, timeout: Duration) -> bool {
    let started = Instant::now();
    while !files::generation_exists(directory) {
        if started.elapsed() >= timeout {
            return false;
        }
        std::thread::sleep(poll_interval(started.elapsed()));
    }
    true
}

fn poll_interval(waited: Duration) -> Duration {
    if waited < FAST_POLL_PERIOD { FAST_POLL_INTERVAL } else { SLOW_POLL_INTERVAL }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn the_wait_ends_with_the_swap_and_not_before() {
        let temp = tempfile::tempdir().unwrap();
        std::fs::create_dir(temp.path().join("..1")).unwrap();
        symlink("..1", temp.path().join("..data_tmp")).unwrap();
        // A dangling link is not a generation.
        symlink("..0", temp.path().join("..data")).unwrap();
        assert!(!wait_for_files(temp.path(), Duration::from_millis(50)));

        let path = temp.path().to_owned();
        let waiter = std::thread::spawn(move || wait_for_files(&path, WAIT_TIMEOUT));
        assert!(!waiter.is_finished());
        std::fs::rename(temp.path().join("..data_tmp"), temp.path().join("..data")).unwrap();
        assert!(waiter.join().unwrap());
    }

    #[test]
    fn existing_files_are_not_waited_for() {
        let temp = tempfile::tempdir().unwrap();
        std::fs::create_dir(temp.path().join("..1")).unwrap();
        symlink("..1", temp.path().join("..data")).unwrap();
        assert!(wait_for_files(temp.path(), Duration::ZERO));
    }

    #[test]
    fn the_wait_is_bounded() {
        let temp = tempfile::tempdir().unwrap();
        assert!(!wait_for_files(temp.path(), Duration::from_millis(5)));
    }

    #[test]
    fn polling_slows_down() {
        assert!(poll_interval(Duration::ZERO) < poll_interval(Duration::from_secs(2)));
    }
}
