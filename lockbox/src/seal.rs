//! Sealing: one data key for each value version, wrapped by a key-encryption key.
//!
//! Both layers are AES-256-GCM with a random nonce, and both authenticate where the value belongs
//! (scope, name, version, reference) and the format; the outer one the key-encryption key as well.
//! A value that was moved, changed, cut or put back from an older row does not open, and the error
//! names the row. Another key-encryption key takes over by wrapping the data key anew: the value
//! stays as it is.

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
use crate::key::{KEY_BYTES, KeyId, KeyRing, KeyWrapper, Packed, Plain, WrapError, Wrapped};
use crate::store::{Reference, StoreError};
use layer::Layer;

pub use rewrap::{Rewrapped, rewrap};

/// The format that is written. Format 1, where the value was bound to the wrapping key too, is
/// still read.
pub const FORMAT: u8 = 2;

/// The place that a value belongs to.
#[derive(Clone, Copy, Debug)]
pub struct Place<'a> {
    /// The scope.
    pub scope: &'a Scope,
    /// The secret's name.
    pub name: &'a SecretName,
    /// The version.
    pub version: Version,
}

impl fmt::Display for Place<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{} version {}", self.scope, self.name, self.version)
    }
}

/// The place that a sealed value belongs to, and its reference.
#[derive(Clone, Copy, Debug)]
pub struct Row<'a> {
    /// The scope.
    pub scope: &'a Scope,
    /// The secret's name.
    pub name: &'a SecretName,
    /// The version.
    pub version: Version,
    /// The store's name for the value. With it two values that were written as the same version
    /// (one of them never acknowledged) cannot be exchanged either.
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
    /// The format, 1 or [`FORMAT`].
    pub format: u8,
    /// The key-encryption key that wrapped the data key.
    pub key_id: KeyId,
    /// The data key, wrapped.
    pub wrapped_key: Vec<u8>,
    /// The value under the data key.
    pub value: Vec<u8>,
}

/// Why a value could not be sealed or opened.
#[derive(Debug, Clone, thiserror::Error)]
pub enum SealError {
    /// The cipher or the system's random numbers failed.
    #[error("seal {0}")]
    Seal(String),
    /// Written by a newer version of this program.
    #[error("open {row}: it has format {format}, and this build knows formats 1 to {FORMAT}")]
    Format {
        /// The row.
        row: String,
        /// The format it names.
        format: u8,
    },
    /// Wrapped by a key that is not at hand.
    #[error("open {row}: it is sealed under key {found}, and the keys at hand are {have}")]
    Key {
        /// The row.
        row: String,
        /// The key it names.
        found: KeyId,
        /// The keys there are.
        have: String,
    },
    /// Not what was sealed for this row.
    #[error("open {0}: the row was changed, cut or moved from another place")]
    Integrity(String),
    /// The key-encryption key cannot be asked right now.
    #[error("reach the key-encryption key for {row}")]
    Away {
        /// The row, or the first of several.
        row: String,
        /// Why.
        source: Arc<WrapError>,
    },
}

/// A key that is away is the backend's trouble, which passes; the others are the row's.
impl From<SealError> for StoreError {
    fn from(error: SealError) -> Self {
        match error {
            SealError::Away { source, .. } => {
                Self::Backend { step: "reach the key-encryption key", source: Box::new(source) }
            }
            other => Self::Seal(other),
        }
    }
}

fn away<R: fmt::Display>(row: R) -> impl FnOnce(WrapError) -> SealError {
    move |source| SealError::Away { row: row.to_string(), source: Arc::new(source) }
}

