//! Bundles and their generations.

use std::collections::BTreeMap;

use contract::{BundleRef, Generation, GenerationTag, Scope};
use lockbox::database::{Row, query, query_built};

use super::super::authenticity::Forgery;
use super::super::mac::{LedgerKey, RowMac};
use super::super::{Bundle, BundleId, Member, Members, RepositoryError, service_parts};
use super::Repository;
use super::generation_row::{GENERATION_COLUMNS, MemberDigest, check_generation};
use super::member_targets::MemberTargets;
use super::row_macs::{stored_mac, version_mac};
use super::rows::{
    columns, count, database, integer, name, optional_count, optional_text, references, scope,
    signed, stored, text,
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
                .fetch_optional(self.database.reader())
                .await
                .map_err(database("find bundle"))?;
        row.as_ref().map(bundle).transpose()
    }

    /// The tag of a generation that the ledger has, if it has one.
    ///
    /// # Errors
    /// The database failed.
    pub async fn generation_tag(
        &self,
        bundle: BundleId,
        generation: Generation,
    ) -> Result<Option<GenerationTag>, RepositoryError> {
        let row = query("SELECT tag FROM generations WHERE bundle_id = $1 AND number = $2")
            .bind(bundle.0)
            .bind(signed(generation.0))
            .fetch_optional(self.database.reader())
            .await
            .map_err(database("read tag of generation"))?;
        let tag = row.as_ref().map(|row| text(row, "tag")).transpose()?;
        tag.map(|tag| tag.parse().map_err(|_| RepositoryError::Form("tag"))).transpose()
    }

    /// The contents of a generation, if they are those that switchyard gave it.
    ///
    /// # Errors
    /// Somebody else wrote a row of the bundle, the generation or its members, or the database
    /// failed.
    pub async fn members(
        &self,
        bundle: &Bundle,
        generation: Generation,
    ) -> Result<Members, RepositoryError> {
        let key = self.authenticity.key()?;
        let Bundle { id, scope: of, .. } = bundle;
        let forged = |forgery| self.authenticity.refuse(forgery);
        let row = query_built(format!(
            "SELECT b.*, {GENERATION_COLUMNS} FROM bundles b JOIN generations g \
                 ON g.bundle_id = b.id AND g.number = $2 WHERE b.id = $1"
        ))
        .bind(id.0)
        .bind(signed(generation.0))
        .fetch_optional(self.database.reader())
        .await
        .map_err(database("read row of generation"))?
        .ok_or_else(|| forged(Forgery::generation(of)))?;
        if scope(&row)? != *of || stored_mac(&row)? != Some(bundle_mac(&key, &row)?) {
            return Err(forged(Forgery::bundle(of)));
        }
        let held = check_generation(&key, of, &row)?;
        let held = held.ok_or_else(|| forged(Forgery::generation(of)))?;
        let rows = query(
            "SELECT m.name, s.project, s.environment, s.service, s.name AS secret_name, \
                 m.version, v.vault_ref, v.tag, v.size, v.refs, v.mac
             FROM bundle_members m
             JOIN secrets s ON s.id = m.secret_id
             JOIN secret_versions v ON v.secret_id = m.secret_id AND v.version = m.version
             WHERE m.bundle_id = $1 AND m.first_generation <= $2
               AND (m.end_generation IS NULL OR m.end_generation > $2)",
        )
        .bind(id.0)
        .bind(signed(generation.0))
        .fetch_all(self.database.reader())
        .await
        .map_err(database("read generation"))?;
        let mut composed = BTreeMap::new();
        if rows.iter().map(references).any(|it| matches!(it, Ok(Some(_)))) {
            let targets = self.member_targets(&key, (*id, generation)).await?;
            composed = targets.ok_or_else(|| forged(Forgery::generation(of)))?;
        }
        let (mut found, mut members) = (MemberDigest::default(), Members::new());
        for row in &rows {
            let (name, scope) = (name(row)?, scope(row)?);
            let mac = version_mac(&key, (&scope, &name), row)?;
            if stored_mac(row)? != Some(mac) || text(row, "secret_name")? != name.as_str() {
                return Err(forged(Forgery::generation(of)));
            }
            let (mut whole, mut targets) = (mac, None);
            if references(row)?.is_some() {
                let MemberTargets { targets: of, macs } =
                    composed.remove(&name).unwrap_or_default();
                (whole, targets) = (key.composed(mac, macs), Some(of));
            }
            found.members = found.members.plus(key.member(of, &name, whole));
            found.secrets += 1;
            members.insert(name, Member { scope, stored: stored(row)?, targets });
        }
        if found == held { Ok(members) } else { Err(forged(Forgery::generation(of))) }
    }
}

/// The MAC that a bundle's row is to have.
pub(super) fn bundle_mac(key: &LedgerKey, row: &Row) -> Result<RowMac, RepositoryError> {
    let stable = Generation(count(row, "stable_generation")?);
    let target = optional_count(row, "target_generation")?.map(Generation);
    let size = (count(row, "secrets")?, count(row, "bytes")?);
    Ok(key.bundle(&scope(row)?, (stable, target), &text(row, "stable_tag")?, size))
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
