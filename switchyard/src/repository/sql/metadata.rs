//! What is written beside a value. None of it moves a bundle.

use contract::metadata::{MAX_TAGS, MetadataChange};
use jiff::Timestamp;
use lockbox::database::{Row, query};

use super::super::{ChangeError, ExpiryCounts, MetadataEdit, RepositoryError, Secret};
use super::rows::{columns, count, database, name, optional_text, scope, tags, time};
use super::secret_row::present;
use super::secrets::secret;
use super::{LedgerTransaction, Repository, audit_events, idempotency};

/// How many names [`Repository::expiring`] gives.
const MAX_NAMED: i64 = 10;

impl Repository {
    /// Changes notes, tags and the active version's expiry. Returns the secret as it is then.
    ///
    /// # Errors
    /// The secret does not exist, the precondition does not hold, it would have too many tags, or
    /// the database failed.
    pub async fn annotate(&self, edit: MetadataEdit) -> Result<Secret, ChangeError> {
        self.transaction(async move |tx| {
            idempotency::refuse_repeated(tx, edit.idempotency.as_ref()).await?;
            let found = present(tx, &edit.scope, &edit.name).await?;
            found.check(edit.condition)?;
            apply(tx, (found.id, &found.path), &edit.change).await?;
            if let Some(expires_at) = edit.expires_at {
                query(
                    "UPDATE secret_versions SET expires_at = $1 WHERE secret_id = $2 AND \
                        rotation_status = 'active'",
                )
                .bind(expires_at.map(|at| at.as_millisecond()))
                .bind(found.id)
                .execute(tx.connection())
                .await
                .map_err(database("set expiry"))?;
            }
            let mut event = edit.event;
            event.version = Some(found.current.0);
            audit_events::insert(tx, edit.at, &event).await?;
            let [project, environment, service] = columns(&edit.scope);
            let row = super::secrets::find_statement()
                .bind(project)
                .bind(environment)
                .bind(service)
                .bind(edit.name.as_str().to_owned())
                .fetch_one(tx.connection())
                .await
                .map_err(database("read changed secret"))?;
            let secret = secret(&row)?;
            if let Some(request) = &edit.idempotency {
                let response = (edit.respond)(&edit.scope, &secret);
                idempotency::keep_response(tx, request, response, edit.at).await?;
            }
            Ok(secret)
        })
        .await
    }

    /// How many secrets have a credential that ended before `now`, and how many have one that ends
    /// before `soon`.
    ///
    /// # Errors
    /// The database failed.
    pub async fn expiring(
        &self,
        now: Timestamp,
        soon: Timestamp,
    ) -> Result<ExpiryCounts, RepositoryError> {
        let counts = query(
            "SELECT coalesce(sum(CASE WHEN v.expires_at <= $1 THEN 1 ELSE 0 END), 0) AS ended,
                 count(*) AS all_of_them
             FROM secret_versions v JOIN secrets s ON s.id = v.secret_id AND s.deleted_at IS NULL
             WHERE v.expires_at <= $2 AND v.rotation_status = 'active'",
        )
        .bind(now.as_millisecond())
        .bind(soon.as_millisecond())
        .fetch_one(self.database.reader())
        .await
        .map_err(database("count expiring secrets"))?;
        let ended = count(&counts, "ended")?;
        let soon_or_ended = count(&counts, "all_of_them")?;
        if soon_or_ended == 0 {
            return Ok(ExpiryCounts::default());
        }
        let rows = query(
            "SELECT s.project, s.environment, s.service, s.name, v.expires_at
             FROM secret_versions v JOIN secrets s ON s.id = v.secret_id AND s.deleted_at IS NULL
             WHERE v.expires_at <= $1 AND v.rotation_status = 'active'
             ORDER BY v.expires_at, s.id LIMIT $2",
        )
        .bind(soon.as_millisecond())
        .bind(MAX_NAMED)
        .fetch_all(self.database.reader())
        .await
        .map_err(database("list expiring secrets"))?;
        let one =
            |row: &Row| Ok((format!("{}/{}", scope(row)?, name(row)?), time(row, "expires_at")?));
        let first = rows.iter().map(one).collect::<Result<_, RepositoryError>>()?;
        Ok(ExpiryCounts { ended, soon: soon_or_ended - ended, first })
    }
}

/// Changes notes and tags.
pub(super) async fn apply(
    tx: &mut LedgerTransaction<'_>,
    (id, path): (i64, &str),
    change: &MetadataChange,
) -> Result<(), ChangeError> {
    if change.is_empty() {
        return Ok(());
    }
    let row = query("SELECT notes, tags FROM secrets WHERE id = $1")
        .bind(id)
        .fetch_one(tx.connection())
        .await
        .map_err(database("read notes and tags"))?;
    let changed = change.apply_to(tags(&row)?);
    if changed.len() > MAX_TAGS {
        return Err(ChangeError::TooManyTags { secret: path.to_owned(), maximum: MAX_TAGS });
    }
    let notes = match &change.notes {
        Some(notes) => notes.as_ref().map(|it| it.as_str().to_owned()),
        None => optional_text(&row, "notes")?,
    };
    // A map of texts always serializes.
    let changed = serde_json::to_string(&changed).unwrap_or_else(|_| "{}".to_owned());
    query("UPDATE secrets SET notes = $1, tags = $2 WHERE id = $3")
        .bind(notes)
        .bind(changed)
        .bind(id)
        .execute(tx.connection())
        .await
        .map_err(database("set notes and tags"))?;
    Ok(())
}
