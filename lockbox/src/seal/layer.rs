//! The data that each layer of a sealed value authenticates. Pure.

use super::RowId;
use crate::key::KeyId;
use crate::value::{Reference, ValueId};

/// Which of the two layers a ciphertext is. It is authenticated, so that neither can replace the
/// other.
#[derive(Clone, Copy)]
pub(super) enum Layer {
    Key,
    Value,
}

impl Layer {
    fn as_str(self) -> &'static str {
        match self {
            Self::Key => "key",
            Self::Value => "value",
        }
    }
}

/// Format 1: both layers bind the same data, including the key's id.
pub(super) fn format_1(layer: Layer, key_id: &KeyId, row: RowId<'_>) -> Vec<u8> {
    let scope = row.scope.to_string();
    let parts =
        [layer.as_str(), key_id.as_str(), &scope, row.name.as_str(), row.reference.as_str()];
    authenticated(1, &parts, row.version.0)
}

/// Format 2, the value: its id and the reference's token. It leaves out the wrapping key, so that
/// the key can be changed without touching the value.
pub(super) fn value(value_id: ValueId<'_>, token: &str) -> Vec<u8> {
    let scope = value_id.scope.to_string();
    authenticated(
        2,
        &[Layer::Value.as_str(), &scope, value_id.name.as_str(), token],
        value_id.version.0,
    )
}

/// Format 2, the data key: the value's id, the wrapping key's name and the whole reference, which
/// contains the hash of the value's ciphertext.
pub(super) fn key(key_name: &str, row: RowId<'_>) -> Vec<u8> {
    let scope = row.scope.to_string();
    let parts = [Layer::Key.as_str(), key_name, &scope, row.name.as_str(), row.reference.as_str()];
    authenticated(2, &parts, row.version.0)
}

/// Prefixes every part with its length, so that no two rows share one encoding.
fn authenticated(format: u8, parts: &[&str], version: u64) -> Vec<u8> {
    let mut bytes = b"enclii-lockbox".to_vec();
    bytes.push(format);
    for part in parts {
        bytes.extend_from_slice(&(part.len() as u64).to_be_bytes());
        bytes.extend_from_slice(part.as_bytes());
    }
    bytes.extend_from_slice(&version.to_be_bytes());
    bytes
}

/// How many bytes of the ciphertext's SHA-256 a reference contains.
const HASH_BYTES: usize = 16;

/// The reference of a newly sealed value: a random token and the hash of the ciphertext. The ledger
/// keeps it, and so detects any other ciphertext in the row. The hash says nothing about the value,
/// which has its own key.
pub(super) fn reference(token: &str, sealed: &[u8]) -> Reference {
    Reference::new(format!("{token}.{}", ciphertext_hash(sealed)))
}

/// The reference's random token. A reference of format 1 is only the token.
pub(super) fn token(reference: &Reference) -> &str {
    reference.as_str().split_once('.').map_or(reference.as_str(), |(token, _)| token)
}

/// Whether the reference was made for this ciphertext. A reference without a hash, from format 1,
/// matches any.
pub(super) fn matches_ciphertext(reference: &Reference, sealed: &[u8]) -> bool {
    reference
        .as_str()
        .split_once('.')
        .is_none_or(|(_, expected)| expected == ciphertext_hash(sealed))
}

fn ciphertext_hash(sealed: &[u8]) -> String {
    let hash = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, sealed);
    hash.as_ref().iter().take(HASH_BYTES).map(|byte| format!("{byte:02x}")).collect()
}
