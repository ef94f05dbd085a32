//! Files that only their owner reads, whatever the umask is.

use std::fs::{File, OpenOptions, Permissions};
use std::io::{self, ErrorKind};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::Path;

/// The permission bits of a private file.
pub const MODE: u32 = 0o600;

/// Opens a file with `options`, which must allow writing. Creates it with exactly [`MODE`] if it
/// does not exist; the mode of an existing file stays.
///
/// # Errors
/// When the file cannot be opened or created.
pub fn open(options: &OpenOptions, path: &Path) -> io::Result<File> {
    loop {
        match options.clone().create(false).create_new(true).mode(MODE).open(path) {
            Ok(file) => {
                // The umask can only take bits away, the owner's too.
                file.set_permissions(Permissions::from_mode(MODE))?;
                return Ok(file);
            }
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
            Err(error) => return Err(error),
        }
        match options.clone().create(false).create_new(false).open(path) {
            // It was removed in between, as by a rotation.
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            other => return other,
        }
    }
}

/// The permission bits of the file if others than its owner can use it; `None` if they cannot, or
/// there is no such file.
///
/// # Errors
/// When the file cannot be examined.
pub fn wide_mode(path: &Path) -> io::Result<Option<u32>> {
    match path.metadata() {
        Ok(about) => {
            let mode = about.permissions().mode() & 0o7777;
            Ok((mode & 0o077 != 0).then_some(mode))
        }
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// Takes a file away from everybody but its owner. Returns the permission bits that it had if
/// others could use it, so that the operator learns of it.
///
/// # Errors
/// When the file can be used by others and its mode cannot be changed.
pub fn restrict(path: &Path) -> io::Result<Option<u32>> {
    let wide = wide_mode(path)?;
    if wide.is_some() {
        std::fs::set_permissions(path, Permissions::from_mode(MODE))?;
    }
    Ok(wide)
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    fn mode(path: &Path) -> u32 {
        path.metadata().unwrap().permissions().mode() & 0o7777
    }

    fn appending() -> OpenOptions {
        let mut options = File::options();
        options.append(true);
        options
    }

    #[test]
    fn a_new_file_is_private_and_an_existing_one_is_opened_as_it_is() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("file");
        open(&appending(), &path).unwrap().write_all(b"one").unwrap();
        assert_eq!(mode(&path), MODE);
        std::fs::set_permissions(&path, Permissions::from_mode(0o640)).unwrap();
        open(&appending(), &path).unwrap().write_all(b"two").unwrap();
        assert_eq!(
            (std::fs::read(&path).unwrap().as_slice(), mode(&path)),
            (&b"onetwo"[..], 0o640)
        );
        assert!(open(&appending(), &directory.path().join("absent/file")).is_err());
    }

    #[test]
    fn a_wide_file_is_narrowed_and_reported_once() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("file");
        assert_eq!(restrict(&path).unwrap(), None);
        drop(open(&appending(), &path).unwrap());
        for wide in [0o640, 0o604, 0o666] {
            std::fs::set_permissions(&path, Permissions::from_mode(wide)).unwrap();
            assert_eq!(wide_mode(&path).unwrap(), Some(wide));
            assert_eq!(restrict(&path).unwrap(), Some(wide));
            assert_eq!((restrict(&path).unwrap(), mode(&path)), (None, MODE));
        }
    }
}
