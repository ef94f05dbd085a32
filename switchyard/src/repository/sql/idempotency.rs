//! Idempotent requests. The response is stored in the transaction of the change.

use jiff::{SignedDuration, Timestamp};
use lockbox::database::{Executor, query};

use super::super::{Bundle, ChangeError, Idempotency, LedgerChange, RepositoryError};
use super::rows::{bytes, database, text};
use super::{LedgerTransaction, Repository};

/// How long a response is stored.
const RETENTION: SignedDuration = SignedDuration::from_hours(24);

impl Repository {
    /// The stored response, if the request was done before.
    ///
    /// # Errors
    /// The key was used for another request, or the database failed.
    pub async fn stored_response(
        &self,
        request: &Idempotency,
    ) -> Result<Option<String>, ChangeError> {
        find(self.database.reader(), request, Timestamp::now()).await
    }

    /// Deletes expired responses.
    ///
    /// # Errors
    /// The database failed.
    pub async fn delete_expired_responses(&self) -> Result<u64, RepositoryError> {
        let statement =
            query("DELETE FROM idempotency WHERE created_at <= $1").bind(oldest(Timestamp::now()));
        self.database.execute(statement).await.map_err(database("delete expired responses"))
    }
}

/// Rejects a replayed request. Runs within the transaction, where no concurrent change can
/// interfere.
pub(super) async fn refuse_replay(
    tx: &mut LedgerTransaction<'_>,
    change: &LedgerChange,
) -> Result<(), ChangeError> {
    refuse_repeated(tx, change.idempotency.as_ref().map(|(request, _)| request), change.at).await
}

/// The same for a change of grants or tokens.
pub(super) async fn refuse_repeated(
    tx: &mut LedgerTransaction<'_>,
    request: Option<&Idempotency>,
    at: Timestamp,
) -> Result<(), ChangeError> {
    let Some(request) = request else { return Ok(()) };
    find(tx.connection(), request, at)
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
        "INSERT INTO idempotency (principal, key_hash, fingerprint, body, created_at) VALUES ($1, \
            $2, $3, $4, $5)
         ON CONFLICT (principal, key_hash) DO UPDATE SET
             fingerprint = excluded.fingerprint, body = excluded.body, created_at = \
             excluded.created_at",
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

async fn find(
    on: impl Executor,
    request: &Idempotency,
    now: Timestamp,
) -> Result<Option<String>, ChangeError> {
    let row = query(
        "SELECT fingerprint, body FROM idempotency WHERE principal = $1 AND \
        key_hash = $2 AND created_at > $3",
    )
    .bind(request.principal.clone())
    .bind(request.key_hash.clone())
    .bind(oldest(now))
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

fn oldest(now: Timestamp) -> i64 {
    now.checked_sub(RETENTION).unwrap_or(now).as_millisecond()
}
