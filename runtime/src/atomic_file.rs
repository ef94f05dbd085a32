//! Files that appear whole or not at all, also after a crash: the content goes to a temporary file
//! in the same directory, is flushed, and is then renamed into place.

use std::fs::{File, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use tempfile::NamedTempFile;

/// Replaces the file at `path`, or creates it, with the permission bits `mode` (less the umask).
///
/// A symbolic link at `path` is replaced and not followed. The directory must exist.
///
/// # Errors
/// When the file cannot be written; `path` is then as it was.
pub fn write(path: &Path, content: &[u8], mode: u32) -> io::Result<()> {
    let directory = parent(path);
    temporary(directory, content, mode)?.persist(path).map_err(|error| error.error)?;
    File::open(directory)?.sync_all()
}

/// As [`write()`], but fails with [`io::ErrorKind::AlreadyExists`] when `path` exists.
///
/// # Errors
/// When the file exists or cannot be written.
pub fn create(path: &Path, content: &[u8], mode: u32) -> io::Result<()> {
    let directory = parent(path);
    temporary(directory, content, mode)?.persist_noclobber(path).map_err(|error| error.error)?;
    File::open(directory)?.sync_all()
}

/// Removed on drop, so a failure leaves nothing behind.
fn temporary(directory: &Path, content: &[u8], mode: u32) -> io::Result<NamedTempFile> {
    let mut file = tempfile::Builder::new()
        .prefix(".tmp-")
        .permissions(Permissions::from_mode(mode))
        .tempfile_in(directory)?;
    file.write_all(content)?;
    file.as_file().sync_all()?;
    Ok(file)
}

fn parent(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use super::*;

    fn mode(path: &Path) -> u32 {
        fs::symlink_metadata(path).unwrap().permissions().mode() & 0o777
    }

    #[test]
    fn a_file_is_replaced_with_its_mode_and_nothing_is_left_beside_it() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("file");
        for (content, bits) in [(b"one".as_slice(), 0o600), (b"two", 0o644)] {
            write(&path, content, bits).unwrap();
            assert_eq!((fs::read(&path).unwrap().as_slice(), mode(&path)), (content, bits));
        }
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_link_is_replaced_and_not_followed() {
        let directory = tempfile::tempdir().unwrap();
        let (target, link) = (directory.path().join("target"), directory.path().join("link"));
        write(&target, b"kept", 0o600).unwrap();
        symlink(&target, &link).unwrap();
        write(&link, b"new", 0o600).unwrap();
        assert_eq!(fs::read(&target).unwrap(), b"kept");
        assert_eq!(fs::read(&link).unwrap(), b"new");
    }

    #[test]
    fn create_does_not_replace() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("file");
        create(&path, b"one", 0o600).unwrap();
        let error = create(&path, b"two", 0o600).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::AlreadyExists);
        assert_eq!(fs::read(&path).unwrap(), b"one");
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_failure_leaves_nothing_behind() {
        let directory = tempfile::tempdir().unwrap();
        fs::create_dir(directory.path().join("taken")).unwrap();
        assert!(write(&directory.path().join("taken"), b"x", 0o600).is_err());
        assert!(write(&directory.path().join("absent/file"), b"x", 0o600).is_err());
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1);
    }
}
