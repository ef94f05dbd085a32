//! The digests of the tables, as the head of the audit log keeps them. Pure.

use uuid::Uuid;

use super::digest::{DIGEST_BYTES, Digest, Table};
use super::mac::LedgerKey;

/// The length of the nonce in bytes.
const NONCE_BYTES: usize = 16;

/// The digest of a table, and how often it changed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct TableDigest {
    pub(super) changes: u64,
    pub(super) rows: Digest,
}

/// The digests of all tables.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct TableDigests([TableDigest; Table::ALL.len()]);

const ENTRY_BYTES: usize = 8 + DIGEST_BYTES;
const SIGNED_BYTES: usize = NONCE_BYTES + ENTRY_BYTES * Table::ALL.len();

impl TableDigests {
    pub(super) fn of(&self, table: Table) -> TableDigest {
        self.0[table as usize]
    }

    pub(super) fn of_mut(&mut self, table: Table) -> &mut TableDigest {
        &mut self.0[table as usize]
    }

    /// Encodes them under a new nonce: nonce, number of changes and masked digest of each, MAC.
    pub(super) fn encode(&self, key: &LedgerKey) -> Vec<u8> {
        let nonce = Uuid::new_v4().into_bytes();
        let mut bytes = nonce.to_vec();
        for table in Table::ALL {
            let TableDigest { changes, rows } = self.of(table);
            bytes.extend(changes.to_be_bytes());
            bytes.extend(rows.plus(key.table_mask(&nonce, table.as_str())).0);
        }
        let mac = key.digests(&bytes);
        bytes.extend(mac);
        bytes
    }

    /// Decodes them. `None` if they are malformed or not under this key.
    pub(super) fn decode(key: &LedgerKey, bytes: &[u8]) -> Option<Self> {
        let (signed, mac) = bytes.split_at_checked(SIGNED_BYTES)?;
        if !key.has_signed_digests(signed, mac) {
            return None;
        }
        let (nonce, entries) = signed.split_at(NONCE_BYTES);
        let mut digests = Self::default();
        for (table, entry) in Table::ALL.into_iter().zip(entries.chunks(ENTRY_BYTES)) {
            let (changes, masked) = entry.split_at(8);
            let changes = u64::from_be_bytes(changes.try_into().ok()?);
            let mask = key.table_mask(nonce, table.as_str());
            *digests.of_mut(table) =
                TableDigest { changes, rows: Digest::from_slice(masked)?.minus(mask) };
        }
        Some(digests)
    }

    /// How often any table changed, as the encoded digests say without a proof. It never falls,
    /// unless somebody puts older ones back.
    pub(super) fn changes(bytes: &[u8]) -> u64 {
        let entries = bytes.get(NONCE_BYTES..SIGNED_BYTES).unwrap_or_default();
        let changes =
            |entry: &[u8]| entry.first_chunk().map_or(0, |changes| u64::from_be_bytes(*changes));
        entries.chunks(ENTRY_BYTES).map(changes).fold(0, u64::saturating_add)
    }
}

#[cfg(test)]
mod tests {
    use contract::Redacted;
    use proptest::prelude::*;

    use super::*;
    use crate::repository::mac::LEDGER_KEY_BYTES;

    fn key(byte: u8) -> LedgerKey {
        LedgerKey::new(&Redacted::new(vec![byte; LEDGER_KEY_BYTES])).unwrap()
    }

    proptest! {
        #[test]
        fn stored_digests_are_what_was_stored_or_nothing(
            sums in any::<[[u8; DIGEST_BYTES]; 5]>(), changes in any::<[u32; 5]>(),
            flipped in 0..(SIGNED_BYTES + DIGEST_BYTES) * 8
        ) {
            let mut digests = TableDigests::default();
            for (at, table) in Table::ALL.into_iter().enumerate() {
                let changes = changes[at].into();
                *digests.of_mut(table) = TableDigest { changes, rows: Digest(sums[at]) };
            }
            let mut bytes = digests.encode(&key(1));
            prop_assert_eq!(TableDigests::decode(&key(1), &bytes), Some(digests));
            prop_assert_eq!(TableDigests::decode(&key(2), &bytes), None);
            let all: u64 = changes.into_iter().map(u64::from).sum();
            prop_assert_eq!(TableDigests::changes(&bytes), all);
            prop_assert_ne!(digests.encode(&key(1)), bytes.clone());
            bytes[flipped / 8] ^= 1 << (flipped % 8);
            prop_assert_eq!(TableDigests::decode(&key(1), &bytes), None);
            bytes.truncate(flipped / 8);
            prop_assert_eq!(TableDigests::decode(&key(1), &bytes), None);
        }
    }
}
