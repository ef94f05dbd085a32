//! The key-encryption key and its file.
//!
//! The file holds exactly 32 random bytes and is readable by its owner alone. It is made on first
//! start and never replaced: without it every value in the database is lost.

use std::fmt;
use std::fs::{self, File, OpenOptions, Permissions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use aws_lc_rs::aead::{AES_256_GCM, RandomizedNonceKey};
use aws_lc_rs::hmac;
use zeroize::Zeroizing;

/// The length of every key here, in bytes.
pub const KEY_BYTES: usize = 32;

/// Says which key-encryption key wrapped a value. It is derived from the key by a one-way function,
/// so that a wrong key file is noticed by name and not by a value that does not open.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KeyId(String);

impl KeyId {
    /// The id that a row names.
    #[must_use]
    pub fn new(text: String) -> Self {
        Self(text)
    }

    /// The id's text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A key-encryption key, ready for use. The cipher keeps the key and wipes it when dropped.
pub struct WrappingKey {
    id: KeyId,
    cipher: RandomizedNonceKey,
}

impl WrappingKey {
    /// The key of these bytes; `None` where they are not [`KEY_BYTES`] many.
    #[must_use]
    pub fn new(bytes: &[u8]) -> Option<Self> {
        let cipher = RandomizedNonceKey::new(&AES_256_GCM, bytes).ok()?;
        let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, bytes), b"enclii-lockbox key id");
        let id = tag.as_ref().iter().take(8).map(|byte| format!("{byte:02x}")).collect();
        Some(Self { id: KeyId(id), cipher })
    }

    /// The key's id.
    #[must_use]
    pub fn id(&self) -> &KeyId {
        &self.id
    }

    pub(crate) fn cipher(&self) -> &RandomizedNonceKey {
        &self.cipher
    }
}

impl fmt::Debug for WrappingKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("WrappingKey").field(&self.id).finish()
    }
}

/// The file of the key-encryption key.
#[derive(Clone, Debug)]
pub struct KeyFile(PathBuf);

/// Why a key file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// There is none, and one must not be made.
    #[error(
        "read key file {path}: it is missing, and the database holds values sealed under key {sealed_under}; put the file back from your backup"
    )]
    Lost {
        /// The file.
        path: PathBuf,
        /// The key that the values need.
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
    /// It is something else.
    #[error("read key file {0}: it is no regular file")]
    Kind(PathBuf),
    /// Others than its owner may read it.
    #[error("read key file {path}: its mode is {mode:04o}, so others can read it; run: chmod 0600 {path}")]
    Mode {
        /// The file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// Not a key.
    #[error("read key file {path}: it is {length} bytes long, and a key is {KEY_BYTES}; put the right file back from your backup")]
    Length {
        /// The file.
        path: PathBuf,
        /// Its length.
        length: u64,
    },
    /// It cannot be made.
    #[error("make key file {path}")]
    Make {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The system's random numbers or the cipher failed.
    #[error("make key for {0}")]
    Random(PathBuf),
}

impl KeyFile {
    /// The key file at `path`.
    #[must_use]
    pub fn new(path: PathBuf) -> Self {
        Self(path)
    }

    /// Reads the key, and makes one where there is none and `sealed_under` says that no value needs
    /// an older one.
    ///
    /// # Errors
    /// Where the file is not what a key file has to be, or cannot be made.
    pub fn load(&self, sealed_under: Option<&KeyId>) -> Result<WrappingKey, KeyError> {
        match self.read() {
            Err(KeyError::Read { source, .. }) if source.kind() == io::ErrorKind::NotFound => match sealed_under {
                Some(id) => Err(KeyError::Lost { path: self.0.clone(), sealed_under: id.clone() }),
                None => {
                    self.make()?;
                    self.read()
                }
            },
            other => other,
        }
    }

    fn read(&self) -> Result<WrappingKey, KeyError> {
        let path = || self.0.clone();
        let failed = |source| KeyError::Read { path: path(), source };
        let mut file = File::open(&self.0).map_err(failed)?;
        let about = file.metadata().map_err(failed)?;
        if !about.is_file() {
            return Err(KeyError::Kind(path()));
        }
        if about.mode() & 0o077 != 0 && !take_back_from_group(&file, about.mode()) {
            return Err(KeyError::Mode { path: path(), mode: about.mode() & 0o7777 });
        }
        let mut bytes = Zeroizing::new([0u8; KEY_BYTES]);
        if about.len() != KEY_BYTES as u64 {
            return Err(KeyError::Length { path: path(), length: about.len() });
        }
        file.read_exact(bytes.as_mut()).map_err(failed)?;
        WrappingKey::new(bytes.as_ref()).ok_or_else(|| KeyError::Random(path()))
    }

    /// Writes a new key whole, then gives it its name with a link: unlike a rename, a link never
    /// takes the place of a key that somebody else made in the meantime.
    fn make(&self) -> Result<(), KeyError> {
        let mut key = Zeroizing::new([0u8; KEY_BYTES]);
        aws_lc_rs::rand::fill(key.as_mut()).map_err(|_| KeyError::Random(self.0.clone()))?;
        let directory = match self.0.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => parent,
            _ => Path::new("."),
        };
        let draft = directory.join(format!(".key-{}", uuid::Uuid::new_v4()));
        let published = write_new(&draft, key.as_ref()).and_then(|()| match fs::hard_link(&draft, &self.0) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
            other => other,
        });
        let removed = fs::remove_file(&draft);
        published
            .and(removed)
            .and_then(|()| File::open(directory)?.sync_all())
            .map_err(|source| KeyError::Make { path: self.0.clone(), source })
    }
}

