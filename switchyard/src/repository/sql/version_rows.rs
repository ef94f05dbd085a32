//! The rows of a secret's versions, as a change reads them.

use contract::Version;
use contract::api::VersionState;
use lockbox::database::query;

use super::super::RepositoryError;
use super::super::authenticity::Forgery;
use super::super::digest::{Digest, Table};
use super::super::mac::{LedgerKey, RowMac};
use super::LedgerTransaction;
use super::row_macs::{stored_mac, version_mac};
use super::rows::{count, database, optional_integer, references, signed, state, text};
use super::secret_row::SecretRow;
use crate::references::ValueReferences;

/// A version's row, read within a change.
#[derive(Clone, Debug)]
pub(super) struct VersionEntry {
    pub(super) version: Version,
    pub(super) state: VersionState,
    pub(super) deleted_at: Option<i64>,
    pub(super) deleted_lived: Option<i64>,
    pub(super) references: Option<ValueReferences>,
    mac: RowMac,
}

/// What a version's row adds to the digest of its table. Whether it is active follows from its
/// secret's row.
pub(super) fn term(
    key: &LedgerKey,
    mac: RowMac,
    state: VersionState,
    deleted_lived: Option<i64>,
) -> Digest {
    let is_destroyed = u64::from(state == VersionState::Destroyed);
    let state = [Some(is_destroyed), deleted_lived.map(i64::cast_unsigned)];
    key.term(Table::Versions.as_str(), mac, &state)
}

/// The versions of a secret: one, or all. Reports and leaves out a row that switchyard did not
/// write.
pub(super) async fn versions_of(
    tx: &mut LedgerTransaction<'_>,
    secret: &SecretRow,
    one: Option<Version>,
) -> Result<Vec<VersionEntry>, RepositoryError> {
    let sql = match one {
        Some(_) => "SELECT * FROM secret_versions WHERE secret_id = $1 AND version = $2",
        None => "SELECT * FROM secret_versions WHERE secret_id = $1",
    };
    let statement = query(sql).bind(secret.id);
    let statement = match one {
        Some(version) => statement.bind(signed(version.0)),
        None => statement,
    };
    let rows = statement.fetch_all(tx.connection()).await;
    let rows = rows.map_err(database("read versions to change"))?;
    let key = tx.key()?;
    let mut found = Vec::with_capacity(rows.len());
    for row in &rows {
        let mac = version_mac(&key, (&secret.scope, &secret.name), row)?;
        if stored_mac(row)? != Some(mac) {
            // It is no version of the secret.
            let _ = tx.refuse(Forgery::version(&secret.scope, &secret.name));
            continue;
        }
        found.push(VersionEntry {
            version: Version(count(row, "version")?),
            state: state(&text(row, "rotation_status")?)?,
            deleted_at: optional_integer(row, "deleted_at")?,
            deleted_lived: optional_integer(row, "deleted_lived")?,
            references: references(row)?,
            mac,
        });
    }
    Ok(found)
}

/// A new version's row.
pub(super) fn add(tx: &mut LedgerTransaction<'_>, mac: RowMac) -> Result<(), RepositoryError> {
    let term = term(&*tx.key()?, mac, VersionState::Active, None);
    tx.replace_row(Table::Versions, None, Some(term))
}

impl VersionEntry {
    /// The row changes to this. The statement that changes it is the caller's.
    pub(super) fn becomes(
        &self,
        tx: &mut LedgerTransaction<'_>,
        state: VersionState,
        deleted_lived: Option<i64>,
    ) -> Result<(), RepositoryError> {
        let key = tx.key()?;
        let before = term(&key, self.mac, self.state, self.deleted_lived);
        let after = term(&key, self.mac, state, deleted_lived);
        tx.replace_row(Table::Versions, Some(before), Some(after))
    }
}
