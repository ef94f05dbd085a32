//! Bundles and their generations.

use std::collections::BTreeMap;

use contract::{BundleRef, Generation, Scope, SecretName, Version};
use sqlx::AssertSqlSafe;
use sqlx::any::AnyRow;

use super::super::{
    Bundle, BundleId, ChangeError, LedgerChange, Member, Members, RepositoryError, service_parts,
};
use super::rows::{columns, count, database, integer, name, optional_count, scope, signed, stored};
use super::{LedgerTransaction, Repository};
use crate::delivery::RolloutState;
use crate::snapshot::{BundleMember, CandidateSecret, resolve};

/// Each row binds three values, so this stays far below SQLite's limit of 32,766.
const ROWS_PER_INSERT: usize = 500;

impl Repository {
    /// All bundles.
    ///
    /// # Errors
    /// The database failed.
    pub async fn bundles(&self) -> Result<Vec<Bundle>, RepositoryError> {
        let rows = sqlx::query("SELECT * FROM bundles ORDER BY project, environment, service")
            .fetch_all(self.database.reader())
            .await
            .map_err(database("list bundles"))?;
        rows.iter().map(bundle).collect()
    }

    /// A page of bundles in order of id.
    ///
    /// # Errors
    /// The database failed.
    pub async fn bundles_after(
        &self,
        after: BundleId,
        limit: u32,
    ) -> Result<Vec<Bundle>, RepositoryError> {
        let rows = sqlx::query("SELECT * FROM bundles WHERE id > $1 ORDER BY id LIMIT $2")
            .bind(after.0)
            .bind(i64::from(limit))
            .fetch_all(self.database.reader())
            .await
            .map_err(database("page through bundles"))?;
        rows.iter().map(bundle).collect()
    }

    /// The bundle of a service scope.
    ///
    /// # Errors
    /// The database failed.
    pub async fn bundle(&self, of: &Scope) -> Result<Option<Bundle>, RepositoryError> {
        let [project, environment, service] = columns(of);
        let row = sqlx::query(
            "SELECT * FROM bundles WHERE project = $1 AND environment = $2 AND service = $3",
        )
        .bind(project)
        .bind(environment)
        .bind(service)
        .fetch_optional(self.database.reader())
        .await
        .map_err(database("find bundle"))?;
        row.as_ref().map(bundle).transpose()
    }

    /// The contents of a generation.
    ///
    /// # Errors
    /// The database failed.
    pub async fn members(
        &self,
        bundle: BundleId,
        generation: Generation,
    ) -> Result<Members, RepositoryError> {
        let rows = sqlx::query(
            "SELECT g.name, s.project, s.environment, s.service, g.version, v.vault_ref
             FROM generation_secrets g
             JOIN secrets s ON s.id = g.secret_id
             JOIN secret_versions v ON v.secret_id = g.secret_id AND v.version = g.version
             WHERE g.bundle_id = $1 AND g.number = $2",
        )
        .bind(bundle.0)
        .bind(signed(generation.0))
        .fetch_all(self.database.reader())
        .await
        .map_err(database("read generation"))?;
        rows.iter()
            .map(|row| Ok((name(row)?, Member { scope: scope(row)?, stored: stored(row)? })))
            .collect()
    }
}

pub(super) fn bundle(row: &AnyRow) -> Result<Bundle, RepositoryError> {
    let scope = scope(row)?;
    let (_, environment, service) = service_parts(&scope).ok_or(RepositoryError::Form("bundle"))?;
    let name = BundleRef::of(service, environment);
    let stable = Generation(count(row, "stable_generation")?);
    let target = optional_count(row, "target_generation")?.map(Generation);
    let (id, revision) = (BundleId(integer(row, "id")?), count(row, "revision")?);
    Ok(Bundle { id, scope, name, rollout: RolloutState { stable, target }, revision })
}

/// Creates the next generation of every bundle whose contents the change affects. With `create`, a
/// service scope without a bundle gets one.
pub(super) async fn advance(
    tx: &mut LedgerTransaction,
    change: &LedgerChange,
    create: bool,
) -> Result<Vec<Bundle>, ChangeError> {
    let mut affected = affected_bundles(tx, &change.scope).await?;
    if create && affected.is_empty() && service_parts(&change.scope).is_some() {
        affected.push(AffectedBundle { scope: change.scope.clone(), bundle: None });
    }
    let mut moved = Vec::new();
    for affected_bundle in affected {
        let too_large =
            |source| ChangeError::TooLarge { bundle: affected_bundle.scope.clone(), source };
        let held = resolve(&affected_bundle.scope, &visible(tx, &affected_bundle.scope).await?)
            .map_err(too_large)?;
        if let Some(bundle) = &affected_bundle.bundle
            && entries(tx, bundle.id, bundle.rollout.stable).await? == held
        {
            continue;
        }
        moved.push(next_generation(tx, change, affected_bundle, &held).await?);
    }
    Ok(moved)
}

/// A bundle that includes the changed scope. It may not exist yet.
struct AffectedBundle {
    scope: Scope,
    bundle: Option<Bundle>,
}

