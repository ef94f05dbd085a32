//! Authenticates the ledger's rows under a key that is not in the database. Pure.
//!
//! Each row that decides has a MAC (HMAC-SHA256) over what identifies it and what it decides. A MAC
//! says that switchyard wrote the row once; that it is still the row, the digests say.

use std::fmt;

use aws_lc_rs::hmac::{self, HMAC_SHA256};
use aws_lc_rs::rand;
use contract::{Generation, Redacted, Scope, SecretName, Version};
use lockbox::StoredVersion;

use super::digest::{DIGEST_BYTES, Digest};

/// The length of a ledger key in bytes.
pub const LEDGER_KEY_BYTES: usize = 32;

/// The MAC of a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct RowMac(pub(super) [u8; DIGEST_BYTES]);

impl RowMac {
    /// Reads the column `mac`.
    pub(super) fn from_slice(bytes: &[u8]) -> Option<Self> {
        bytes.try_into().ok().map(Self)
    }
}

/// The key of the ledger, as one key for each purpose. The cryptography library wipes them.
pub struct LedgerKey {
    row: hmac::Key,
    term: hmac::Key,
    member: hmac::Key,
    mask: hmac::Key,
    digests: hmac::Key,
}

impl fmt::Debug for LedgerKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("<redacted>")
    }
}

impl LedgerKey {
    /// Derives the keys. `None` if the secret has another length.
    #[must_use]
    pub fn new(secret: &Redacted) -> Option<Self> {
        if secret.len() != LEDGER_KEY_BYTES {
            return None;
        }
        let master = hmac::Key::new(HMAC_SHA256, secret.expose());
        let derive = |purpose: &str| {
            let text = format!("enclii ledger: {purpose}");
            hmac::Key::new(HMAC_SHA256, hmac::sign(&master, text.as_bytes()).as_ref())
        };
        Some(Self {
            row: derive("row"),
            term: derive("term of a table"),
            member: derive("member of a generation"),
            mask: derive("mask of a digest"),
            digests: derive("digests"),
        })
    }

    /// Draws the secret of a new key. `None` if the system has no source of randomness.
    #[must_use]
    pub fn draw() -> Option<Redacted> {
        let mut secret = vec![0; LEDGER_KEY_BYTES];
        rand::fill(&mut secret).ok()?;
        Some(Redacted::new(secret))
    }

    /// The MAC of a secret's row.
    pub(super) fn secret(
        &self,
        (scope, name): (&Scope, &SecretName),
        (current, latest): (Version, Version),
        is_deleted: bool,
    ) -> RowMac {
        let row = MacInput::new(&self.row, "secret").text(&scope.to_string()).text(name.as_str());
        RowMac(row.number(current.0).number(latest.0).number(is_deleted.into()).finish())
    }

    /// The MAC of what never changes in a version's row. `references` is absent in that of a value
    /// that is meant as it is.
    pub(super) fn version(
        &self,
        (scope, name): (&Scope, &SecretName),
        stored: &StoredVersion,
        (tag, size): (&str, u64),
        references: Option<&str>,
    ) -> RowMac {
        let row = MacInput::new(&self.row, "version").text(&scope.to_string()).text(name.as_str());
        let row = row.number(stored.version.0).text(stored.reference.as_str());
        let row = row.text(tag).number(size);
        // A field more or less makes another input: each has its length or a fixed one.
        RowMac(references.into_iter().fold(row, MacInput::text).finish())
    }

    /// The MAC of a value that is composed: of its version and of those of all its targets.
    pub(super) fn composed(&self, version: RowMac, mut targets: Vec<RowMac>) -> RowMac {
        targets.sort_unstable_by_key(|it| it.0);
        let input = MacInput::new(&self.row, "composed").bytes(&version.0);
        let input = input.number(targets.len() as u64);
        RowMac(targets.iter().fold(input, |input, it| input.bytes(&it.0)).finish())
    }

    /// The MAC of a bundle's row.
    pub(super) fn bundle(
        &self,
        scope: &Scope,
        (stable, target): (Generation, Option<Generation>),
        tag: &str,
        (secrets, bytes): (u64, u64),
    ) -> RowMac {
        let row = MacInput::new(&self.row, "bundle").text(&scope.to_string()).number(stable.0);
        let row = row.optional(target.map(|it| it.0)).text(tag);
        RowMac(row.number(secrets).number(bytes).finish())
    }

    /// The MAC of a generation's row. `members` is masked.
    pub(super) fn generation(
        &self,
        scope: &Scope,
        (number, tag): (Generation, &str),
        (members, secrets): (Digest, u64),
    ) -> RowMac {
        let row = MacInput::new(&self.row, "generation").text(&scope.to_string()).number(number.0);
        RowMac(row.text(tag).bytes(&members.0).number(secrets).finish())
    }

    /// Begins the MAC of a row of another table.
    pub(super) fn row(&self, table: &str) -> MacInput {
        MacInput::new(&self.row, table)
    }

    /// What a row adds to the digest of its table. `state` is what may change without the MAC.
    pub(super) fn term(&self, table: &str, row: RowMac, state: &[Option<u64>]) -> Digest {
        let input = MacInput::new(&self.term, table).bytes(&row.0);
        Digest(state.iter().fold(input, |input, part| input.optional(*part)).finish())
    }

