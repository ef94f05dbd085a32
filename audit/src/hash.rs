//! The hash chain: each record's hash depends on every record before it.

use std::fmt;
use std::str::FromStr;

use aws_lc_rs::digest::{Context, SHA256};
use serde::{Deserialize, Serialize};

use crate::{Record, canonicalize};

/// A SHA-256 hash in the chain. Its text form is 64 lower-case hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct Hash(pub [u8; 32]);

/// The text is not a hash.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("parse hash: expected 64 digits 0-9 and a-f")]
pub struct HashError;

impl Hash {
    /// The hash that precedes the first record.
    pub const GENESIS: Self = Self([0; 32]);

    /// The hash in a database column, or `None` unless it has 32 bytes.
    #[must_use]
    pub fn from_slice(bytes: &[u8]) -> Option<Self> {
        bytes.try_into().ok().map(Self)
    }
}

/// The hash of a record that follows one with the hash `previous`. The record's own `hash` field is
/// ignored.
#[must_use]
pub fn chain_hash(previous: &Hash, record: &Record) -> Hash {
    let mut context = Context::new(&SHA256);
    context.update(&previous.0);
    context.update(&canonicalize(record));
    let mut hash = [0; 32];
    hash.copy_from_slice(context.finish().as_ref());
    Hash(hash)
}

impl fmt::Display for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Hash {
    type Err = HashError;

    fn from_str(text: &str) -> Result<Self, HashError> {
        let digits = text.as_bytes();
        if digits.len() != 64 {
            return Err(HashError);
        }
        let mut hash = [0; 32];
        for (byte, pair) in hash.iter_mut().zip(digits.chunks_exact(2)) {
            let [high, low] = [digit(pair[0])?, digit(pair[1])?];
            *byte = high << 4 | low;
        }
        Ok(Self(hash))
    }
}

/// Accepts lower case only, so that each hash has exactly one text form.
fn digit(character: u8) -> Result<u8, HashError> {
    match character {
        b'0'..=b'9' => Ok(character - b'0'),
        b'a'..=b'f' => Ok(character - b'a' + 10),
        _ => Err(HashError),
    }
}

impl From<Hash> for String {
    fn from(hash: Hash) -> Self {
        hash.to_string()
    }
}

impl TryFrom<String> for Hash {
    type Error = HashError;

    fn try_from(text: String) -> Result<Self, HashError> {
        text.parse()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::fixture;

    // Computed by an independent program from the documented canonical form.
    #[test]
    fn the_chain_matches_independently_computed_hashes() {
        let one = fixture::record(1);
        assert_eq!(
            chain_hash(&Hash::GENESIS, &one).to_string(),
            "b8d2f96882c4f3916ed25a4562fcab67840631d3919f75b80b95f5d5a970f3df"
        );
        assert_eq!(
            chain_hash(&one.hash, &fixture::record(2)).to_string(),
            "b2a19317e71563cc79275dae24280c3f077a4ea626123fec4cfa7ea5656615ab"
        );
    }

    #[test]
    fn each_record_is_chained_to_the_one_before() {
        let records = fixture::chain_of(9);
        for pair in records.windows(2) {
            assert_eq!(chain_hash(&pair[0].hash, &pair[1]), pair[1].hash);
        }
    }

    proptest! {
        #[test]
        fn a_hash_round_trips_and_has_one_text_form(bytes: [u8; 32], text in "[0-9a-fA-F]{62,66}") {
            let hash = Hash(bytes);
            prop_assert_eq!(hash.to_string().parse(), Ok(hash));
            if let Ok(hash) = text.parse::<Hash>() {
                prop_assert_eq!(hash.to_string(), text);
            }
        }

        #[test]
        fn it_depends_on_the_previous_hash(one: [u8; 32], other: [u8; 32]) {
            let record = fixture::record(3);
            prop_assert_eq!(chain_hash(&Hash(one), &record) == chain_hash(&Hash(other), &record),
                one == other);
        }
    }
}