async fn affected_bundles(
    tx: &mut LedgerTransaction,
    changed: &Scope,
) -> Result<Vec<AffectedBundle>, RepositoryError> {
    let [project, environment, service] = columns(changed);
    let rows = sqlx::query(
        "SELECT * FROM bundles WHERE project = $1 AND ($2 = '' OR environment = $2) \
            AND ($3 = '' OR service = $3) ORDER BY id",
    )
    .bind(project)
    .bind(environment)
    .bind(service)
    .fetch_all(tx.connection())
    .await
    .map_err(database("find affected bundles"))?;
    rows.iter()
        .map(|row| {
            bundle(row)
                .map(|bundle| AffectedBundle { scope: bundle.scope.clone(), bundle: Some(bundle) })
        })
        .collect()
}

async fn visible(
    tx: &mut LedgerTransaction,
    of: &Scope,
) -> Result<Vec<CandidateSecret>, RepositoryError> {
    let [project, environment, service] = columns(of);
    let rows = sqlx::query(
        "SELECT s.id, s.project, s.environment, s.service, s.name, s.current_version, v.size
         FROM secrets s JOIN secret_versions v ON v.secret_id = s.id AND v.version = \
         s.current_version
         WHERE s.project = $1 AND s.environment IN ('', $2) AND s.service IN ('', $3) AND \
         s.deleted_at IS NULL",
    )
    .bind(project)
    .bind(environment)
    .bind(service)
    .fetch_all(tx.connection())
    .await
    .map_err(database("read visible secrets"))?;
    rows.iter()
        .map(|row| {
            let (secret, version) = (integer(row, "id")?, Version(count(row, "current_version")?));
            Ok(CandidateSecret {
                secret,
                scope: scope(row)?,
                name: name(row)?,
                version,
                size: count(row, "size")?,
            })
        })
        .collect()
}

async fn entries(
    tx: &mut LedgerTransaction,
    bundle: BundleId,
    generation: Generation,
) -> Result<BTreeMap<SecretName, BundleMember>, RepositoryError> {
    let rows = sqlx::query(
        "SELECT name, secret_id, version FROM generation_secrets WHERE \
        bundle_id = $1 AND number = $2",
    )
    .bind(bundle.0)
    .bind(signed(generation.0))
    .fetch_all(tx.connection())
    .await
    .map_err(database("read stable generation"))?;
    rows.iter()
        .map(|row| {
            Ok((
                name(row)?,
                BundleMember {
                    secret: integer(row, "secret_id")?,
                    version: Version(count(row, "version")?),
                },
            ))
        })
        .collect()
}

async fn next_generation(
    tx: &mut LedgerTransaction,
    change: &LedgerChange,
    affected: AffectedBundle,
    held: &BTreeMap<SecretName, BundleMember>,
) -> Result<Bundle, RepositoryError> {
    let at = change.at.as_millisecond();
    let [project, environment, service] = columns(&affected.scope);
    // Numbering continues from the newest generation, which is not always the stable one.
    let row = sqlx::query(
        "INSERT INTO bundles (project, environment, service, stable_generation, revision, \
            created_at, updated_at)
         VALUES ($1, $2, $3, 1, 1, $4, $4)
         ON CONFLICT (project, environment, service) DO UPDATE SET
             stable_generation = (SELECT max(number) + 1 FROM generations WHERE bundle_id = \
             bundles.id),
             revision = bundles.revision + 1, updated_at = $4
         RETURNING *",
    )
    .bind(project)
    .bind(environment)
    .bind(service)
    .bind(at)
    .fetch_one(tx.connection())
    .await
    .map_err(database("advance bundle"))?;
    let bundle = bundle(&row)?;
    let number = signed(bundle.rollout.stable.0);
    sqlx::query(
        "INSERT INTO generations (bundle_id, number, created_at, created_by) VALUES ($1, \
        $2, $3, $4)",
    )
    .bind(bundle.id.0)
    .bind(number)
    .bind(at)
    .bind(change.by.clone())
    .execute(tx.connection())
    .await
    .map_err(database("insert generation"))?;
    for chunk in held.iter().collect::<Vec<_>>().chunks(ROWS_PER_INSERT) {
        let rows: Vec<String> = (0..chunk.len())
            .map(|at| format!("($1, $2, ${}, ${}, ${})", 3 * at + 3, 3 * at + 4, 3 * at + 5))
            .collect();
        let sql = format!(
            "INSERT INTO generation_secrets (bundle_id, number, name, secret_id, version) VALUES \
                {}",
            rows.join(", ")
        );
        // Only placeholder numbers are formatted into the SQL; all values are bound.
        let mut insert = sqlx::query(AssertSqlSafe(sql)).bind(bundle.id.0).bind(number);
        for (name, entry) in chunk {
            insert = insert
                .bind(name.as_str().to_owned())
                .bind(entry.secret)
                .bind(signed(entry.version.0));
        }
        insert.execute(tx.connection()).await.map_err(database("insert generation's secrets"))?;
    }
    Ok(bundle)
}
