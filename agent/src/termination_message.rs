//! The container's termination message, which `kubectl describe pod` shows for a stopped container.
//!
//! While the application waits for its files, kubelet does not show the agent's state. So the agent
//! writes the reason for the missing files here, and it is shown when the postStart hook fails.

use std::fs::OpenOptions;
use std::io::{self, Write};
use std::path::Path;

/// Kubernetes' default `terminationMessagePath`. Kubelet mounts a world-writable file there.
const PATH: &str = "/dev/termination-log";

/// Kubelet keeps this much of a message, in bytes.
const MAX_MESSAGE_BYTES: usize = 4096;

/// Writes the reason and replaces an earlier one. Outside a container the file does not exist, and
/// the reason is only logged.
pub fn write(reason: &str) {
    if let Err(error) = write_to(Path::new(PATH), reason) {
        tracing::debug!(%error, "termination message not written");
    }
}

fn write_to(path: &Path, reason: &str) -> io::Result<()> {
    let end = reason.floor_char_boundary(MAX_MESSAGE_BYTES);
    OpenOptions::new().write(true).truncate(true).open(path)?.write_all(&reason.as_bytes()[..end])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_reason_stays_and_a_missing_file_is_not_created() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("termination-log");
        assert!(write_to(&path, "first").is_err());
        assert!(!path.exists());
        std::fs::File::create(&path).unwrap();
        write_to(&path, "a longer first reason").unwrap();
        write_to(&path, &"ä".repeat(MAX_MESSAGE_BYTES)).unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "ä".repeat(MAX_MESSAGE_BYTES / 2));
        write_to(&path, "last").unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "last");
    }
}
