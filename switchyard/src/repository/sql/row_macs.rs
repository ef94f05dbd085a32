//! The MACs of rows as the database returns them.

use contract::{Scope, SecretName, Version};
use lockbox::database::Row;

use super::super::RepositoryError;
use super::super::authenticity::Forgery;
use super::super::digest::{Digest, Table};
use super::super::mac::{LedgerKey, MacInput, RowMac};
use super::rows::{
    count, database, integer, name, optional_integer, optional_text, scope, stored, text,
};

/// A column that a MAC covers.
enum Column {
    Integer(&'static str),
    Text(&'static str),
    Bytes(&'static str),
}

use Column::{Bytes, Integer, Text};

const GRANT: &[Column] = &[
    Integer("id"),
    Text("subject_kind"),
    Text("subject"),
    Text("project"),
    Text("environment"),
    Text("service"),
    Text("secret"),
    Text("access"),
    Integer("created_at"),
    Text("created_by"),
    Integer("expires_at"),
    Text("reach"),
];

/// All but when it was used.
const TOKEN: &[Column] = &[
    Integer("id"),
    Text("name"),
    Text("kind"),
    Text("subject_kind"),
    Text("subject"),
    Text("groups"),
    Text("role"),
    Text("scope"),
    Bytes("hash"),
    Integer("created_at"),
    Text("created_by"),
    Integer("expires_at"),
    Integer("revoked_at"),
    Bytes("id_token_hash"),
    Integer("id_token_expires_at"),
];

/// The stored MAC of a row, if it has one.
pub(super) fn stored_mac(row: &Row) -> Result<Option<RowMac>, RepositoryError> {
    optional_mac(row, "mac")
}

pub(super) fn optional_mac(
    row: &Row,
    column: &'static str,
) -> Result<Option<RowMac>, RepositoryError> {
    let bytes: Option<Vec<u8>> = row.try_get(column).map_err(database(column))?;
    Ok(bytes.as_deref().and_then(RowMac::from_slice))
}

/// A stored digest, if there is one.
pub(super) fn optional_digest(
    row: &Row,
    column: &'static str,
) -> Result<Option<Digest>, RepositoryError> {
    let bytes: Option<Vec<u8>> = row.try_get(column).map_err(database(column))?;
    Ok(bytes.as_deref().and_then(Digest::from_slice))
}

/// The MAC that a row of grants or tokens is to have.
pub(super) fn rights_mac(
    key: &LedgerKey,
    table: Table,
    row: &Row,
) -> Result<RowMac, RepositoryError> {
    let columns = if table == Table::Grants { GRANT } else { TOKEN };
    let add = |input: MacInput, column: &Column| {
        Ok::<_, RepositoryError>(match column {
            Integer(name) => input.optional(optional_integer(row, name)?.map(i64::cast_unsigned)),
            Text(name) => match optional_text(row, name)? {
                None => input.optional(None),
                Some(text) => input.optional(Some(0)).text(&text),
            },
            Bytes(name) => {
                let bytes: Option<Vec<u8>> = row.try_get(name).map_err(database(name))?;
                match bytes {
                    None => input.optional(None),
                    Some(bytes) => input.optional(Some(0)).bytes(&bytes),
                }
            }
        })
    };
    Ok(RowMac(columns.iter().try_fold(key.row(table.as_str()), add)?.finish()))
}

/// The forgery that a row of grants or tokens would be.
pub(super) fn rights_forgery(table: Table, row: &Row) -> Result<Forgery, RepositoryError> {
    Ok(match table {
        Table::Grants => Forgery::grant(integer(row, "id")?),
        _ => Forgery::token(text(row, "name")?),
    })
}

/// The MAC that a secret's row is to have, from `project`, `environment`, `service`, `name`,
/// `current_version`, `latest_version` and `is_deleted`.
pub(super) fn secret_mac(key: &LedgerKey, row: &Row) -> Result<RowMac, RepositoryError> {
    let (scope, name) = (scope(row)?, name(row)?);
    let versions =
        (Version(count(row, "current_version")?), Version(count(row, "latest_version")?));
    Ok(key.secret((&scope, &name), versions, count(row, "is_deleted")? != 0))
}

/// The MAC that a version's row is to have, from `version`, `vault_ref`, `tag`, `size` and `refs`.
pub(super) fn version_mac(
    key: &LedgerKey,
    (scope, name): (&Scope, &SecretName),
    row: &Row,
) -> Result<RowMac, RepositoryError> {
    let (stored, tag) = (stored(row)?, text(row, "tag")?);
    let references = optional_text(row, "refs")?;
    Ok(key.version((scope, name), &stored, (&tag, count(row, "size")?), references.as_deref()))
}

/// The columns that [`check_version`] reads, of `secrets s` and `secret_versions v`.
pub(super) const VERSION_COLUMNS: &str = "s.project, s.environment, s.service, s.name, \
    s.current_version, s.latest_version, s.deleted_at IS NOT NULL AS is_deleted, \
    s.mac AS secret_mac, v.version, v.vault_ref, v.tag, v.size, v.refs, \
    v.mac AS version_mac";

/// Checks a row of a secret joined with one of its versions.
///
/// # Errors
/// A column has an unexpected form.
pub(super) fn check_version(
    key: &LedgerKey,
    row: &Row,
) -> Result<Result<RowMac, Forgery>, RepositoryError> {
    let (scope, name) = (scope(row)?, name(row)?);
    if optional_mac(row, "secret_mac")? != Some(secret_mac(key, row)?) {
        return Ok(Err(Forgery::secret(&scope, &name)));
    }
    // The secret's row names a version that is not there.
    if optional_integer(row, "version")?.is_none() {
        return Ok(Err(Forgery::version(&scope, &name)));
    }
    let mac = version_mac(key, (&scope, &name), row)?;
    let is_authentic = optional_mac(row, "version_mac")? == Some(mac);
    Ok(is_authentic.then_some(mac).ok_or_else(|| Forgery::version(&scope, &name)))
}
