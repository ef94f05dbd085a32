//! The row of a generation, and the digest of its members.

use contract::{Generation, Scope};
use lockbox::database::Row;

use super::super::RepositoryError;
use super::super::digest::Digest;
use super::super::mac::{LedgerKey, RowMac};
use super::row_macs::{optional_digest, optional_mac};
use super::rows::{count, text};

/// The columns that [`check_generation`] reads, of `generations g`.
pub(super) const GENERATION_COLUMNS: &str = "g.number AS generation_number, g.tag AS \
    generation_tag, g.members, g.secrets AS generation_secrets, g.mac AS generation_mac";

/// What a generation holds: the digest of its members and their number.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct MemberDigest {
    pub(super) members: Digest,
    pub(super) secrets: u64,
}

/// The columns of a generation's row that authenticate it.
pub(super) struct GenerationMac {
    pub(super) members: Vec<u8>,
    pub(super) mac: Vec<u8>,
}

impl MemberDigest {
    /// The columns for a generation with these members.
    pub(super) fn sign(
        self,
        key: &LedgerKey,
        bundle: &Scope,
        (number, tag): (Generation, &str),
    ) -> GenerationMac {
        let members = self.members.plus(key.generation_mask(bundle, number, tag));
        let RowMac(mac) = key.generation(bundle, (number, tag), (members, self.secrets));
        GenerationMac { members: members.0.to_vec(), mac: mac.to_vec() }
    }
}

/// What a generation of the bundle holds, or `None` if switchyard did not write its row.
pub(super) fn check_generation(
    key: &LedgerKey,
    bundle: &Scope,
    row: &Row,
) -> Result<Option<MemberDigest>, RepositoryError> {
    let (number, tag) =
        (Generation(count(row, "generation_number")?), text(row, "generation_tag")?);
    let secrets = count(row, "generation_secrets")?;
    let Some(masked) = optional_digest(row, "members")? else { return Ok(None) };
    let mac = key.generation(bundle, (number, &tag), (masked, secrets));
    if optional_mac(row, "generation_mac")? != Some(mac) {
        return Ok(None);
    }
    let members = masked.minus(key.generation_mask(bundle, number, &tag));
    Ok(Some(MemberDigest { members, secrets }))
}