/// Kubelet opens every file of a volume to the pod's `fsGroup`, each time it mounts the volume. That
/// group is this process's own, so nobody else could read the file meanwhile: it is closed again. Where
/// everybody could read it, somebody may have, and a person has to know.
fn take_back_from_group(file: &File, mode: u32) -> bool {
    mode & 0o007 == 0 && file.set_permissions(Permissions::from_mode(0o600)).is_ok()
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
    fn made_once_and_private() {
        let directory = directory();
        let path = directory.path().join("key");
        let first = KeyFile::new(path.clone()).load(None).unwrap();
        let about = fs::metadata(&path).unwrap();
        assert_eq!((about.len(), about.permissions().mode() & 0o7777), (32, 0o600));
        assert_eq!(KeyFile::new(path).load(None).unwrap().id(), first.id());
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1, "a draft was left behind");
        let other = KeyFile::new(directory.path().join("other")).load(None).unwrap();
        assert_ne!(other.id(), first.id());
        let text = format!("{first:?}");
        assert!(!text.contains("cipher"), "{text}");
    }

    #[test]
    fn no_new_key_where_values_need_the_old_one() {
        let directory = directory();
        let path = directory.path().join("key");
        let error = KeyFile::new(path.clone()).load(Some(&KeyId::new("abc".into()))).unwrap_err();
        assert!(matches!(error, KeyError::Lost { .. }), "{error}");
        assert!(!path.exists());
    }

    #[test]
    fn a_volume_that_was_opened_to_its_group_is_closed_again() {
        let directory = directory();
        let path = directory.path().join("key");
        let first = KeyFile::new(path.clone()).load(None).unwrap();
        for mode in [0o660, 0o640] {
            fs::set_permissions(&path, Permissions::from_mode(mode)).unwrap();
            assert_eq!(KeyFile::new(path.clone()).load(Some(first.id())).unwrap().id(), first.id());
            assert_eq!(fs::metadata(&path).unwrap().mode() & 0o7777, 0o600);
        }
    }

    #[test]
    fn what_is_refused() {
        let directory = directory();
        let path = directory.path().join("key");
        for (bytes, mode) in [(31, 0o600), (33, 0o600), (0, 0o600), (32, 0o604), (32, 0o644), (32, 0o666)] {
            let _ = fs::remove_file(&path);
            write_new(&path, &vec![1; bytes]).unwrap();
            fs::set_permissions(&path, Permissions::from_mode(mode)).unwrap();
            let error = KeyFile::new(path.clone()).load(None).unwrap_err();
            match mode {
                0o600 => assert!(matches!(error, KeyError::Length { .. }), "{error}"),
                _ => assert!(matches!(error, KeyError::Mode { .. }) && error.to_string().contains("chmod 0600"), "{error}"),
            }
        }
        fs::remove_file(&path).unwrap();
        fs::create_dir(&path).unwrap();
        assert!(matches!(KeyFile::new(path).load(None), Err(KeyError::Kind(_))));
    }
}
