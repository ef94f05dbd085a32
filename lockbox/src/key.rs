//! Key-encryption keys: each wraps the data keys of sealed values.
//!
//! A key's bytes are in a file or come from a command, and then this process wraps with them; or
//! they never leave Vault's transit engine, and Vault wraps. Both look alike from outside:
//! [`KeyWrapper`].

mod command;
mod file;
mod local;
mod ring;
mod source;

use std::fmt;

use contract::Redacted;
use futures_util::future::BoxFuture;

use crate::vault::CallError;

pub use command::{CommandError, KeyCommand};
pub use file::{KeyFile, KeyFileError};
pub use local::LocalKey;
pub use ring::KeyRing;
pub use source::{KeyError, KeySource, Keys, SourceError};

/// The length of every key here, in bytes.
pub const KEY_BYTES: usize = 32;

/// Says which key-encryption key wrapped a data key.
///
/// A key of our own is called by the end of a one-way function of it, so that a wrong key is
/// noticed by name and not by a value that does not open. A key in Vault is called
/// `transit:MOUNT/NAME:vN`.
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

    /// The id without the version that a key may have: the same for every version that one
    /// [`KeyWrapper`] opens.
    #[must_use]
    pub fn name(&self) -> &str {
        match self.0.rsplit_once(":v") {
            Some((name, version))
                if !version.is_empty() && version.bytes().all(|byte| byte.is_ascii_digit()) =>
            {
                name
            }
            _ => &self.0,
        }
    }

    /// Whether some key may be called so. A row with another text was damaged.
    #[must_use]
    pub fn is_well_formed(&self) -> bool {
        let hex = |text: &str| {
            text.len() == 16 && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
        };
        hex(&self.0) || (self.0.starts_with("transit:") && self.name() != self.0)
    }
}

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A data key to wrap.
#[derive(Debug)]
pub struct Plain<'a> {
    /// The key.
    pub data_key: &'a Redacted,
    /// What is authenticated with it.
    pub authenticated: Vec<u8>,
}

/// A data key to unwrap.
#[derive(Debug)]
pub struct Packed<'a> {
    /// The format of its row.
    pub format: u8,
    /// The key that its row names.
    pub key_id: &'a KeyId,
    /// The wrapped key.
    pub bytes: &'a [u8],
    /// What is authenticated with it.
    pub authenticated: Vec<u8>,
}

/// A wrapped data key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wrapped {
    /// The key that wrapped it.
    pub key_id: KeyId,
    /// The wrapped key.
    pub bytes: Vec<u8>,
}

/// A key-encryption key, ready for use. Many data keys go in one call, since a call may be one to a
/// server.
pub trait KeyWrapper: Send + Sync + fmt::Debug {
    /// Its name, as [`KeyId::name`] has it.
    fn name(&self) -> &str;

    /// What it calls itself in a row that it wraps now.
    fn id(&self) -> BoxFuture<'_, Result<KeyId, WrapError>>;

    /// Wraps data keys, in the same order.
    fn wrap<'a>(&'a self, keys: &'a [Plain<'a>]) -> BoxFuture<'a, Result<Vec<Wrapped>, WrapError>>;

    /// Unwraps data keys, in the same order; `None` for one that is not as it was wrapped.
    fn unwrap<'a>(
        &'a self,
        keys: &'a [Packed<'a>],
    ) -> BoxFuture<'a, Result<Vec<Option<Redacted>>, WrapError>>;
}

/// Why a key could not be asked. That one data key does not open is no such case.
#[derive(Debug, thiserror::Error)]
pub enum WrapError {
    /// The cipher or the system's random numbers failed.
    #[error("wrap data key under key {0}")]
    Cipher(String),
    /// Vault cannot be reached, or does not let the key be used.
    #[error(transparent)]
    Vault(#[from] CallError),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_and_names() {
        for (id, name, good) in [
            ("0123456789abcdef", "0123456789abcdef", true),
            ("0123456789abcdeg", "0123456789abcdeg", false),
            ("ffff", "ffff", false),
            ("", "", false),
            ("transit:transit/enclii:v12", "transit:transit/enclii", true),
            ("transit:transit/enclii", "transit:transit/enclii", false),
            ("transit:a/b:v", "transit:a/b:v", false),
            ("transit:a/b:v1x", "transit:a/b:v1x", false),
        ] {
            let id = KeyId::new(id.to_owned());
            assert_eq!((id.name(), id.is_well_formed()), (name, good), "{id}");
        }
    }
}