    /// What a member adds to the digest of a generation.
    pub(super) fn member(&self, bundle: &Scope, name: &SecretName, version: RowMac) -> Digest {
        let member = MacInput::new(&self.member, "member").text(&bundle.to_string());
        Digest(member.text(name.as_str()).bytes(&version.0).finish())
    }

    /// What hides the digest of one generation: from sums that were seen, others can be computed.
    pub(super) fn generation_mask(&self, bundle: &Scope, number: Generation, tag: &str) -> Digest {
        let mask = MacInput::new(&self.mask, "generation").text(&bundle.to_string());
        Digest(mask.number(number.0).text(tag).finish())
    }

    /// What hides the digest of a table, for one write of it.
    pub(super) fn table_mask(&self, nonce: &[u8], table: &str) -> Digest {
        Digest(MacInput::new(&self.mask, "table").bytes(nonce).text(table).finish())
    }

    /// The MAC of the digests of the tables.
    pub(super) fn digests(&self, encoded: &[u8]) -> [u8; DIGEST_BYTES] {
        MacInput::new(&self.digests, "digests").bytes(encoded).finish()
    }

    /// Whether `mac` is that of the digests, in constant time.
    pub(super) fn has_signed_digests(&self, encoded: &[u8], mac: &[u8]) -> bool {
        let expected = self.digests(encoded);
        aws_lc_rs::constant_time::verify_slices_are_equal(&expected, mac).is_ok()
    }
}

/// The input of a MAC: no two lists of fields are the same bytes.
pub(super) struct MacInput(hmac::Context);

impl MacInput {
    fn new(key: &hmac::Key, what: &str) -> Self {
        Self(hmac::Context::with_key(key)).text(what)
    }

    pub(super) fn bytes(mut self, bytes: &[u8]) -> Self {
        self.0.update(&(bytes.len() as u64).to_be_bytes());
        self.0.update(bytes);
        self
    }

    pub(super) fn text(self, text: &str) -> Self {
        self.bytes(text.as_bytes())
    }

    pub(super) fn number(mut self, number: u64) -> Self {
        self.0.update(&number.to_be_bytes());
        self
    }

    pub(super) fn optional(self, number: Option<u64>) -> Self {
        match number {
            None => self.number(0),
            Some(number) => self.number(1).number(number),
        }
    }

    pub(super) fn finish(self) -> [u8; DIGEST_BYTES] {
        let mut mac = [0; DIGEST_BYTES];
        // Both are 32 bytes.
        mac.copy_from_slice(self.0.sign().as_ref());
        mac
    }
}

#[cfg(test)]
mod tests {
    use lockbox::Reference;

    use super::*;

    fn key(byte: u8) -> LedgerKey {
        LedgerKey::new(&Redacted::new(vec![byte; LEDGER_KEY_BYTES])).unwrap()
    }

    #[test]
    fn every_field_of_a_row_counts() {
        let mac =
            |key: &LedgerKey, scope: &str, name: &str, version, reference: &str, tag, size| {
                let stored = StoredVersion {
                    version: Version(version),
                    reference: Reference::new(reference.to_owned()),
                };
                let id = (&scope.parse().unwrap(), &name.parse().unwrap());
                key.version(id, &stored, (tag, size), None)
            };
        let with_references = |references: &str| {
            let reference = Reference::new("r".to_owned());
            let stored = StoredVersion { version: Version(1), reference };
            let id = (&"shop.prod".parse().unwrap(), &"A".parse().unwrap());
            key(1).version(id, &stored, ("t", 1), Some(references))
        };
        let all = [
            mac(&key(1), "shop.prod", "A", 1, "r", "t", 1),
            mac(&key(2), "shop.prod", "A", 1, "r", "t", 1),
            mac(&key(1), "shop.dev", "A", 1, "r", "t", 1),
            mac(&key(1), "shop.prod", "B", 1, "r", "t", 1),
            mac(&key(1), "shop.prod", "A", 2, "r", "t", 1),
            mac(&key(1), "shop.prod", "A", 1, "s", "t", 1),
            mac(&key(1), "shop.prod", "A", 1, "r", "u", 1),
            mac(&key(1), "shop.prod", "A", 1, "r", "t", 2),
            // What ends one field does not begin the next.
            mac(&key(1), "shop.prod", "A", 1, "rt", "", 1),
            with_references("1"),
            with_references("1 shop/B=1"),
            with_references(""),
            key(1).composed(with_references("1"), vec![]),
            key(1).composed(with_references("1"), vec![with_references("")]),
            key(1).composed(with_references(""), vec![with_references("1")]),
        ];
        for (at, one) in all.iter().enumerate() {
            assert!(!all[at + 1..].contains(one), "{at}");
        }
        assert_eq!(all[0], mac(&key(1), "shop.prod", "A", 1, "r", "t", 1));
        // The order of targets is not one of the ledger.
        let composed = |one: usize, two: usize| key(1).composed(all[0], vec![all[one], all[two]]);
        assert_eq!(composed(1, 2), composed(2, 1));
    }

    #[test]
    fn a_key_is_neither_shown_nor_of_another_length() {
        assert_eq!(format!("{:?}", key(1)), "<redacted>");
        assert!(LedgerKey::new(&Redacted::new(vec![1; LEDGER_KEY_BYTES - 1])).is_none());
        let (one, two) = (LedgerKey::draw().unwrap(), LedgerKey::draw().unwrap());
        assert!(one != two && one.len() == LEDGER_KEY_BYTES);
    }
}
