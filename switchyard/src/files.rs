//! Atomic file writes that create missing directories.

use std::fs;
use std::io;
use std::path::Path;

use runtime::atomic_file;

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
