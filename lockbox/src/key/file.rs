//! A key in a file.
//!
//! The file holds exactly 32 random bytes and is readable only by its owner. It is created on first
//! start and never replaced: without it every value in the database is lost.

use std::fmt;
use std::fs::{self, File, OpenOptions, Permissions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use rustix::process::getegid;
use zeroize::Zeroizing;

use super::{KEY_BYTES, KeyId, LocalKey};

/// The file of the key-encryption key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyFile(PathBuf);

/// Why a key file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum KeyFileError {
    /// It does not exist, and values need it.
    #[error(
        "read key file {path}: it is missing, and the database is sealed under key {sealed_under}; \
         restore the file from your backup, or from another replica"
    )]
    Missing {
        /// The file.
        path: PathBuf,
        /// The key that the database needs.
        sealed_under: KeyId,
    },
    /// It cannot be read.
    #[error("read key file {path}")]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// It is a directory or another kind of file.
    #[error("read key file {0}: it is not a regular file")]
    NotAFile(PathBuf),
    /// Not only its owner may read it.
    #[error(
        "read key file {path}: its mode is {mode:04o}, so others can read it; run: chmod 0600 \
         {path}"
    )]
    Mode {
        /// The file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// Its length is not that of a key.
    #[error(
        "read key file {path}: it is {length} bytes long, and a key is {KEY_BYTES}; restore the \
         right file from your backup"
    )]
    Length {
        /// The file.
        path: PathBuf,
        /// Its length.
        length: u64,
    },
    /// It cannot be created.
    #[error("create key file {path}")]
    Create {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The system's random numbers or the cipher failed.
    #[error("create key for {0}")]
    Random(PathBuf),
}

impl KeyFile {
    /// The key file at `path`.
    #[must_use]
    pub fn new(path: PathBuf) -> Self {
        Self(path)
    }

    /// Reads the key. If the file does not exist and no value needs one (`sealed_under` is `None`),
    /// creates it.
    ///
    /// # Errors
    /// If the file is not a valid key file, or cannot be created.
    pub fn load(&self, sealed_under: Option<&KeyId>) -> Result<LocalKey, KeyFileError> {
        match self.read() {
            Err(KeyFileError::Read { source, .. }) if source.kind() == io::ErrorKind::NotFound => {
                match sealed_under {
                    Some(id) => Err(KeyFileError::Missing {
                        path: self.0.clone(),
                        sealed_under: id.clone(),
                    }),
                    None => {
                        self.create()?;
                        self.read()
                    }
                }
            }
            other => other,
        }
    }

    /// Reads the key, and never creates one.
    ///
    /// # Errors
    /// If the file is not a valid key file.
    pub fn read(&self) -> Result<LocalKey, KeyFileError> {
        let path = || self.0.clone();
        let failed = |source| KeyFileError::Read { path: path(), source };
        let mut file = File::open(&self.0).map_err(failed)?;
        let about = file.metadata().map_err(failed)?;
        if !about.is_file() {
            return Err(KeyFileError::NotAFile(path()));
        }
        let private = about.mode() & 0o077 == 0 || restrict_to_owner(&file, about.mode());
        if !private
            && !is_secret_volume(about.mode(), (about.uid(), about.gid()), getegid().as_raw())
        {
            return Err(KeyFileError::Mode { path: path(), mode: about.mode() & 0o7777 });
        }
        let mut bytes = Zeroizing::new([0u8; KEY_BYTES]);
        if about.len() != KEY_BYTES as u64 {
            return Err(KeyFileError::Length { path: path(), length: about.len() });
        }
        file.read_exact(bytes.as_mut()).map_err(failed)?;
        LocalKey::new(bytes.as_ref()).ok_or_else(|| KeyFileError::Random(path()))
    }

    /// Writes a new key to a temporary file, then publishes it with a hard link. Unlike a rename, a
    /// link never replaces a key that another process created in the meantime.
    fn create(&self) -> Result<(), KeyFileError> {
        let mut key = Zeroizing::new([0u8; KEY_BYTES]);
        aws_lc_rs::rand::fill(key.as_mut()).map_err(|_| KeyFileError::Random(self.0.clone()))?;
        let directory = match self.0.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => parent,
            _ => Path::new("."),
        };
        let draft = directory.join(format!(".key-{}", uuid::Uuid::new_v4()));
        let published =
            write_new(&draft, key.as_ref()).and_then(|()| match fs::hard_link(&draft, &self.0) {
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
                other => other,
            });
        let removed = fs::remove_file(&draft);
        published
            .and(removed)
            .and_then(|()| File::open(directory)?.sync_all())
            .map_err(|source| KeyFileError::Create { path: self.0.clone(), source })
    }
}

