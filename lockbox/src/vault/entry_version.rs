//! The KV version that a value was written in, and the write that made it. The ledger keeps this as
//! the [`Reference`](crate::Reference).

use std::fmt;
use std::str::FromStr;

use uuid::Uuid;

/// Identifies one write of this program. It is random, so that a write whose answer was lost can be
/// recognised, and a KV version that somebody else made is not mistaken for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct WriteId(u64);

impl WriteId {
    pub(super) fn random() -> Self {
        // The low half has 62 random bits. The high half has fewer, because it holds the version.
        Self(Uuid::new_v4().as_u64_pair().1)
    }
}

impl fmt::Display for WriteId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

impl FromStr for WriteId {
    type Err = ParseEntryVersionError;

    fn from_str(text: &str) -> Result<Self, ParseEntryVersionError> {
        let hex = text.len() == 16
            && text.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b));
        if hex {
            u64::from_str_radix(text, 16).map(Self).map_err(|_| ParseEntryVersionError)
        } else {
            Err(ParseEntryVersionError)
        }
    }
}

/// A KV version and the write that made it, `12.9f86d081884c7d65`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct EntryVersion {
    pub(super) kv_version: u64,
    pub(super) write: WriteId,
}

impl fmt::Display for EntryVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.kv_version, self.write)
    }
}

/// The text is not an entry version. It is not quoted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("parse entry version: must be a KV version and a write id")]
pub(super) struct ParseEntryVersionError;

impl FromStr for EntryVersion {
    type Err = ParseEntryVersionError;

    fn from_str(text: &str) -> Result<Self, ParseEntryVersionError> {
        let (kv_version, write) = text.split_once('.').ok_or(ParseEntryVersionError)?;
        Ok(Self { kv_version: parse_decimal(kv_version)?, write: write.parse()? })
    }
}

/// Parses a decimal number in its canonical form, without a sign or leading zeros.
pub(super) fn parse_decimal(text: &str) -> Result<u64, ParseEntryVersionError> {
    let parse_decimal: u64 = text.parse().map_err(|_| ParseEntryVersionError)?;
    if parse_decimal.to_string() == text { Ok(parse_decimal) } else { Err(ParseEntryVersionError) }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn invalid_entry_versions_are_refused() {
        for text in [
            "",
            ".",
            "1",
            "1.",
            "1.9f86",
            "+1.9f86d081884c7d65",
            "01.9f86d081884c7d65",
            "1.9F86d081884c7d65",
            "1.+f86d081884c7d65",
        ] {
            assert!(text.parse::<EntryVersion>().is_err(), "{text:?}");
        }
        assert_ne!(WriteId::random(), WriteId::random());
    }

    proptest! {
        #[test]
        fn text_round_trips(kv_version: u64, write: u64) {
            let entry_version = EntryVersion { kv_version, write: WriteId(write) };
            let parsed: EntryVersion = entry_version.to_string().parse().unwrap();
            prop_assert_eq!(parsed, entry_version);
        }
    }
}
