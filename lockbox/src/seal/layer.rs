//! What each layer of a sealed value authenticates. Pure.

use crate::key::KeyId;
use crate::seal::{Place, Row};
use crate::store::Reference;

/// Which of the two layers a ciphertext is, so that one can never pass for the other.
#[derive(Clone, Copy)]
pub(super) enum Layer {
    Key,
    Value,
}

impl Layer {
    fn word(self) -> &'static str {
        match self {
            Self::Key => "key",
            Self::Value => "value",
        }
    }
}

/// Format 1: both layers bind the same, and the key's id is in both.
pub(super) fn first_format(layer: Layer, key_id: &KeyId, row: Row<'_>) -> Vec<u8> {
    let scope = row.scope.to_string();
    let parts = [layer.word(), key_id.as_str(), &scope, row.name.as_str(), row.reference.as_str()];
    authenticated(1, &parts, row.version.0)
}

/// Format 2, the value: where it belongs. It leaves out the wrapping key, so that another one can
/// take over without the value being touched.
pub(super) fn value(place: Place<'_>, token: &str) -> Vec<u8> {
    let scope = place.scope.to_string();
    authenticated(2, &[Layer::Value.word(), &scope, place.name.as_str(), token], place.version.0)
}

/// Format 2, the data key: where it belongs, the wrapping key by its name, and the whole reference,
/// which has the hash of the value's ciphertext in it.
pub(super) fn key(key_name: &str, row: Row<'_>) -> Vec<u8> {
    let scope = row.scope.to_string();
    let parts = [Layer::Key.word(), key_name, &scope, row.name.as_str(), row.reference.as_str()];
    authenticated(2, &parts, row.version.0)
}

/// Every part with its length in front, so that no two rows share one text.
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

/// How many bytes of the ciphertext's SHA-256 a reference has.
const ANCHOR_BYTES: usize = 16;

/// The reference of a value that was just sealed: a random token, and the hash of the ciphertext.
/// The ledger keeps it, and so notices any other ciphertext in the row. The hash says nothing about
/// the value, which is under a key of its own.
pub(super) fn reference(token: &str, sealed: &[u8]) -> Reference {
    Reference::new(format!("{token}.{}", anchor(sealed)))
}

/// The reference's random token. References of format 1 were nothing else.
pub(super) fn token(reference: &Reference) -> &str {
    reference.as_str().split_once('.').map_or(reference.as_str(), |(token, _)| token)
}

/// Whether a ciphertext is the one that the reference was made for. One without a hash, whose row
/// was of format 1 once, cannot say.
pub(super) fn holds(reference: &Reference, sealed: &[u8]) -> bool {
    reference.as_str().split_once('.').is_none_or(|(_, expected)| expected == anchor(sealed))
}

fn anchor(sealed: &[u8]) -> String {
    let hash = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, sealed);
    hash.as_ref().iter().take(ANCHOR_BYTES).map(|byte| format!("{byte:02x}")).collect()
}