impl fmt::Display for KeyFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "file:{}", self.0.display())
    }
}

/// Kubelet makes every file of a volume readable to the pod's `fsGroup` each time it mounts the
/// volume. That is this process's own group, so nobody else could read the file and its mode is set
/// back. If everybody could read it, somebody may have, and the operator has to know.
fn restrict_to_owner(file: &File, mode: u32) -> bool {
    mode & 0o007 == 0 && file.set_permissions(Permissions::from_mode(0o600)).is_ok()
}

/// A file of a Secret volume belongs to root, is readable to the pod's `fsGroup` and is on a
/// read-only volume. Its mode cannot be changed and need not be, since the group is this process's
/// own.
fn is_secret_volume(mode: u32, (owner, group): (u32, u32), own_group: u32) -> bool {
    mode & 0o777 == 0o440 && owner == 0 && group == own_group
}

fn write_new(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    file.write_all(bytes)?;
    file.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn directory() -> tempfile::TempDir {
        tempfile::tempdir().unwrap()
    }

    #[test]
    fn a_key_is_created_once_and_private() {
        let directory = directory();
        let path = directory.path().join("key");
        let first = KeyFile::new(path.clone()).load(None).unwrap();
        let about = fs::metadata(&path).unwrap();
        assert_eq!((about.len(), about.permissions().mode() & 0o7777), (32, 0o600));
        assert_eq!(KeyFile::new(path).load(None).unwrap().key_id(), first.key_id());
        assert_eq!(
            fs::read_dir(directory.path()).unwrap().count(),
            1,
            "a temporary file was left behind"
        );
        let other = KeyFile::new(directory.path().join("other")).load(None).unwrap();
        assert_ne!(other.key_id(), first.key_id());
        let text = format!("{first:?}");
        assert!(text.starts_with("LocalKey(KeyId("), "{text}");
    }

    #[test]
    fn no_new_key_is_created_while_values_need_the_old_one() {
        let directory = directory();
        let path = directory.path().join("key");
        let error = KeyFile::new(path.clone()).load(Some(&KeyId::new("abc".into()))).unwrap_err();
        assert!(matches!(error, KeyFileError::Missing { .. }), "{error}");
        assert!(!path.exists());
    }

    #[test]
    fn a_key_file_opened_to_its_group_is_restricted_again() {
        let directory = directory();
        let path = directory.path().join("key");
        let first = KeyFile::new(path.clone()).load(None).unwrap();
        for mode in [0o660, 0o640] {
            fs::set_permissions(&path, Permissions::from_mode(mode)).unwrap();
            assert_eq!(
                KeyFile::new(path.clone()).load(Some(first.key_id())).unwrap().key_id(),
                first.key_id()
            );
            assert_eq!(fs::metadata(&path).unwrap().mode() & 0o7777, 0o600);
        }
    }

    #[test]
    fn only_a_secret_volume_may_be_group_readable() {
        assert!(is_secret_volume(0o440, (0, 65532), 65532));
        for (mode, owner, group) in [
            (0o640, 0, 65532),
            (0o444, 0, 65532),
            (0o460, 0, 65532),
            (0o440, 65532, 65532),
            (0o440, 0, 1000),
        ] {
            assert!(!is_secret_volume(mode, (owner, group), 65532), "{mode:o} {owner} {group}");
        }
    }

    #[test]
    fn invalid_key_files_are_refused() {
        let directory = directory();
        let path = directory.path().join("key");
        for (bytes, mode) in
            [(31, 0o600), (33, 0o600), (0, 0o600), (32, 0o604), (32, 0o644), (32, 0o666)]
        {
            let _ = fs::remove_file(&path);
            write_new(&path, &vec![1; bytes]).unwrap();
            fs::set_permissions(&path, Permissions::from_mode(mode)).unwrap();
            let error = KeyFile::new(path.clone()).load(None).unwrap_err();
            match mode {
                0o600 => assert!(matches!(error, KeyFileError::Length { .. }), "{error}"),
                _ => assert!(
                    matches!(error, KeyFileError::Mode { .. })
                        && error.to_string().contains("chmod 0600"),
                    "{error}"
                ),
            }
        }
        fs::remove_file(&path).unwrap();
        fs::create_dir(&path).unwrap();
        assert!(matches!(KeyFile::new(path).load(None), Err(KeyFileError::NotAFile(_))));
    }
}