/// Seals values, each for its place, and makes their references. The key-encryption key is asked
/// once.
///
/// # Errors
/// Where the cipher or the system's random numbers fail, or the key-encryption key cannot be asked.
pub async fn seal(
    keys: &KeyRing,
    values: &[(Place<'_>, &Redacted)],
) -> Result<Vec<(Reference, Sealed)>, SealError> {
    let Some((first, _)) = values.first() else { return Ok(Vec::new()) };
    let current = keys.current();
    let inner = values
        .iter()
        .map(|(place, value)| Inner::seal(*place, value))
        .collect::<Result<Vec<_>, _>>()?;
    let plain: Vec<Plain<'_>> = inner
        .iter()
        .zip(values)
        .map(|(inner, (place, _))| Plain {
            data_key: &inner.data_key,
            authenticated: layer::key(current.name(), place.row(&inner.reference)),
        })
        .collect();
    let wrapped = current.wrap(&plain).await.map_err(away(first))?;
    let sealed = inner.into_iter().zip(wrapped).map(
        |(Inner { data_key: _, value, reference }, Wrapped { key_id, bytes })| {
            (reference, Sealed { format: FORMAT, key_id, wrapped_key: bytes, value })
        },
    );
    Ok(sealed.collect())
}

/// A value under its data key, which is not wrapped yet.
struct Inner {
    data_key: Redacted,
    value: Vec<u8>,
    reference: Reference,
}

impl Inner {
    fn seal(place: Place<'_>, value: &Redacted) -> Result<Self, SealError> {
        let token = Uuid::new_v4().simple().to_string();
        let (data_key, value) = under_new_key(&layer::value(place, &token), value)
            .ok_or_else(|| SealError::Seal(place.to_string()))?;
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

/// Opens what was sealed for `row`.
///
/// # Errors
/// Where anything at all is not as it was sealed, or the key-encryption key cannot be asked.
pub async fn open(keys: &KeyRing, row: Row<'_>, sealed: &Sealed) -> Result<Redacted, SealError> {
    let changed = || SealError::Integrity(row.to_string());
    let key = wrapper(keys, row, sealed.format, &sealed.key_id)?;
    // Before the key is asked: what is not the ledger's value is no reason to ask.
    if !layer::holds(row.reference, &sealed.value) {
        return Err(changed());
    }
    let packed = [packed(row, sealed, key)];
    let data_key =
        key.unwrap(&packed).await.map_err(away(row))?.pop().flatten().ok_or_else(changed)?;
    open_value(row, sealed, &data_key).ok_or_else(changed)
}

/// The key that a row names, where the row can be opened at all.
fn wrapper<'k>(
    keys: &'k KeyRing,
    row: Row<'_>,
    format: u8,
    key_id: &KeyId,
) -> Result<&'k dyn KeyWrapper, SealError> {
    if !(1..=FORMAT).contains(&format) {
        return Err(SealError::Format { row: row.to_string(), format });
    }
    let missing =
        || SealError::Key { row: row.to_string(), found: key_id.clone(), have: keys.names() };
    keys.find(key_id).ok_or_else(missing)
}

fn packed<'a>(row: Row<'_>, sealed: &'a Sealed, key: &dyn KeyWrapper) -> Packed<'a> {
    let Sealed { format, key_id, wrapped_key, value: _ } = sealed;
    let authenticated = match format {
        1 => layer::first_format(Layer::Key, key_id, row),
        _ => layer::key(key.name(), row),
    };
    Packed { format: *format, key_id, bytes: wrapped_key, authenticated }
}

fn open_value(row: Row<'_>, sealed: &Sealed, data_key: &Redacted) -> Option<Redacted> {
    let authenticated = match sealed.format {
        1 => layer::first_format(Layer::Value, &sealed.key_id, row),
        _ => layer::value(row.place(), layer::token(row.reference)),
    };
    decrypt(&cipher(data_key.expose())?, &authenticated, &sealed.value)
}

impl<'a> Place<'a> {
    /// The row of a value that is sealed for this place.
    #[must_use]
    pub fn row(self, reference: &'a Reference) -> Row<'a> {
        let Self { scope, name, version } = self;
        Row { scope, name, version, reference }
    }
}

impl<'a> Row<'a> {
    /// The place without the reference.
    #[must_use]
    pub fn place(self) -> Place<'a> {
        let Self { scope, name, version, reference: _ } = self;
        Place { scope, name, version }
    }
}
