//! Idempotent requests. The response is stored in the transaction of the change.

use jiff::Timestamp;
use lockbox::database::{Executor, query};

use super::super::lived_time::MAX_STEP_MILLIS;
use super::super::{Bundle, ChangeError, Idempotency, LedgerChange, RepositoryError};
use super::rows::{bytes, database, text};
use super::{LedgerTransaction, Repository};

/// How long a response is stored at least, in milliseconds of lived time: 24 hours. A clock that is
/// set forward must not make a repeated request a new one.
const RETENTION_MILLIS: i64 = 24 * 60 * 60 * 1000 + MAX_STEP_MILLIS;

impl Repository {
    /// The stored response, if the request was done before.
    ///
    /// # Errors
    /// The key was used for another request, or the database failed.
    pub async fn stored_response(
        &self,
        request: &Idempotency,
    ) -> Result<Option<String>, ChangeError> {
        find(self.database.reader(), request).await
    }

    /// Deletes expired responses.
    ///
    /// # Errors
    /// The database failed.
    pub async fn delete_expired_responses(&self) -> Result<u64, RepositoryError> {
        let statement = query(
            "DELETE FROM idempotency WHERE lived <= (SELECT milliseconds FROM lived_time WHERE id \
                = 1) - $1",
        )
        .bind(RETENTION_MILLIS);
        self.database.execute(statement).await.map_err(database("delete expired responses"))
    }
}

/// Rejects a replayed request. Runs within the transaction, where no concurrent change can
/// interfere.
pub(super) async fn refuse_replay(
    tx: &mut LedgerTransaction<'_>,
    change: &LedgerChange,
) -> Result<(), ChangeError> {
    refuse_repeated(tx, change.idempotency.as_ref().map(|(request, _)| request)).await
}

/// The same for a change of grants or tokens.
pub(super) async fn refuse_repeated(
    tx: &mut LedgerTransaction<'_>,
    request: Option<&Idempotency>,
) -> Result<(), ChangeError> {
    let Some(request) = request else { return Ok(()) };
    find(tx.connection(), request)
        .await?
        .map_or(Ok(()), |response| Err(ChangeError::Replayed(response)))
}

/// Stores the response.
pub(super) async fn store_response(
    tx: &mut LedgerTransaction<'_>,
    change: &LedgerChange,
    bundles: &[Bundle],
) -> Result<(), ChangeError> {
    let Some((request, respond)) = &change.idempotency else { return Ok(()) };
    keep_response(tx, request, respond.to(bundles), change.at).await
}

/// Stores the response to a change of grants or tokens.
pub(super) async fn keep_response(
    tx: &mut LedgerTransaction<'_>,
    request: &Idempotency,
    response: String,
    at: Timestamp,
) -> Result<(), ChangeError> {
    query(
        "INSERT INTO idempotency (principal, key_hash, fingerprint, body, created_at, lived)
         VALUES ($1, $2, $3, $4, $5, (SELECT milliseconds FROM lived_time WHERE id = 1))
         ON CONFLICT (principal, key_hash) DO UPDATE SET
             fingerprint = excluded.fingerprint, body = excluded.body, created_at = \
             excluded.created_at, lived = excluded.lived",
    )
    .bind(request.principal.clone())
    .bind(request.key_hash.clone())
    .bind(request.fingerprint.clone())
    .bind(response)
    .bind(at.as_millisecond())
    .execute(tx.connection())
    .await
    .map_err(database("store response"))?;
    Ok(())
}

async fn find(on: impl Executor, request: &Idempotency) -> Result<Option<String>, ChangeError> {
    let row = query(
        "SELECT fingerprint, body FROM idempotency WHERE principal = $1 AND \
        key_hash = $2 AND lived > (SELECT milliseconds FROM lived_time WHERE id = 1) - $3",
    )
    .bind(request.principal.clone())
    .bind(request.key_hash.clone())
    .bind(RETENTION_MILLIS)
    .fetch_optional(on)
    .await
    .map_err(database("find stored response"))?;
    match row {
        None => Ok(None),
        Some(row) if bytes(&row, "fingerprint")? == request.fingerprint => {
            Ok(Some(text(&row, "body")?))
        }
        Some(_) => Err(ChangeError::KeyReused),
    }
}
