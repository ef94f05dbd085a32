//! Removes history that nobody needs any more: generations, and what pods that are gone held. Each
//! removal is a transaction with its event, under the leader's fence.

use std::collections::BTreeSet;

use audit::Event;
use contract::{Generation, Scope, SecretName, Version};
use jiff::Timestamp;
use lockbox::database::{Row, query};

use super::super::{
    Bundle, BundleId, ChangeError, Fence, KnownGeneration, LivedTime, NeededGenerations, Prunable,
    PrunePolicy, RepositoryError, prunable,
};
use super::bundles::bundle;
use super::rows::{
    columns, count, database, integer, name, optional_time, scope as scope_of, signed, time,
};
use super::{LedgerTransaction, Repository, audit_events};

/// The most generations that go in one transaction. Each may have a thousand members.
const MAX_GENERATIONS: usize = 20;

/// How many of the oldest generations are looked at. Those that pods hold are among them.
const MAX_LOOKED_AT: i64 = 1000;

/// What was pruned of a bundle.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PrunedBundle {
    /// The bundle.
    pub bundle: Bundle,
    /// How many generations.
    pub generations: u64,
    /// The newest of them.
    pub newest: Generation,
    /// How many entries of secrets in generations.
    pub members: u64,
    /// What generations from before this time held is not known any more.
    pub known_since: Timestamp,
    /// Whether there may be more.
    pub is_full: bool,
}

impl Repository {
    /// Bundles with more generations than this, after one bundle.
    ///
    /// # Errors
    /// The database failed.
    pub async fn long_bundles(
        &self,
        generations: u64,
        after: BundleId,
        limit: u32,
    ) -> Result<Vec<BundleId>, RepositoryError> {
        let rows = query(
            "SELECT bundle_id FROM generations WHERE bundle_id > $1
             GROUP BY bundle_id HAVING count(*) > $2 ORDER BY bundle_id LIMIT $3",
        )
        .bind(after.0)
        .bind(signed(generations))
        .bind(i64::from(limit))
        .fetch_all(self.database.reader())
        .await
        .map_err(database("find bundles to prune"))?;
        rows.iter().map(|row| integer(row, "bundle_id").map(BundleId)).collect()
    }

    /// Prunes some generations of a bundle, with the event that `event` makes of them. `None` if
    /// there is nothing to prune.
    ///
    /// # Errors
    /// Another replica holds the lease, or the database failed.
    pub async fn prune_generations(
        &self,
        id: BundleId,
        policy: PrunePolicy,
        fence: &Fence,
        event: fn(&PrunedBundle) -> Event,
    ) -> Result<Option<PrunedBundle>, ChangeError> {
        let fence = fence.clone();
        self.transaction(async move |tx| {
            tx.check_fence(&fence).await?;
            let Some((bundle, needed)) = needed(tx, id).await? else { return Ok(None) };
            let oldest = oldest(tx, id).await?;
            let Prunable { generations, followed_by } =
                prunable(&oldest, &needed, policy, MAX_GENERATIONS);
            let (Some(newest), Some((next, known_since))) =
                (generations.last().copied(), followed_by)
            else {
                return Ok(None);
            };
            for generation in &generations {
                query("DELETE FROM generations WHERE bundle_id = $1 AND number = $2")
                    .bind(id.0)
                    .bind(signed(generation.0))
                    .execute(tx.connection())
                    .await
                    .map_err(database("delete generation"))?;
            }
            query(
                "DELETE FROM member_targets WHERE bundle_id = $1 AND EXISTS
                   (SELECT 1 FROM bundle_members m WHERE m.bundle_id = $1
                       AND m.name = member_targets.name
                       AND m.first_generation = member_targets.first_generation
                       AND m.end_generation <= $2
                       AND NOT EXISTS (SELECT 1 FROM generations g
                         WHERE g.bundle_id = $1 AND g.number >= m.first_generation
                           AND g.number < m.end_generation))",
            )
            .bind(id.0)
            .bind(signed(next.0))
            .execute(tx.connection())
            .await
            .map_err(database("delete targets of members"))?;
            // A member that is in a generation that is kept stays as it is, and with it the digest
            // of that generation.
            let members = query(
                "DELETE FROM bundle_members WHERE bundle_id = $1 AND end_generation <= $2
                   AND NOT EXISTS (SELECT 1 FROM generations g
                     WHERE g.bundle_id = $1 AND g.number >= bundle_members.first_generation
                       AND g.number < bundle_members.end_generation)",
            )
            .bind(id.0)
            .bind(signed(next.0))
            .execute(tx.connection())
            .await
            .map_err(database("delete members of generations"))?;
            query(
                "UPDATE bundles SET known_since = $1
                 WHERE id = $2 AND (known_since IS NULL OR known_since < $1)",
            )
            .bind(known_since.as_millisecond())
            .bind(id.0)
            .execute(tx.connection())
            .await
            .map_err(database("note since when generations are known"))?;
            let pruned = PrunedBundle {
                bundle,
                generations: generations.len() as u64,
                newest,
                members,
                known_since,
                is_full: generations.len() == MAX_GENERATIONS,
            };
            audit_events::insert(tx, Timestamp::now(), &event(&pruned)).await?;
            Ok(Some(pruned))
        })
        .await
    }

