//! Destroying versions, in two steps: the ledger marks a version as destroyed, which stops all
//! reads, and records the time once the store has destroyed the value. A crash in between leaves a
//! pending destroy, which the retention job finds.

use contract::api::VersionState;
use contract::{Scope, SecretName, Version};
use jiff::Timestamp;
use lockbox::StoredVersion;
use lockbox::database::{Row, query, query_built};

use super::super::{ChangeError, Fence, LedgerChange, LivedTime, RepositoryError};
use super::rows::{columns, database, integer, name, scope, signed, stored};
use super::secret_row::{SecretRow, find};
use super::touched::Touched;
use super::version_rows::versions_of;
use super::{LedgerTransaction, Repository};

/// A destroyed version whose value is still in the store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PendingDestroy {
    /// The scope.
    pub scope: Scope,
    /// The secret.
    pub name: SecretName,
    /// The version and the store's reference to its value.
    pub stored: StoredVersion,
    secret: i64,
}

impl Repository {
    /// Marks versions of a secret as destroyed.
    ///
    /// # Errors
    /// A version does not exist or is in use, or the database failed.
    pub async fn destroy(
        &self,
        change: &LedgerChange,
        name: &SecretName,
        versions: &[Version],
    ) -> Result<(), ChangeError> {
        let (name, versions) = (name.clone(), versions.to_vec());
        let work = async move |tx: &mut LedgerTransaction<'_>, change: &LedgerChange| {
            let secret = find(tx, &change.scope, &name).await?;
            let secret =
                secret.ok_or_else(|| ChangeError::NotFound(format!("{}/{name}", change.scope)))?;
            for version in versions {
                if in_use(tx, &secret, version).await? {
                    return Err(ChangeError::InUse { secret: secret.path, version });
                }
                if !mark(tx, &secret, version).await? {
                    return Err(ChangeError::NoVersion { secret: secret.path, version });
                }
            }
            Ok(Touched::nothing())
        };
        self.change(change, work).await.map(drop)
    }

    /// Secrets with versions to destroy: deleted at the lived time `before` or earlier. A secret of
    /// that name that was written since keeps its own versions.
    ///
    /// # Errors
    /// The database failed.
    pub async fn expired(
        &self,
        before: LivedTime,
        limit: u32,
    ) -> Result<Vec<(Scope, SecretName)>, RepositoryError> {
        let rows = query(
            "SELECT s.project, s.environment, s.service, s.name
             FROM secret_versions v JOIN secrets s ON s.id = v.secret_id
             WHERE v.deleted_lived <= $1 AND v.rotation_status NOT IN ('destroyed', 'active')
             GROUP BY s.project, s.environment, s.service, s.name
             ORDER BY min(v.deleted_lived) LIMIT $2",
        )
        .bind(before.0)
        .bind(i64::from(limit))
        .fetch_all(self.database.reader())
        .await
        .map_err(database("find secrets past their retention"))?;
        rows.iter().map(|row| Ok((scope(row)?, name(row)?))).collect()
    }

    /// Marks the versions of a secret as destroyed that were deleted at the lived time `before` or
    /// earlier and not restored since.
    ///
    /// # Errors
    /// The database failed, or another replica holds the lease.
    pub async fn expire(
        &self,
        change: &LedgerChange,
        name: &SecretName,
        before: LivedTime,
    ) -> Result<(), ChangeError> {
        let name = name.clone();
        let work = async move |tx: &mut LedgerTransaction<'_>, change: &LedgerChange| {
            let Some(secret) = find(tx, &change.scope, &name).await? else {
                return Ok(Touched::unchanged());
            };
            if mark_expired(tx, &secret, before).await? == 0 {
                return Ok(Touched::unchanged());
            }
            Ok(Touched::nothing())
        };
        self.change(change, work).await.map(drop)
    }

    /// Destroyed versions whose values may still be in the store.
    ///
    /// # Errors
    /// The database failed.
    pub async fn pending_destroys(
        &self,
        limit: u32,
    ) -> Result<Vec<PendingDestroy>, RepositoryError> {
        let rows = query(
            "SELECT s.id, s.project, s.environment, s.service, s.name, v.version, v.vault_ref
             FROM secret_versions v JOIN secrets s ON s.id = v.secret_id
             WHERE v.rotation_status = 'destroyed' AND v.destroyed_at IS NULL ORDER BY s.id, \
             v.version LIMIT $1",
        )
        .bind(i64::from(limit))
        .fetch_all(self.database.reader())
        .await
        .map_err(database("find values to destroy"))?;
        rows.iter().map(pending_destroy).collect()
    }

    /// Pending destroys of one secret.
    ///
    /// # Errors
    /// The database failed.
    pub async fn pending_destroys_of(
        &self,
        of: &Scope,
        name: &SecretName,
    ) -> Result<Vec<PendingDestroy>, RepositoryError> {
        let [project, environment, service] = columns(of);
        let rows = query(
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
        rows.iter().map(pending_destroy).collect()
    }

    /// Records that the store destroyed values.
    ///
    /// # Errors
    /// The database failed, or another replica holds the lease.
    pub async fn mark_destroyed(
        &self,
        destroyed: Vec<PendingDestroy>,
        at: Timestamp,
        fence: Option<&Fence>,
    ) -> Result<(), ChangeError> {
        let fence = fence.cloned();
        self.transaction(async move |tx| {
            if let Some(fence) = &fence {
                tx.check_fence(fence).await?;
            }
            for it in destroyed {
                query(
                    "UPDATE secret_versions SET destroyed_at = $1 WHERE secret_id = $2 AND \
                     version = $3",
                )
                .bind(at.as_millisecond())
                .bind(it.secret)
                .bind(signed(it.stored.version.0))
                .execute(tx.connection())
                .await
                .map_err(database("record destroyed value"))?;
            }
            Ok(())
        })
        .await
    }
}

