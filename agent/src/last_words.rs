//! The container's termination message: what `kubectl describe pod` shows of a container that
//! ended.
//!
//! While the application waits for its files, kubelet tells nobody how the agent is doing. So
//! whatever keeps the files away is left here, for the moment at which the wait is given up.

use std::fs::OpenOptions;
use std::io::{self, Write};
use std::path::Path;

/// Kubernetes' default `terminationMessagePath`; kubelet mounts a file there that anybody may
/// write.
const PATH: &str = "/dev/termination-log";

/// What kubelet keeps of it, in bytes.
const LIMIT: usize = 4096;

/// Leaves the reason, in place of an earlier one. Where there is no such file, as outside a
/// container, the log alone has it.
pub fn leave(reason: &str) {
    if let Err(error) = write(Path::new(PATH), reason) {
        tracing::debug!(%error, "no termination message left");
    }
}

fn write(path: &Path, reason: &str) -> io::Result<()> {
    let end = reason.floor_char_boundary(LIMIT);
    OpenOptions::new().write(true).truncate(true).open(path)?.write_all(&reason.as_bytes()[..end])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_reason_stays_and_no_file_is_made() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("termination-log");
        assert!(write(&path, "first").is_err());
        assert!(!path.exists());
        std::fs::File::create(&path).unwrap();
        write(&path, "a longer first reason").unwrap();
        write(&path, &"ä".repeat(LIMIT)).unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "ä".repeat(LIMIT / 2));
        write(&path, "last").unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "last");
    }
}