    /// Forgets what pods held that were last seen at this lived time or earlier, and their states.
    /// Returns how many, and writes the event that `event` makes of the number if there is one.
    ///
    /// # Errors
    /// Another replica holds the lease, or the database failed.
    pub async fn prune_holdings(
        &self,
        before: LivedTime,
        limit: u32,
        fence: &Fence,
        event: fn(u64) -> Event,
    ) -> Result<u64, ChangeError> {
        let fence = fence.clone();
        self.transaction(async move |tx| {
            tx.check_fence(&fence).await?;
            let pruned = query(
                "DELETE FROM agent_holdings WHERE seen_lived <= $1 AND (pod_uid, bundle_id) IN
                   (SELECT pod_uid, bundle_id FROM agent_holdings WHERE seen_lived <= $1 LIMIT $2)",
            )
            .bind(before.0)
            .bind(i64::from(limit))
            .execute(tx.connection())
            .await
            .map_err(database("delete what pods held"))?;
            query(
                "DELETE FROM agent_states WHERE pod_uid IN
                   (SELECT pod_uid FROM agent_states WHERE seen_lived <= $1 LIMIT $2)",
            )
            .bind(before.0)
            .bind(i64::from(limit))
            .execute(tx.connection())
            .await
            .map_err(database("delete states of agents"))?;
            if pruned > 0 {
                audit_events::insert(tx, Timestamp::now(), &event(pruned)).await?;
            }
            Ok(pruned)
        })
        .await
    }

    /// Archived versions that are in no generation any more, are not among the `newest` of their
    /// secret, and were archived at this lived time or earlier. Deleted secrets keep theirs.
    ///
    /// # Errors
    /// The database failed.
    pub async fn old_versions(
        &self,
        newest: u64,
        before: LivedTime,
        limit: u32,
    ) -> Result<Vec<(Scope, SecretName, Version)>, RepositoryError> {
        let rows = query(
            "SELECT s.project, s.environment, s.service, s.name, v.version
             FROM secret_versions v JOIN secrets s ON s.id = v.secret_id
             WHERE v.rotation_status = 'archived' AND v.deleted_lived IS NULL
               AND s.deleted_at IS NULL AND v.version <> s.current_version
               AND v.archived_lived <= $1 AND v.version <= s.latest_version - $2
               AND NOT EXISTS (SELECT 1 FROM bundle_members m
                 WHERE m.secret_id = v.secret_id AND m.version = v.version)
               AND NOT EXISTS (SELECT 1 FROM member_targets t
                 WHERE t.secret_id = v.secret_id AND t.version = v.version)
             ORDER BY s.id, v.version LIMIT $3",
        )
        .bind(before.0)
        .bind(signed(newest))
        .bind(i64::from(limit))
        .fetch_all(self.database.reader())
        .await
        .map_err(database("find old versions"))?;
        let version = |row: &Row| Ok((scope_of(row)?, name(row)?, Version(count(row, "version")?)));
        rows.iter().map(version).collect()
    }

    /// For each bundle that sees a scope and of which generations were pruned: since when it is
    /// known what its generations held.
    ///
    /// # Errors
    /// The database failed.
    pub async fn known_since(
        &self,
        scope: &Scope,
    ) -> Result<Vec<(Scope, Timestamp)>, RepositoryError> {
        let [project, environment, service] = columns(scope);
        let rows = query(
            "SELECT project, environment, service, known_since FROM bundles
             WHERE known_since IS NOT NULL AND project = $1 AND ($2 = '' OR environment = $2)
               AND ($3 = '' OR service = $3)",
        )
        .bind(project)
        .bind(environment)
        .bind(service)
        .fetch_all(self.database.reader())
        .await
        .map_err(database("find since when generations are known"))?;
        let known = |row: &Row| Ok((scope_of(row)?, optional_time(row, "known_since")?));
        let rows: Result<Vec<_>, RepositoryError> = rows.iter().map(known).collect();
        Ok(rows?.into_iter().filter_map(|(scope, at)| Some((scope, at?))).collect())
    }
}

/// The bundle, and what of it somebody needs.
async fn needed(
    tx: &mut LedgerTransaction<'_>,
    id: BundleId,
) -> Result<Option<(Bundle, NeededGenerations)>, RepositoryError> {
    let row = query("SELECT * FROM bundles WHERE id = $1")
        .bind(id.0)
        .fetch_optional(tx.connection())
        .await
        .map_err(database("read bundle to prune"))?;
    let Some(row) = row else { return Ok(None) };
    let bundle = bundle(&row)?;
    let counted = query("SELECT count(*) AS held FROM generations WHERE bundle_id = $1")
        .bind(id.0)
        .fetch_one(tx.connection())
        .await
        .map_err(database("count generations"))?;
    let rows = query(
        "SELECT DISTINCT generation FROM agent_holdings
         WHERE bundle_id = $1 AND generation IS NOT NULL",
    )
    .bind(id.0)
    .fetch_all(tx.connection())
    .await
    .map_err(database("read what pods hold"))?;
    let held: Result<BTreeSet<Generation>, RepositoryError> =
        rows.iter().map(|row| count(row, "generation").map(Generation)).collect();
    let needed = NeededGenerations {
        count: count(&counted, "held")?,
        stable: bundle.rollout.stable,
        target: bundle.rollout.target,
        held: held?,
    };
    Ok(Some((bundle, needed)))
}

/// The oldest generations of a bundle, in order.
async fn oldest(
    tx: &mut LedgerTransaction<'_>,
    id: BundleId,
) -> Result<Vec<KnownGeneration>, RepositoryError> {
    let rows = query(
        "SELECT number, made_lived, created_at FROM generations WHERE bundle_id = $1
         ORDER BY number LIMIT $2",
    )
    .bind(id.0)
    .bind(MAX_LOOKED_AT)
    .fetch_all(tx.connection())
    .await
    .map_err(database("read oldest generations"))?;
    let known = |row: &Row| {
        Ok(KnownGeneration {
            number: Generation(count(row, "number")?),
            made: LivedTime(integer(row, "made_lived")?),
            created_at: time(row, "created_at")?,
        })
    };
    rows.iter().map(known).collect()
}