fn pending_destroy(row: &Row) -> Result<PendingDestroy, RepositoryError> {
    Ok(PendingDestroy {
        scope: scope(row)?,
        name: name(row)?,
        stored: stored(row)?,
        secret: integer(row, "id")?,
    })
}

/// That a member `m` of a bundle `b` is in its stable or its target generation.
const IS_CURRENT: &str = "((m.first_generation <= b.stable_generation
         AND (m.end_generation IS NULL OR m.end_generation > b.stable_generation))
     OR (m.first_generation <= b.target_generation
         AND (m.end_generation IS NULL OR m.end_generation > b.target_generation)))";

/// Whether the version is active, or is or is part of a value in a stable or target generation of a
/// bundle.
async fn in_use(
    tx: &mut LedgerTransaction<'_>,
    secret: &SecretRow,
    version: Version,
) -> Result<bool, RepositoryError> {
    if secret.active() == Some(version) {
        return Ok(true);
    }
    let held = format!(
        "SELECT m.name FROM bundle_members m JOIN bundles b ON b.id = m.bundle_id
         WHERE m.secret_id = $1 AND m.version = $2 AND {IS_CURRENT} LIMIT 1"
    );
    let composed = format!(
        "SELECT t.name FROM member_targets t JOIN bundles b ON b.id = t.bundle_id
         JOIN bundle_members m ON m.bundle_id = t.bundle_id AND m.name = t.name
             AND m.first_generation = t.first_generation
         WHERE t.secret_id = $1 AND t.version = $2 AND {IS_CURRENT} LIMIT 1"
    );
    for sql in [held, composed] {
        let found = query_built(sql).bind(secret.id).bind(signed(version.0));
        let found = found.fetch_optional(tx.connection()).await;
        if found.map_err(database("check whether a version is in use"))?.is_some() {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Returns whether there is such a version.
async fn mark(
    tx: &mut LedgerTransaction<'_>,
    secret: &SecretRow,
    version: Version,
) -> Result<bool, RepositoryError> {
    let Some(entry) = versions_of(tx, secret, Some(version)).await?.pop() else {
        return Ok(false);
    };
    entry.becomes(tx, VersionState::Destroyed, entry.deleted_lived)?;
    let statement = "UPDATE secret_versions SET rotation_status = $1 WHERE secret_id = $2 AND \
        version = $3";
    query(statement)
        .bind(VersionState::Destroyed.as_str())
        .bind(secret.id)
        .bind(signed(version.0))
        .execute(tx.connection())
        .await
        .map_err(database("mark version destroyed"))?;
    Ok(true)
}

async fn mark_expired(
    tx: &mut LedgerTransaction<'_>,
    secret: &SecretRow,
    before: LivedTime,
) -> Result<u64, RepositoryError> {
    for it in versions_of(tx, secret, None).await? {
        let is_kept = matches!(it.state, VersionState::Destroyed | VersionState::Active);
        if !is_kept && it.deleted_lived.is_some_and(|lived| lived <= before.0) {
            it.becomes(tx, VersionState::Destroyed, it.deleted_lived)?;
        }
    }
    query(
        "UPDATE secret_versions SET rotation_status = $1 WHERE secret_id = $2 AND deleted_lived <= \
            $3 AND rotation_status NOT IN ('destroyed', 'active')",
    )
    .bind(VersionState::Destroyed.as_str())
    .bind(secret.id)
    .bind(before.0)
    .execute(tx.connection())
    .await
    .map_err(database("mark deleted versions destroyed"))
}
