//! Sealing: one data key for each value version, wrapped by a key-encryption key.
//!
//! Both layers are AES-256-GCM with a random nonce. Both authenticate the value's id (scope, name,
//! version, reference) and the format, and the outer one the key-encryption key as well. A value
//! that was moved, changed, truncated or restored from an older row does not open, and the error
//! names the row. To change the key-encryption key, only the data key is rewrapped; the sealed
//! value stays as it is.

mod layer;
mod rewrap;
#[cfg(test)]
mod tests;

use std::fmt;
use std::sync::Arc;

use contract::{Redacted, Scope, SecretName, Version};
use uuid::Uuid;
use zeroize::Zeroizing;

use crate::aead::{cipher, decrypt, encrypt};
use crate::key::{
    KEY_BYTES, KeyId, KeyRing, KeyWrapper, UnwrapRequest, WrapError, WrapRequest, WrappedKey,
};
use crate::value::{Reference, ValueId};
use layer::Layer;

pub use rewrap::{Rewrapped, rewrap};

/// The format that is written. Format 1, which also bound the value to the wrapping key, is still
/// read.
pub const FORMAT: u8 = 2;

/// Identifies a sealed value: its id and its reference.
#[derive(Clone, Copy, Debug)]
pub struct RowId<'a> {
    /// The scope.
    pub scope: &'a Scope,
    /// The secret's name.
    pub name: &'a SecretName,
    /// The version.
    pub version: Version,
    /// The store's reference to the value. It keeps two values that were written as the same
    /// version (one of them never acknowledged) from being swapped.
    pub reference: &'a Reference,
}

impl fmt::Display for RowId<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{} version {} ({})", self.scope, self.name, self.version, self.reference)
    }
}

/// A sealed value as a row stores it. It reveals only the length.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sealed {
    /// The format, 1 or [`FORMAT`].
    pub format: u8,
    /// The id of the key-encryption key that wrapped the data key.
    pub key_id: KeyId,
    /// The wrapped data key.
    pub wrapped_key: Vec<u8>,
    /// The value, encrypted under the data key.
    pub value: Vec<u8>,
}

/// Why a value could not be sealed or opened.
#[derive(Debug, Clone, thiserror::Error)]
pub enum SealError {
    /// The cipher or the system's random numbers failed.
    #[error("seal {0}")]
    Seal(String),
    /// Written by a newer version of this program.
    #[error("open {row}: it has format {format}, and this build reads formats 1 to {FORMAT}")]
    Format {
        /// The row.
        row: String,
        /// The format it names.
        format: u8,
    },
    /// Wrapped by a key that was not given.
    #[error("open {row}: it is sealed under key {found}, and the keys given are {have}")]
    KeyMissing {
        /// The row.
        row: String,
        /// The key it names.
        found: KeyId,
        /// The keys that were given.
        have: String,
    },
    /// Not what was sealed for this row.
    #[error("open {0}: the row was changed, truncated or moved from another place")]
    Integrity(String),
    /// The key-encryption key is unavailable right now.
    #[error("reach the key-encryption key for {row}")]
    KeyUnavailable {
        /// The row, or the first of several.
        row: String,
        /// Why.
        source: Arc<WrapError>,
    },
}

fn unavailable<R: fmt::Display>(row: R) -> impl FnOnce(WrapError) -> SealError {
    move |source| SealError::KeyUnavailable { row: row.to_string(), source: Arc::new(source) }
}

