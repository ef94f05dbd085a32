//! What pods report about their bundles (table `agent_holdings`).

use contract::Generation;
use jiff::Timestamp;
use lockbox::database::query;

use super::super::{BundleId, PodReport, ReportedState, RepositoryError};
use super::rows::{database, optional_count, signed, text};
use super::{LedgerTransaction, Repository};

impl Repository {
    /// The generation of a bundle that each pod last reported, by pod UID.
    ///
    /// # Errors
    /// The database failed.
    pub async fn pod_generations(
        &self,
        bundle: BundleId,
    ) -> Result<Vec<(String, Option<Generation>)>, RepositoryError> {
        let rows = query(
            "SELECT pod_uid, generation FROM agent_holdings WHERE bundle_id = $1 ORDER BY pod_uid",
        )
        .bind(bundle.0)
        .fetch_all(self.database.reader())
        .await
        .map_err(database("list pod reports"))?;
        rows.iter()
            .map(|row| {
                Ok((text(row, "pod_uid")?, optional_count(row, "generation")?.map(Generation)))
            })
            .collect()
    }
}

impl Repository {
    /// Records that a pod is there, though it reports nothing. It is written at most once in
    /// `SEEN_MILLIS`.
    ///
    /// # Errors
    /// The database failed.
    pub async fn pod_seen(&self, pod_uid: &str) -> Result<(), RepositoryError> {
        for statement in [
            "UPDATE agent_holdings SET seen_lived = \
                (SELECT milliseconds FROM lived_time WHERE id = 1)
             WHERE pod_uid = $1 AND seen_lived + $2 < \
                (SELECT milliseconds FROM lived_time WHERE id = 1)",
            "UPDATE agent_states SET seen_lived = \
                (SELECT milliseconds FROM lived_time WHERE id = 1)
             WHERE pod_uid = $1 AND seen_lived + $2 < \
                (SELECT milliseconds FROM lived_time WHERE id = 1)",
        ] {
            let statement = query(statement).bind(pod_uid.to_owned()).bind(SEEN_MILLIS);
            self.database.execute(statement).await.map_err(database("record that pod is there"))?;
        }
        Ok(())
    }
}

/// How exactly it is known when a pod was last seen, in milliseconds: half a day.
const SEEN_MILLIS: i64 = 12 * 60 * 60 * 1000;

/// Stores a pod's latest report about a bundle. A failure keeps the previously applied generation.
/// A generation that failed a check is remembered until a newer one is applied.
pub(super) async fn put(
    tx: &mut LedgerTransaction<'_>,
    at: Timestamp,
    report: &PodReport,
) -> Result<(), RepositoryError> {
    let PodReport { pod, bundle, state } = report;
    let (held, reload) = match state {
        ReportedState::Applied { generation, tag, reload } => {
            (Some((generation, tag)), Some(reload.clone()))
        }
        ReportedState::Restored { generation, tag } => (Some((generation, tag)), None),
        ReportedState::Failed { .. } => (None, None),
    };
    let (failed, step, detail) = match state {
        ReportedState::Failed { wanted, step, detail } => {
            (Some(signed(wanted.0)), Some(step.clone()), Some(detail.clone()))
        }
        _ => (None, None, None),
    };
    let at = at.as_millisecond();
    let applied_at = reload.is_some().then_some(at);
    query(
        "INSERT INTO agent_holdings (pod_uid, bundle_id, namespace, service_account, pod, \
            generation, reload, failed_generation, failed_step, failed_detail, reported_at, \
            tag, held_since, applied_at, seen_lived)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, \
            (SELECT milliseconds FROM lived_time WHERE id = 1))
         ON CONFLICT (pod_uid, bundle_id) DO UPDATE SET
             generation = coalesce(excluded.generation, agent_holdings.generation),
             tag = CASE WHEN excluded.generation IS NULL THEN agent_holdings.tag \
                 ELSE excluded.tag END,
             held_since = CASE WHEN excluded.generation IS NULL THEN agent_holdings.held_since \
                 WHEN excluded.generation = agent_holdings.generation \
                    AND coalesce(excluded.tag, '') = coalesce(agent_holdings.tag, '') \
                 THEN coalesce(agent_holdings.held_since, excluded.held_since) \
                 ELSE excluded.held_since END,
             reload = coalesce(excluded.reload, agent_holdings.reload),
             applied_at = coalesce(excluded.applied_at, agent_holdings.applied_at),
             failed_generation = CASE WHEN agent_holdings.failed_step = 'check' \
                    AND agent_holdings.failed_generation > excluded.generation \
                 THEN agent_holdings.failed_generation ELSE excluded.failed_generation END,
             failed_detail = CASE WHEN agent_holdings.failed_step = 'check' \
                    AND agent_holdings.failed_generation > excluded.generation \
                 THEN agent_holdings.failed_detail ELSE excluded.failed_detail END,
             failed_step = CASE WHEN agent_holdings.failed_step = 'check' \
                    AND agent_holdings.failed_generation > excluded.generation \
                 THEN agent_holdings.failed_step ELSE excluded.failed_step END,
             reported_at = excluded.reported_at, seen_lived = excluded.seen_lived",
    )
    .bind(pod.uid.clone())
    .bind(bundle.0)
    .bind(pod.namespace.clone())
    .bind(pod.service_account.clone())
    .bind(pod.name.clone())
    .bind(held.map(|(generation, _)| signed(generation.0)))
    .bind(reload)
    .bind(failed)
    .bind(step)
    .bind(detail)
    .bind(at)
    .bind(held.and_then(|(_, tag)| Some(tag.as_ref()?.as_str().to_owned())))
    .bind(held.map(|_| at))
    .bind(applied_at)
    .execute(tx.connection())
    .await
    .map_err(database("store pod report"))?;
    Ok(())
}
