//! Sealing: one data key for each value version, wrapped by the key-encryption key.
//!
//! Both layers are AES-256-GCM with a random nonce, and both authenticate where the value belongs
//! (scope, name, version, reference), the key-encryption key's id and the format. A value that was
//! moved, changed, cut or put back from an older row does not open, and the error names the row.

use std::fmt;

use aws_lc_rs::aead::{AES_256_GCM, Aad, NONCE_LEN, Nonce, RandomizedNonceKey};
use contract::{Redacted, Scope, SecretName, Version};
use zeroize::{Zeroize, Zeroizing};

use crate::key::{KEY_BYTES, KeyId, WrappingKey};
use crate::store::Reference;

/// The only format so far: `nonce ‖ ciphertext ‖ tag` in both layers.
pub const FORMAT: u8 = 1;

const TAG_BYTES: usize = 16;

/// The place that a sealed value belongs to.
#[derive(Clone, Copy, Debug)]
pub struct Row<'a> {
    /// The scope.
    pub scope: &'a Scope,
    /// The secret's name.
    pub name: &'a SecretName,
    /// The version.
    pub version: Version,
    /// The store's name for the value. With it two values that were written as the same version (one
    /// of them never acknowledged) cannot be exchanged either.
    pub reference: &'a Reference,
}

impl fmt::Display for Row<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{} version {} ({})", self.scope, self.name, self.version, self.reference)
    }
}

/// A sealed value as a row keeps it. It gives nothing away but its length.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sealed {
    /// The format, [`FORMAT`].
    pub format: u8,
    /// The key-encryption key that wrapped the data key.
    pub key_id: KeyId,
    /// The data key, wrapped.
    pub wrapped_key: Vec<u8>,
    /// The value under the data key.
    pub value: Vec<u8>,
}

/// Why a value could not be sealed or opened.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SealError {
    /// The cipher or the system's random numbers failed.
    #[error("seal {0}")]
    Seal(String),
    /// Written by a newer version of this program.
    #[error("open {row}: it has format {format}, and this build knows format {FORMAT}")]
    Format {
        /// The row.
        row: String,
        /// The format it names.
        format: u8,
    },
    /// Wrapped by another key-encryption key.
    #[error("open {row}: it is sealed under key {found}, and the key at hand is {have}")]
    Key {
        /// The row.
        row: String,
        /// The key it names.
        found: KeyId,
        /// The key there is.
        have: KeyId,
    },
    /// Not what was sealed for this row.
    #[error("open {0}: the row was changed, cut or moved from another place")]
    Integrity(String),
}

/// Seals `value` for `row`.
///
/// # Errors
/// Where the cipher or the system's random numbers fail.
pub fn seal(key: &WrappingKey, row: Row<'_>, value: &Redacted) -> Result<Sealed, SealError> {
    let failed = || SealError::Seal(row.to_string());
    let mut data_key = Zeroizing::new([0u8; KEY_BYTES]);
    aws_lc_rs::rand::fill(data_key.as_mut()).map_err(|_| failed())?;
    let key_id = key.id().clone();
    let cipher = RandomizedNonceKey::new(&AES_256_GCM, data_key.as_ref()).map_err(|_| failed())?;
    let sealed = encrypt(&cipher, &authenticated(Layer::Value, FORMAT, &key_id, row), value.expose()).ok_or_else(failed)?;
    let wrapped_key = encrypt(key.cipher(), &authenticated(Layer::Key, FORMAT, &key_id, row), data_key.as_ref()).ok_or_else(failed)?;
    Ok(Sealed { format: FORMAT, key_id, wrapped_key, value: sealed })
}

/// Opens what was sealed for `row`.
///
/// # Errors
/// Where anything at all is not as it was sealed.
pub fn open(key: &WrappingKey, row: Row<'_>, sealed: &Sealed) -> Result<Redacted, SealError> {
    let Sealed { format, key_id, wrapped_key, value } = sealed;
    if *format != FORMAT {
        return Err(SealError::Format { row: row.to_string(), format: *format });
    }
    if key_id != key.id() {
        return Err(SealError::Key { row: row.to_string(), found: key_id.clone(), have: key.id().clone() });
    }
    let changed = || SealError::Integrity(row.to_string());
    let data_key = decrypt(key.cipher(), &authenticated(Layer::Key, *format, key_id, row), wrapped_key).ok_or_else(changed)?;
    let cipher = RandomizedNonceKey::new(&AES_256_GCM, data_key.expose()).map_err(|_| changed())?;
    decrypt(&cipher, &authenticated(Layer::Value, *format, key_id, row), value).ok_or_else(changed)
}

/// Which of the two layers a ciphertext is, so that one can never pass for the other.
#[derive(Clone, Copy)]
enum Layer {
    Key,
    Value,
}

/// The associated data: every part with its length in front, so that no two rows share one text.
fn authenticated(layer: Layer, format: u8, key_id: &KeyId, row: Row<'_>) -> Vec<u8> {
    let layer = match layer {
        Layer::Key => "key",
        Layer::Value => "value",
    };
    let mut bytes = b"enclii-lockbox".to_vec();
    bytes.push(format);
    let scope = row.scope.to_string();
    for part in [layer, key_id.as_str(), &scope, row.name.as_str(), row.reference.as_str()] {
        bytes.extend_from_slice(&(part.len() as u64).to_be_bytes());
        bytes.extend_from_slice(part.as_bytes());
    }
    bytes.extend_from_slice(&row.version.0.to_be_bytes());
    bytes
}

