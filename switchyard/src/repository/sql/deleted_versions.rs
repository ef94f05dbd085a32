//! The marks of a delete. It marks the versions of a secret, not its name: what was deleted is
//! destroyed when its retention has passed, whatever is written under the name since.

use contract::api::VersionState;
use jiff::Timestamp;
use lockbox::database::query;

use super::super::RepositoryError;
use super::LedgerTransaction;
use super::rows::{database, integer};
use super::secret_row::SecretRow;
use super::version_rows::versions_of;

/// Marks every version that can still be read. A version that an earlier delete marked keeps that
/// mark.
pub(super) async fn mark(
    tx: &mut LedgerTransaction<'_>,
    secret: &SecretRow,
    at: Timestamp,
) -> Result<(), RepositoryError> {
    let row = query("SELECT milliseconds FROM lived_time WHERE id = 1")
        .fetch_one(tx.connection())
        .await
        .map_err(database("read lived time"))?;
    let lived = integer(&row, "milliseconds")?;
    for it in versions_of(tx, secret, None).await? {
        if it.deleted_at.is_none() && it.state != VersionState::Destroyed {
            it.becomes(tx, it.state, Some(lived))?;
        }
    }
    query(
        "UPDATE secret_versions SET deleted_at = $1, deleted_lived = $3
         WHERE secret_id = $2 AND deleted_at IS NULL AND rotation_status <> 'destroyed'",
    )
    .bind(at.as_millisecond())
    .bind(secret.id)
    .bind(lived)
    .execute(tx.connection())
    .await
    .map_err(database("mark deleted versions"))?;
    Ok(())
}

/// Removes the marks of the delete at this time.
pub(super) async fn unmark(
    tx: &mut LedgerTransaction<'_>,
    secret: &SecretRow,
    deleted_at: Timestamp,
) -> Result<(), RepositoryError> {
    let deleted_at = deleted_at.as_millisecond();
    for it in versions_of(tx, secret, None).await? {
        if it.deleted_at == Some(deleted_at) {
            it.becomes(tx, it.state, None)?;
        }
    }
    query(
        "UPDATE secret_versions SET deleted_at = NULL, deleted_lived = NULL WHERE secret_id = $1 \
            AND deleted_at = $2",
    )
    .bind(secret.id)
    .bind(deleted_at)
    .execute(tx.connection())
    .await
    .map_err(database("restore deleted versions"))?;
    Ok(())
}