/// Seals values, each for its id, and creates their references. All data keys are wrapped in one
/// call.
///
/// # Errors
/// If the cipher or the system's random numbers fail, or the key-encryption key is unavailable.
pub async fn seal(
    keys: &KeyRing,
    values: &[(ValueId<'_>, &Redacted)],
) -> Result<Vec<(Reference, Sealed)>, SealError> {
    let Some((first, _)) = values.first() else { return Ok(Vec::new()) };
    let current = keys.current();
    let encrypted = values
        .iter()
        .map(|(value_id, value)| EncryptedValue::seal(*value_id, value))
        .collect::<Result<Vec<_>, _>>()?;
    let requests: Vec<WrapRequest<'_>> = encrypted
        .iter()
        .zip(values)
        .map(|(encrypted, (id, _))| WrapRequest {
            data_key: &encrypted.data_key,
            authenticated: layer::key(current.name(), id.row(&encrypted.reference)),
        })
        .collect();
    let wrapped = current.wrap(&requests).await.map_err(unavailable(first))?;
    let sealed = encrypted.into_iter().zip(wrapped).map(
        |(EncryptedValue { data_key: _, value, reference }, WrappedKey { key_id, bytes })| {
            (reference, Sealed { format: FORMAT, key_id, wrapped_key: bytes, value })
        },
    );
    Ok(sealed.collect())
}

/// A value encrypted under its data key, which is not wrapped yet.
struct EncryptedValue {
    data_key: Redacted,
    value: Vec<u8>,
    reference: Reference,
}

impl EncryptedValue {
    fn seal(value_id: ValueId<'_>, value: &Redacted) -> Result<Self, SealError> {
        let token = Uuid::new_v4().simple().to_string();
        let (data_key, value) = under_new_key(&layer::value(value_id, &token), value)
            .ok_or_else(|| SealError::Seal(value_id.to_string()))?;
        let reference = layer::reference(&token, &value);
        Ok(Self { data_key, value, reference })
    }
}

fn under_new_key(authenticated: &[u8], value: &Redacted) -> Option<(Redacted, Vec<u8>)> {
    let mut data_key = Zeroizing::new([0u8; KEY_BYTES]);
    aws_lc_rs::rand::fill(data_key.as_mut()).ok()?;
    let sealed = encrypt(&cipher(data_key.as_ref())?, authenticated, value.expose())?;
    Some((Redacted::from(data_key.as_slice()), sealed))
}

/// Opens the value that was sealed for `row`.
///
/// # Errors
/// If anything differs from what was sealed, or the key-encryption key is unavailable.
pub async fn open(keys: &KeyRing, row: RowId<'_>, sealed: &Sealed) -> Result<Redacted, SealError> {
    let changed = || SealError::Integrity(row.to_string());
    let key = wrapper(keys, row, sealed.format, &sealed.key_id)?;
    // First, since no call to the key is needed to refuse a ciphertext that the ledger does not
    // know.
    if !layer::matches_ciphertext(row.reference, &sealed.value) {
        return Err(changed());
    }
    let packed = [packed(row, sealed, key)];
    let data_key =
        key.unwrap(&packed).await.map_err(unavailable(row))?.pop().flatten().ok_or_else(changed)?;
    open_value(row, sealed, &data_key).ok_or_else(changed)
}

/// The key that a row names, if the row's format is known and the key was given.
fn wrapper<'k>(
    keys: &'k KeyRing,
    row: RowId<'_>,
    format: u8,
    key_id: &KeyId,
) -> Result<&'k dyn KeyWrapper, SealError> {
    if !(1..=FORMAT).contains(&format) {
        return Err(SealError::Format { row: row.to_string(), format });
    }
    let missing = || SealError::KeyMissing {
        row: row.to_string(),
        found: key_id.clone(),
        have: keys.names(),
    };
    keys.find(key_id).ok_or_else(missing)
}

fn packed<'a>(row: RowId<'_>, sealed: &'a Sealed, key: &dyn KeyWrapper) -> UnwrapRequest<'a> {
    let Sealed { format, key_id, wrapped_key, value: _ } = sealed;
    let authenticated = match format {
        1 => layer::format_1(Layer::Key, key_id, row),
        _ => layer::key(key.name(), row),
    };
    UnwrapRequest { format: *format, key_id, bytes: wrapped_key, authenticated }
}

fn open_value(row: RowId<'_>, sealed: &Sealed, data_key: &Redacted) -> Option<Redacted> {
    let authenticated = match sealed.format {
        1 => layer::format_1(Layer::Value, &sealed.key_id, row),
        _ => layer::value(row.value_id(), layer::token(row.reference)),
    };
    decrypt(&cipher(data_key.expose())?, &authenticated, &sealed.value)
}

impl<'a> ValueId<'a> {
    /// The row of this value under `reference`.
    #[must_use]
    pub fn row(self, reference: &'a Reference) -> RowId<'a> {
        let Self { scope, name, version } = self;
        RowId { scope, name, version, reference }
    }
}

impl<'a> RowId<'a> {
    /// The id without the reference.
    #[must_use]
    pub fn value_id(self) -> ValueId<'a> {
        let Self { scope, name, version, reference: _ } = self;
        ValueId { scope, name, version }
    }
}