fn encrypt(cipher: &RandomizedNonceKey, authenticated: &[u8], plain: &[u8]) -> Option<Vec<u8>> {
    // One buffer of the final size: growing would leave a copy of the plain bytes behind.
    let mut sealed = Vec::with_capacity(NONCE_LEN + plain.len() + TAG_BYTES);
    sealed.extend_from_slice(&[0; NONCE_LEN]);
    sealed.extend_from_slice(plain);
    let Ok((nonce, tag)) = cipher.seal_in_place_separate_tag(Aad::from(authenticated), &mut sealed[NONCE_LEN..]) else {
        sealed.zeroize();
        return None;
    };
    sealed[..NONCE_LEN].copy_from_slice(nonce.as_ref());
    sealed.extend_from_slice(tag.as_ref());
    Some(sealed)
}

fn decrypt(cipher: &RandomizedNonceKey, authenticated: &[u8], sealed: &[u8]) -> Option<Redacted> {
    let (nonce, rest) = sealed.split_at_checked(NONCE_LEN)?;
    let nonce = Nonce::try_assume_unique_for_key(nonce).ok()?;
    let mut plain = Zeroizing::new(rest.to_vec());
    let length = cipher.open_in_place(nonce, Aad::from(authenticated), &mut plain).ok()?.len();
    // The tag lies behind the value in the same buffer.
    plain.truncate(length);
    Some(Redacted::new(std::mem::take(&mut *plain)))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    struct Place {
        scope: Scope,
        name: SecretName,
        version: Version,
        reference: Reference,
    }

    impl Place {
        fn new(scope: &str, name: &str, version: u64, reference: &str) -> Self {
            Self {
                scope: scope.parse().unwrap(),
                name: name.parse().unwrap(),
                version: Version(version),
                reference: Reference::new(reference.into()),
            }
        }

        fn row(&self) -> Row<'_> {
            Row { scope: &self.scope, name: &self.name, version: self.version, reference: &self.reference }
        }
    }

    fn key(byte: u8) -> WrappingKey {
        WrappingKey::new(&[byte; KEY_BYTES]).unwrap()
    }

    fn place() -> Place {
        Place::new("shop.prod.api", "A", 2, "r1")
    }

    #[test]
    fn a_value_opens_in_its_own_place_alone() {
        let value = Redacted::from(b"hunter2".as_slice());
        let sealed = seal(&key(1), place().row(), &value).unwrap();
        assert_eq!(open(&key(1), place().row(), &sealed).unwrap(), value);
        for other in [
            Place::new("shop.prod.web", "A", 2, "r1"),
            Place::new("shop.prod", "A", 2, "r1"),
            Place::new("shop.prod.api", "B", 2, "r1"),
            Place::new("shop.prod.api", "A", 1, "r1"),
            Place::new("shop.prod.api", "A", 2, "r2"),
        ] {
            let error = open(&key(1), other.row(), &sealed).unwrap_err();
            assert_eq!(error, SealError::Integrity(other.row().to_string()));
        }
    }

    #[test]
    fn a_new_key_and_nonce_each_time() {
        let value = Redacted::from(b"same".as_slice());
        let one = seal(&key(1), place().row(), &value).unwrap();
        let two = seal(&key(1), place().row(), &value).unwrap();
        assert_ne!(one.value, two.value);
        assert_ne!(one.wrapped_key, two.wrapped_key);
        // The parts of two seals of one place do not mix.
        let mixed = Sealed { wrapped_key: two.wrapped_key, ..one };
        assert!(matches!(open(&key(1), place().row(), &mixed), Err(SealError::Integrity(_))));
    }

    #[test]
    fn another_key_and_another_format_are_named() {
        let sealed = seal(&key(1), place().row(), &Redacted::default()).unwrap();
        let error = open(&key(2), place().row(), &sealed).unwrap_err();
        assert!(matches!(&error, SealError::Key { .. }) && error.to_string().contains("shop.prod.api/A version 2"), "{error}");
        // A row that lies about its key does not open under the key that it names.
        let lying = Sealed { key_id: key(2).id().clone(), ..sealed.clone() };
        assert!(matches!(open(&key(2), place().row(), &lying), Err(SealError::Integrity(_))));
        let newer = Sealed { format: 2, ..sealed };
        assert!(matches!(open(&key(1), place().row(), &newer), Err(SealError::Format { format: 2, .. })));
    }

    #[test]
    fn layers_do_not_pass_for_each_other() {
        let sealed = seal(&key(1), place().row(), &Redacted::from([7u8; KEY_BYTES].as_slice())).unwrap();
        let crossed = Sealed { wrapped_key: sealed.value.clone(), value: sealed.wrapped_key.clone(), ..sealed };
        assert!(open(&key(1), place().row(), &crossed).is_err());
    }

    proptest! {
        #[test]
        fn bytes_come_out_as_they_went_in(value: Vec<u8>) {
            let value = Redacted::new(value);
            let sealed = seal(&key(1), place().row(), &value).unwrap();
            prop_assert_eq!(open(&key(1), place().row(), &sealed).unwrap(), value);
        }

        #[test]
        fn no_bit_can_be_flipped_and_no_byte_cut(value in prop::collection::vec(any::<u8>(), 0..40), at: prop::sample::Index, bit in 0u8..8) {
            let sealed = seal(&key(1), place().row(), &Redacted::new(value)).unwrap();
            for (part, is_key) in [(&sealed.wrapped_key, true), (&sealed.value, false)] {
                let mut flipped = part.clone();
                flipped[at.index(part.len())] ^= 1 << bit;
                let cut = part[..at.index(part.len())].to_vec();
                for damaged in [flipped, cut] {
                    let mut row = sealed.clone();
                    *(if is_key { &mut row.wrapped_key } else { &mut row.value }) = damaged;
                    prop_assert!(matches!(open(&key(1), place().row(), &row), Err(SealError::Integrity(_))));
                }
            }
        }
    }
}
