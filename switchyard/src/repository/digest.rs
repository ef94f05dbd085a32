//! Digests of sets of rows, which a change updates at the cost of its own rows. Pure.
//!
//! A digest is the sum, modulo 2^256, of one keyed pseudorandom term for each row, in any order
//! (Clarke et al., MSet-Add-Hash). It is stored under a mask, so that no sum is ever seen.

/// The length of a digest in bytes.
pub(super) const DIGEST_BYTES: usize = 32;

/// A sum of terms, big-endian.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Digest(pub(super) [u8; DIGEST_BYTES]);

impl Digest {
    /// With a term more.
    pub(super) fn plus(mut self, term: Self) -> Self {
        let mut carry = 0;
        for (byte, more) in self.0.iter_mut().zip(term.0).rev() {
            let sum = u16::from(*byte) + u16::from(more) + carry;
            [_, *byte] = sum.to_be_bytes();
            carry = sum >> 8;
        }
        self
    }

    /// With a term less.
    pub(super) fn minus(self, term: Self) -> Self {
        let mut negative = term;
        negative.0.iter_mut().for_each(|byte| *byte = !*byte);
        let mut one = Self::default();
        one.0[DIGEST_BYTES - 1] = 1;
        self.plus(negative).plus(one)
    }

    /// Reads a column.
    pub(super) fn from_slice(bytes: &[u8]) -> Option<Self> {
        bytes.try_into().ok().map(Self)
    }
}

/// A table whose set of rows has a digest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Table {
    Grants,
    Tokens,
    Secrets,
    Versions,
    Bundles,
}

impl Table {
    pub(super) const ALL: [Self; 5] =
        [Self::Grants, Self::Tokens, Self::Secrets, Self::Versions, Self::Bundles];

    /// Its name in the database.
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Grants => "grants",
            Self::Tokens => "api_tokens",
            Self::Secrets => "secrets",
            Self::Versions => "secret_versions",
            Self::Bundles => "bundles",
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_sum_has_no_order_and_gives_back_what_it_took(
            terms in prop::collection::vec(any::<[u8; DIGEST_BYTES]>(), 1..8)
        ) {
            let terms: Vec<_> = terms.into_iter().map(Digest).collect();
            let forward = terms.iter().fold(Digest::default(), |sum, term| sum.plus(*term));
            let back = terms.iter().rev().fold(Digest::default(), |sum, term| sum.plus(*term));
            prop_assert_eq!(forward, back);
            let none = terms.iter().fold(forward, |sum, term| sum.minus(*term));
            prop_assert_eq!(none, Digest::default());
        }
    }
}
