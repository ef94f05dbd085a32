//! Key-encryption keys: each wraps the data keys of sealed values.
//!
//! The bytes of a local key come from a file or a command, and this process wraps with them. Those
//! of a remote key never leave its server, such as Vault's transit engine, and the server wraps.
//! [`KeyWrapper`] is the interface of both. Where keys come from is in
//! [`key_source`](crate::key_source).

mod command;
mod file;
mod local;
mod ring;

use std::fmt;

use contract::Redacted;
use futures_util::future::BoxFuture;

pub use command::{CommandError, KeyCommand};
pub use file::{KeyFile, KeyFileError};
pub use local::LocalKey;
pub use ring::KeyRing;

/// The length of every key, in bytes.
pub const KEY_BYTES: usize = 32;

/// Names the key-encryption key that wrapped a data key.
///
/// A local key's id is derived from the key by a one-way function, so that a wrong key is noticed
/// by name and not by a value that does not open. The id of a key in Vault is
/// `transit:MOUNT/NAME:vN`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KeyId(String);

impl KeyId {
    /// Reads the id that a row names.
    #[must_use]
    pub fn new(text: String) -> Self {
        Self(text)
    }

    /// The id's text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The id without the key's version, if it has one. It is the same for every version that one
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

    /// Whether this is a possible id. A row with any other text is damaged.
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
pub struct WrapRequest<'a> {
    /// The data key.
    pub data_key: &'a Redacted,
    /// The associated data.
    pub authenticated: Vec<u8>,
}

/// A data key to unwrap.
#[derive(Debug)]
pub struct UnwrapRequest<'a> {
    /// The format of its row.
    pub format: u8,
    /// The key-encryption key that its row names.
    pub key_id: &'a KeyId,
    /// The wrapped key.
    pub bytes: &'a [u8],
    /// The associated data.
    pub authenticated: Vec<u8>,
}

/// A wrapped data key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WrappedKey {
    /// The key that wrapped it.
    pub key_id: KeyId,
    /// The wrapped key.
    pub bytes: Vec<u8>,
}

/// A key-encryption key, ready for use. One call takes many data keys, since it may go to a server.
pub trait KeyWrapper: Send + Sync + fmt::Debug {
    /// The key's name, as in [`KeyId::name`].
    fn name(&self) -> &str;

    /// The id that it writes into rows now.
    fn id(&self) -> BoxFuture<'_, Result<KeyId, WrapError>>;

    /// Wraps data keys, in the same order.
    fn wrap<'a>(
        &'a self,
        keys: &'a [WrapRequest<'a>],
    ) -> BoxFuture<'a, Result<Vec<WrappedKey>, WrapError>>;

    /// Unwraps data keys, in the same order. The result is `None` for one that was changed.
    fn unwrap<'a>(
        &'a self,
        keys: &'a [UnwrapRequest<'a>],
    ) -> BoxFuture<'a, Result<Vec<Option<Redacted>>, WrapError>>;
}

/// Why a key could not wrap or unwrap. A data key that does not open is not an error.
#[derive(Debug, thiserror::Error)]
pub enum WrapError {
    /// The cipher or the system's random numbers failed.
    #[error("wrap data key under key {0}")]
    Cipher(String),
    /// The key's server cannot be reached, or refuses to use the key.
    #[error(transparent)]
    Remote(Box<dyn std::error::Error + Send + Sync>),
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
