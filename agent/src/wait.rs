//! `enclii-agent wait`: the postStart hook. It ends when the files are there, and the application
//! starts then.

use std::path::Path;
use std::time::{Duration, Instant};

use crate::files;

// The files are usually there within 20 ms, so the first second is watched closely; who waits
// longer waits for a server. A look costs one system call, and an inotify instance would be one of
// the 128 that all processes of a user on the node share.
const CLOSE: (Duration, Duration) = (Duration::from_millis(2), Duration::from_secs(1));
const LATER: Duration = Duration::from_millis(20);

/// How long the wait lasts. While a hook runs, kubelet neither ends the pod when it is deleted, nor
/// shows its log, nor says why it does not start; a container that has failed it restarts, with the
/// reason in the pod's events and in the container's last state. So the hook does not wait for
/// ever.
pub const DEADLINE: Duration = Duration::from_secs(30);

/// Returns `true` when `directory` has a generation, `false` when it has none by the deadline.
#[must_use]
pub fn until_files(directory: &Path, deadline: Duration) -> bool {
    let began = Instant::now();
    while !files::exist(directory) {
        if began.elapsed() >= deadline {
            return false;
        }
        std::thread::sleep(pause(began.elapsed()));
    }
    true
}

fn pause(waited: Duration) -> Duration {
    if waited < CLOSE.1 { CLOSE.0 } else { LATER }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn the_wait_ends_with_the_swap_and_not_before() {
        let temp = tempfile::tempdir().unwrap();
        let path = temp.path().to_owned();
        let waiter = std::thread::spawn(move || until_files(&path, DEADLINE));
        std::fs::create_dir(temp.path().join("..1")).unwrap();
        symlink("..1", temp.path().join("..data_tmp")).unwrap();
        // A link to a generation that is not there is no generation.
        symlink("..0", temp.path().join("..data")).unwrap();
        std::thread::sleep(Duration::from_millis(50));
        assert!(!waiter.is_finished());
        std::fs::rename(temp.path().join("..data_tmp"), temp.path().join("..data")).unwrap();
        assert!(waiter.join().unwrap());
    }

    #[test]
    fn files_that_are_there_are_not_waited_for() {
        let temp = tempfile::tempdir().unwrap();
        std::fs::create_dir(temp.path().join("..1")).unwrap();
        symlink("..1", temp.path().join("..data")).unwrap();
        assert!(until_files(temp.path(), Duration::ZERO));
    }

    #[test]
    fn the_wait_does_not_last_for_ever() {
        let temp = tempfile::tempdir().unwrap();
        assert!(!until_files(temp.path(), Duration::from_millis(5)));
    }

    #[test]
    fn the_pace_slows_down() {
        assert!(pause(Duration::ZERO) < pause(Duration::from_secs(2)));
    }
}
