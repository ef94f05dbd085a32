//! Requests that may be sent again: what was answered is kept with the change itself.

use jiff::{SignedDuration, Timestamp};
use sqlx::{Any, Executor};

use super::super::{Bundle, Change, ChangeError, Idempotency, RepositoryError};
use super::rows::{bytes, database, text};
use super::{Open, Repository};

/// How long an answer is kept.
const KEPT: SignedDuration = SignedDuration::from_hours(24);

impl Repository {
    /// What was answered to this request, where it was done before.
    ///
    /// # Errors
    /// Where the key was used for another request, or the database fails.
    pub async fn answered(&self, once: &Idempotency) -> Result<Option<String>, ChangeError> {
        look(self.database.reader(), once, Timestamp::now()).await
    }

    /// Forgets answers that are past their time.
    ///
    /// # Errors
    /// Where the database fails.
    pub async fn forget_answers(&self) -> Result<u64, RepositoryError> {
        let gone = sqlx::query("DELETE FROM idempotency WHERE created_at <= $1")
            .bind(oldest(Timestamp::now()))
            .execute(self.database.writer())
            .await
            .map_err(database("forget answers"))?;
        Ok(gone.rows_affected())
    }
}

/// Looks again, now that nobody else writes.
pub(super) async fn check(open: &mut Open, change: &Change) -> Result<(), ChangeError> {
    let Some((once, _)) = &change.once else { return Ok(()) };
    look(open.run(), once, change.at)
        .await?
        .map_or(Ok(()), |answer| Err(ChangeError::Repeated(answer)))
}

/// Keeps the answer.
pub(super) async fn keep(
    open: &mut Open,
    change: &Change,
    bundles: &[Bundle],
) -> Result<(), ChangeError> {
    let Some((once, respond)) = &change.once else { return Ok(()) };
    sqlx::query(
        "INSERT INTO idempotency (principal, key_hash, fingerprint, body, created_at) VALUES ($1, $2, $3, $4, $5)
         ON CONFLICT (principal, key_hash) DO UPDATE SET
             fingerprint = excluded.fingerprint, body = excluded.body, created_at = excluded.created_at",
    )
    .bind(once.principal.clone())
    .bind(once.key_hash.clone())
    .bind(once.fingerprint.clone())
    .bind(respond.to(bundles))
    .bind(change.at.as_millisecond())
    .execute(open.run())
    .await
    .map_err(database("keep answer"))?;
    Ok(())
}

async fn look<'c>(
    on: impl Executor<'c, Database = Any>,
    once: &Idempotency,
    now: Timestamp,
) -> Result<Option<String>, ChangeError> {
    let row = sqlx::query("SELECT fingerprint, body FROM idempotency WHERE principal = $1 AND key_hash = $2 AND created_at > $3")
        .bind(once.principal.clone())
        .bind(once.key_hash.clone())
        .bind(oldest(now))
        .fetch_optional(on)
        .await
        .map_err(database("look for an earlier answer"))?;
    match row {
        None => Ok(None),
        Some(row) if bytes(&row, "fingerprint")? == once.fingerprint => {
            Ok(Some(text(&row, "body")?))
        }
        Some(_) => Err(ChangeError::KeyReused),
    }
}

fn oldest(now: Timestamp) -> i64 {
    now.checked_sub(KEPT).unwrap_or(now).as_millisecond()
}
