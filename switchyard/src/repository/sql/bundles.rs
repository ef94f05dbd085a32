//! Bundles and their generations.

use contract::{BundleRef, Generation, Scope};
use lockbox::database::{Row, query};

use super::super::{Bundle, BundleId, Member, Members, RepositoryError, service_parts};
use super::Repository;
use super::rows::{
    columns, count, database, integer, name, optional_count, optional_text, scope, signed, stored,
    text,
};
use crate::delivery::RolloutState;

impl Repository {
    /// All bundles.
    ///
    /// # Errors
    /// The database failed.
    pub async fn bundles(&self) -> Result<Vec<Bundle>, RepositoryError> {
        let rows = query("SELECT * FROM bundles ORDER BY project, environment, service")
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
        let rows = query("SELECT * FROM bundles WHERE id > $1 ORDER BY id LIMIT $2")
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
        let row =
            query("SELECT * FROM bundles WHERE project = $1 AND environment = $2 AND service = $3")
                .bind(project)
                .bind(environment)
                .bind(service)
                .fetch_optional(self.database.reader().point())
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
        let rows = query(
            "SELECT m.name, s.project, s.environment, s.service, m.version, v.vault_ref
             FROM bundle_members m
             JOIN secrets s ON s.id = m.secret_id
             JOIN secret_versions v ON v.secret_id = m.secret_id AND v.version = m.version
             WHERE m.bundle_id = $1 AND m.first_generation <= $2
               AND (m.end_generation IS NULL OR m.end_generation > $2)",
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

pub(super) fn bundle(row: &Row) -> Result<Bundle, RepositoryError> {
    let scope = scope(row)?;
    let (_, environment, service) = service_parts(&scope).ok_or(RepositoryError::Form("bundle"))?;
    let name = BundleRef::of(service, environment);
    let stable = Generation(count(row, "stable_generation")?);
    let target = optional_count(row, "target_generation")?.map(Generation);
    let (id, revision) = (BundleId(integer(row, "id")?), count(row, "revision")?);
    let stuck = optional_text(row, "stuck")?;
    // A tag that is none makes the generation one that nobody holds.
    let stable_tag = text(row, "stable_tag")?.parse().ok();
    let rollout = RolloutState { stable, target };
    Ok(Bundle { id, scope, name, rollout, revision, stuck, stable_tag })
}
