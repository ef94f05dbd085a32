//! `enclii-agent wait`: the postStart hook. It ends when the files are there, and the application
//! starts then.

use std::path::Path;
use std::time::{Duration, Instant};

use crate::files;

// The files are usually there within 20 ms, so the first second is watched closely; who waits longer
// waits for a server. A look costs one system call, and an inotify instance would be one of the 128
// that all processes of a user on the node share.
const CLOSE: (Duration, Duration) = (Duration::from_millis(2), Duration::from_secs(1));
const LATER: Duration = Duration::from_millis(20);

/// How often the wait says that it still waits.
const REMIND: Duration = Duration::from_secs(30);

/// Returns when `directory` has a generation. There is no deadline: without its secrets the
/// application must not start, and the kubelet ends the hook together with the pod.
pub fn until_files(directory: &Path, mut remind: impl FnMut(Duration)) {
    let began = Instant::now();
    let mut reminded = began;
    while !files::exist(directory) {
        if reminded.elapsed() >= REMIND {
            reminded = Instant::now();
            remind(began.elapsed());
        }
        std::thread::sleep(pause(began.elapsed()));
    }
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
        let waiter = std::thread::spawn(move || until_files(&path, |_| {}));
        std::fs::create_dir(temp.path().join("..1")).unwrap();
        symlink("..1", temp.path().join("..data_tmp")).unwrap();
        // A link to a generation that is not there is no generation.
        symlink("..0", temp.path().join("..data")).unwrap();
        std::thread::sleep(Duration::from_millis(50));
        assert!(!waiter.is_finished());
        std::fs::rename(temp.path().join("..data_tmp"), temp.path().join("..data")).unwrap();
        waiter.join().unwrap();
    }

    #[test]
    fn files_that_are_there_are_not_waited_for() {
        let temp = tempfile::tempdir().unwrap();
        std::fs::create_dir(temp.path().join("..1")).unwrap();
        symlink("..1", temp.path().join("..data")).unwrap();
        until_files(temp.path(), |_| panic!("waited"));
    }

    #[test]
    fn the_pace_slows_down() {
        assert!(pause(Duration::ZERO) < pause(Duration::from_secs(2)));
    }
}
