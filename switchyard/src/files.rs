//! Files that are there whole or not at all.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use uuid::Uuid;

/// Who may read a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Readers {
    /// Everybody.
    All,
    /// Its owner alone.
    Owner,
}

/// Writes a file under another name, flushes it and gives it its own.
pub(crate) fn publish(path: &Path, bytes: &[u8], readers: Readers) -> io::Result<()> {
    let directory = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    fs::create_dir_all(directory)?;
    let draft = directory.join(format!(".draft-{}", Uuid::new_v4()));
    let mode = match readers {
        Readers::All => 0o644,
        Readers::Owner => 0o600,
    };
    let written = write_new(&draft, bytes, mode).and_then(|()| fs::rename(&draft, path));
    if written.is_err() {
        // The draft is of no use to anybody; that it could not be removed adds nothing to the
        // error.
        let _ = fs::remove_file(&draft);
    }
    written?;
    File::open(directory)?.sync_all()
}

fn write_new(path: &Path, bytes: &[u8], mode: u32) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).mode(mode).open(path)?;
    file.write_all(bytes)?;
    file.sync_all()
}
