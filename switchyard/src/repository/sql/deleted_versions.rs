//! The marks of a delete. It marks the versions of a secret, not its name: what was deleted is
//! destroyed when its retention has passed, whatever is written under the name since.

use jiff::Timestamp;
use lockbox::database::query;

use super::super::RepositoryError;
use super::LedgerTransaction;
use super::rows::database;

/// Marks every version that can still be read. A version that an earlier delete marked keeps that
/// mark.
pub(super) async fn mark(
    tx: &mut LedgerTransaction<'_>,
    secret: i64,
    at: Timestamp,
) -> Result<(), RepositoryError> {
    query(
        "UPDATE secret_versions SET deleted_at = $1, deleted_lived = (SELECT milliseconds FROM \
            lived_time WHERE id = 1)
         WHERE secret_id = $2 AND deleted_at IS NULL AND rotation_status <> 'destroyed'",
    )
    .bind(at.as_millisecond())
    .bind(secret)
    .execute(tx.connection())
    .await
    .map_err(database("mark deleted versions"))?;
    Ok(())
}

/// Removes the marks of the delete at this time.
pub(super) async fn unmark(
    tx: &mut LedgerTransaction<'_>,
    secret: i64,
    deleted_at: Timestamp,
) -> Result<(), RepositoryError> {
    query(
        "UPDATE secret_versions SET deleted_at = NULL, deleted_lived = NULL WHERE secret_id = $1 \
            AND deleted_at = $2",
    )
    .bind(secret)
    .bind(deleted_at.as_millisecond())
    .execute(tx.connection())
    .await
    .map_err(database("restore deleted versions"))?;
    Ok(())
}
