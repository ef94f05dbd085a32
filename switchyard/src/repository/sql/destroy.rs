//! Destroying versions. The ledger says first that a version is gone, and nobody reads it from then
//! on; that the store let go of the value is written down after it did. What a crash leaves in
//! between is found again.

use contract::api::VersionState;
use contract::{Scope, SecretName, Version};
use jiff::Timestamp;
use lockbox::Stored;
use sqlx::any::AnyRow;

use super::super::{Change, ChangeError, Fence, RepositoryError};
use super::changes::{Found, find};
use super::rows::{columns, database, integer, name, scope, signed, stored};
use super::{Open, Repository};

/// A version whose value the store has to let go of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Doomed {
    /// Its scope.
    pub scope: Scope,
    /// Its secret.
    pub name: SecretName,
    /// The version, and the store's name for its value.
    pub stored: Stored,
    secret: i64,
}

impl Repository {
    /// Says that versions of a secret are destroyed.
    ///
    /// # Errors
    /// Where there is no such version, one is in use, or the database fails.
    pub async fn destroy(
        &self,
        change: &Change,
        name: &SecretName,
        versions: &[Version],
    ) -> Result<(), ChangeError> {
        let mut open = self.begin_change(change).await?;
        let secret = find(&mut open, &change.scope, name).await?;
        let secret =
            secret.ok_or_else(|| ChangeError::NotFound(format!("{}/{name}", change.scope)))?;
        for version in versions {
            if in_use(&mut open, &secret, *version).await? {
                return Err(ChangeError::InUse { secret: secret.path, version: *version });
            }
            let marked = mark(&mut open, secret.id, Some(*version)).await?;
            if marked == 0 {
                return Err(ChangeError::NoVersion { secret: secret.path, version: *version });
            }
        }
        self.finish(open, change, false).await.map(drop)
    }

    /// Secrets that were deleted before `before` and still have versions that are not destroyed.
    ///
    /// # Errors
    /// Where the database fails.
    pub async fn expired(
        &self,
        before: Timestamp,
        most: u32,
    ) -> Result<Vec<(Scope, SecretName)>, RepositoryError> {
        let rows = sqlx::query(
            "SELECT s.project, s.environment, s.service, s.name FROM secrets s
             WHERE s.deleted_at IS NOT NULL AND s.deleted_at < $1
               AND EXISTS (SELECT 1 FROM secret_versions v WHERE v.secret_id = s.id AND v.rotation_status <> 'destroyed')
             ORDER BY s.deleted_at LIMIT $2",
        )
        .bind(before.as_millisecond())
        .bind(i64::from(most))
        .fetch_all(self.database.reader())
        .await
        .map_err(database("find secrets past their retention"))?;
        rows.iter().map(|row| Ok((scope(row)?, name(row)?))).collect()
    }

    /// Says that all versions of a deleted secret are destroyed, unless it came back meanwhile.
    ///
    /// # Errors
    /// Where the database fails, or another replica leads now.
    pub async fn expire(
        &self,
        change: &Change,
        name: &SecretName,
        before: Timestamp,
    ) -> Result<(), ChangeError> {
        let mut open = self.begin_change(change).await?;
        let Some(secret) =
            find(&mut open, &change.scope, name).await?.filter(|it| it.was_deleted_before(before))
        else {
            return Ok(());
        };
        mark(&mut open, secret.id, None).await?;
        self.finish(open, change, false).await.map(drop)
    }

    /// Versions that are destroyed and that the store may still have.
    ///
    /// # Errors
    /// Where the database fails.
    pub async fn doomed(&self, most: u32) -> Result<Vec<Doomed>, RepositoryError> {
        let rows = sqlx::query(
            "SELECT s.id, s.project, s.environment, s.service, s.name, v.version, v.vault_ref
             FROM secret_versions v JOIN secrets s ON s.id = v.secret_id
             WHERE v.rotation_status = 'destroyed' AND v.destroyed_at IS NULL ORDER BY s.id, v.version LIMIT $1",
        )
        .bind(i64::from(most))
        .fetch_all(self.database.reader())
        .await
        .map_err(database("find values to destroy"))?;
        rows.iter().map(doomed).collect()
    }

    /// The same of one secret.
    ///
    /// # Errors
    /// Where the database fails.
    pub async fn doomed_of(
        &self,
        of: &Scope,
        name: &SecretName,
    ) -> Result<Vec<Doomed>, RepositoryError> {
        let [project, environment, service] = columns(of);
        let rows = sqlx::query(
            "SELECT s.id, s.project, s.environment, s.service, s.name, v.version, v.vault_ref
             FROM secret_versions v JOIN secrets s ON s.id = v.secret_id
             WHERE s.project = $1 AND s.environment = $2 AND s.service = $3 AND s.name = $4
               AND v.rotation_status = 'destroyed' AND v.destroyed_at IS NULL ORDER BY v.version",
        )
        .bind(project)
        .bind(environment)
        .bind(service)
        .bind(name.as_str().to_owned())
        .fetch_all(self.database.reader())
        .await
        .map_err(database("find a secret's values to destroy"))?;
        rows.iter().map(doomed).collect()
    }

    /// Says that the store has let go of a value.
    ///
    /// # Errors
    /// Where the database fails, or another replica leads now.
    pub async fn destroyed(
        &self,
        gone: &Doomed,
        at: Timestamp,
        fence: Option<&Fence>,
    ) -> Result<(), ChangeError> {
        let mut open = self.begin().await?;
        if let Some(fence) = fence {
            open.guard(fence).await?;
        }
        sqlx::query(
            "UPDATE secret_versions SET destroyed_at = $1 WHERE secret_id = $2 AND version = $3",
        )
        .bind(at.as_millisecond())
        .bind(gone.secret)
        .bind(signed(gone.stored.version.0))
        .execute(open.run())
        .await
        .map_err(database("note destroyed value"))?;
        Ok(open.commit().await?)
    }
}

fn doomed(row: &AnyRow) -> Result<Doomed, RepositoryError> {
    Ok(Doomed {
        scope: scope(row)?,
        name: name(row)?,
        stored: stored(row)?,
        secret: integer(row, "id")?,
    })
}

/// Whether a bundle holds the version, or is on its way to hold it.
async fn in_use(
    open: &mut Open,
    secret: &Found,
    version: Version,
) -> Result<bool, RepositoryError> {
    let held: i64 = sqlx::query_scalar(
        "SELECT count(*) FROM generation_secrets g JOIN bundles b ON b.id = g.bundle_id
         WHERE g.secret_id = $1 AND g.version = $2 AND (g.number = b.stable_generation OR g.number = b.target_generation)",
    )
    .bind(secret.id)
    .bind(signed(version.0))
    .fetch_one(open.run())
    .await
    .map_err(database("look who holds a version"))?;
    Ok(held > 0 || secret.active() == Some(version))
}

async fn mark(
    open: &mut Open,
    secret: i64,
    version: Option<Version>,
) -> Result<u64, RepositoryError> {
    let marked = sqlx::query("UPDATE secret_versions SET rotation_status = $1 WHERE secret_id = $2 AND ($3 = 0 OR version = $3)")
        .bind(VersionState::Destroyed.as_str())
        .bind(secret)
        .bind(version.map_or(0, |version| signed(version.0)))
        .execute(open.run())
        .await
        .map_err(database("mark version destroyed"))?;
    Ok(marked.rows_affected())
}
