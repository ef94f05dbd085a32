//! Atomic file writes that create missing directories, and the modes of existing files.

use std::fs;
use std::io;
use std::path::Path;

use runtime::{atomic_file, private_file};

/// Who may read a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Readers {
    /// Everyone.
    All,
    /// The owner only.
    Owner,
}

/// Writes a file atomically and durably, creating its directory if necessary.
pub(crate) fn write(path: &Path, bytes: &[u8], readers: Readers) -> io::Result<()> {
    if let Some(parent) = path.parent() {
        fs::create_dir_all(parent)?;
    }
    let mode = match readers {
        Readers::All => 0o644,
        Readers::Owner => 0o600,
    };
    atomic_file::write(path, bytes, mode)
}

/// Takes a file of our own away from everybody but its owner, and logs that others could use it.
pub(crate) fn make_private(path: &Path) {
    match private_file::restrict(path) {
        Ok(None) => {}
        Ok(Some(mode)) => tracing::warn!(path = %path.display(), mode = format!("{mode:04o}"),
            "others could read this file; now only its owner can"),
        Err(error) => tracing::warn!(path = %path.display(), %error,
            "others can read this file, and its mode cannot be changed"),
    }
}

/// Logs that others can use a file. Its mode stays, because the operator may have given it to a
/// program that collects logs, or to an auditor.
pub(crate) fn report_if_wide(path: &Path) {
    if let Ok(Some(mode)) = private_file::wide_mode(path) {
        tracing::warn!(path = %path.display(), mode = format!("{mode:04o}"),
            "others than its owner can use this file; if nobody else is to, run chmod 0600");
    }
}
