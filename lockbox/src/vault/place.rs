//! Where a value came into its entry: the KV version and the write that made it. It is what a
//! ledger keeps as the [`Reference`](crate::Reference).

use std::fmt;
use std::str::FromStr;

use uuid::Uuid;

/// One write of ours, whichever KV version it becomes. Random, so that a write whose answer was
/// lost is known again, and a KV version that somebody else made is not taken for ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct WriteId(u64);

impl WriteId {
    pub(super) fn random() -> Self {
        // The low half: the high one has bits that are the same in every UUID of this kind, and two
        // of the low one's are lost as well.
        Self(Uuid::new_v4().as_u64_pair().1)
    }
}

impl fmt::Display for WriteId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

impl FromStr for WriteId {
    type Err = NoPlace;

    fn from_str(text: &str) -> Result<Self, NoPlace> {
        let hex = text.len() == 16
            && text.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b));
        if hex {
            u64::from_str_radix(text, 16).map(Self).map_err(|_| NoPlace)
        } else {
            Err(NoPlace)
        }
    }
}

/// A KV version and the write that made it, `12.9f86d081884c7d65`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Place {
    pub(super) at: u64,
    pub(super) write: WriteId,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.at, self.write)
    }
}

/// A text that is no place; it is not repeated.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("parse place in Vault: must be a KV version and a write's id")]
pub(super) struct NoPlace;

impl FromStr for Place {
    type Err = NoPlace;

    fn from_str(text: &str) -> Result<Self, NoPlace> {
        let (at, write) = text.split_once('.').ok_or(NoPlace)?;
        Ok(Self { at: number(at)?, write: write.parse()? })
    }
}

/// A decimal number in the one way that it is written here.
pub(super) fn number(text: &str) -> Result<u64, NoPlace> {
    let number: u64 = text.parse().map_err(|_| NoPlace)?;
    if number.to_string() == text { Ok(number) } else { Err(NoPlace) }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_is_no_place() {
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
            assert!(text.parse::<Place>().is_err(), "{text:?}");
        }
        assert_ne!(WriteId::random(), WriteId::random());
    }

    proptest! {
        #[test]
        fn text_round_trips(at: u64, write: u64) {
            let place = Place { at, write: WriteId(write) };
            prop_assert_eq!(place.to_string().parse::<Place>().unwrap(), place);
        }
    }
}
