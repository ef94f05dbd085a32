//! The place of a pod in the order in which rollouts reach pods, and of a secret in its window.

use serde::{Deserialize, Serialize};

/// The offset and the prime of FNV-1a with 64 bits (G. Fowler, L. C. Noll, K.-P. Vo).
const FNV_OFFSET: u64 = 0xcbf2_9ce4_8422_2325;
const FNV_PRIME: u64 = 0x0000_0100_0000_01b3;

/// A number that follows from a text alone, and differs for texts that differ little.
///
/// It is written to the ledger, so it must never change from one build to the next.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Place(u64);

impl Place {
    /// The last one.
    pub const LAST: Self = Self(u64::MAX);

    /// The place of a pod by its UID.
    #[must_use]
    pub fn of(text: &str) -> Self {
        let mut hash = FNV_OFFSET;
        for byte in text.bytes() {
            hash = (hash ^ u64::from(byte)).wrapping_mul(FNV_PRIME);
        }
        // FNV's upper bits change little with the last bytes; this is MurmurHash3's finalizer.
        hash = (hash ^ (hash >> 33)).wrapping_mul(0xff51_afd7_ed55_8ccd);
        hash = (hash ^ (hash >> 33)).wrapping_mul(0xc4ce_b9fe_1a85_ec53);
        Self(hash ^ (hash >> 33))
    }

    /// The place as a number from 0 to below `end`; 0 for an end of 0.
    #[must_use]
    pub fn below(self, end: u64) -> u64 {
        let scaled = (u128::from(self.0) * u128::from(end)) >> 64;
        u64::try_from(scaled).unwrap_or(u64::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // Rows hold places. Another hash would move pods between waves in the middle of a rollout.
    #[test]
    fn places_never_change() {
        for (text, place) in [
            ("", 0xefd0_1f60_ba99_2926_u64),
            ("a", 0x82a2_a958_a9be_ce5b),
            ("6f1e9a40-7a57-4c0b-9d3f-0f9a54a0d001", 0xc861_6812_27ed_b671),
        ] {
            assert_eq!(Place::of(text), Place(place), "{text}");
        }
    }

    #[test]
    fn neighbours_are_spread() {
        let mut tenths = [0u32; 10];
        for number in 0..10_000 {
            let uid = format!("6f1e9a40-7a57-4c0b-9d3f-0f9a54a0{number:04x}");
            tenths[usize::try_from(Place::of(&uid).below(10)).unwrap()] += 1;
        }
        assert!(tenths.iter().all(|it| (900..1100).contains(it)), "{tenths:?}");
        assert_eq!(Place::LAST.below(10), 9);
        assert_eq!(Place::of("a").below(0), 0);
    }
}
