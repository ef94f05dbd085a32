//! What pods report about their bundles (table `agent_holdings`).

use std::collections::HashSet;
use std::sync::LazyLock;

use contract::Generation;
use jiff::Timestamp;
use lockbox::database::{SqlValue, placeholders, query};

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

/// How many reports a statement stores. What is left takes the next smaller one.
const ROWS: [usize; 3] = [32, 8, 1];

/// The values of a report that are bound, as [`values`] has them.
const VALUES: usize = 14;

/// The statements for [`ROWS`].
static STATEMENTS: LazyLock<[String; ROWS.len()]> = LazyLock::new(|| ROWS.map(statement));

fn statement(rows: usize) -> String {
    let row = |row: usize| {
        let places = placeholders(row * VALUES + 1, VALUES);
        format!("({places}, (SELECT milliseconds FROM lived_time WHERE id = 1))")
    };
    let rows: Vec<String> = (0..rows).map(row).collect();
    format!(
        "INSERT INTO agent_holdings (pod_uid, bundle_id, namespace, service_account, pod, \
            generation, reload, failed_generation, failed_step, failed_detail, reported_at, \
            tag, held_since, applied_at, seen_lived)
         VALUES {}
         ON CONFLICT (pod_uid, bundle_id) DO UPDATE SET {UPDATED}",
        rows.join(", ")
    )
}

/// What becomes of a row that is there. A failure keeps the previously applied generation. A
/// generation that failed a check is remembered until a newer one is applied.
const UPDATED: &str = "
    generation = coalesce(excluded.generation, agent_holdings.generation),
    tag = CASE WHEN excluded.generation IS NULL THEN agent_holdings.tag ELSE excluded.tag END,
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
    reported_at = excluded.reported_at, seen_lived = excluded.seen_lived";

/// Stores what pods reported about bundles, in this order.
pub(super) async fn put_all(
    tx: &mut LedgerTransaction<'_>,
    reports: Vec<(Timestamp, PodReport)>,
) -> Result<(), RepositoryError> {
    let mut reports = reports.into_iter();
    for (rows, sql) in ROWS.into_iter().zip(STATEMENTS.iter()) {
        while reports.as_slice().get(..rows).is_some_and(are_of_different_rows) {
            let stored = query(sql).bind_all(reports.by_ref().take(rows).flat_map(values));
            let stored = stored.execute(tx.connection());
            stored.await.map_err(database("store pod reports"))?;
        }
    }
    Ok(())
}

/// Whether one statement can store these: PostgreSQL changes no row twice in one.
fn are_of_different_rows(reports: &[(Timestamp, PodReport)]) -> bool {
    let mut rows = HashSet::with_capacity(reports.len());
    reports.iter().all(|(_, it)| rows.insert((&it.pod.uid, it.bundle)))
}

fn values((at, report): (Timestamp, PodReport)) -> [SqlValue; VALUES] {
    let PodReport { pod, bundle, state } = report;
    let mut failed = (None, None, None);
    let (held, reload) = match state {
        ReportedState::Applied { generation, tag, reload } => {
            (Some((generation, tag)), Some(reload))
        }
        ReportedState::Restored { generation, tag } => (Some((generation, tag)), None),
        ReportedState::Failed { wanted, step, detail } => {
            failed = (Some(signed(wanted.0)), Some(step), Some(detail));
            (None, None)
        }
    };
    let (failed, step, detail) = failed;
    let (generation, tag) = held.unzip();
    let at = at.as_millisecond();
    let (held_since, applied_at) = (generation.map(|_| at), reload.is_some().then_some(at));
    [
        pod.uid.into(),
        bundle.0.into(),
        pod.namespace.into(),
        pod.service_account.into(),
        pod.name.into(),
        generation.map(|it| signed(it.0)).into(),
        reload.into(),
        failed.into(),
        step.into(),
        detail.into(),
        at.into(),
        tag.flatten().map(|it| it.as_str().to_owned()).into(),
        held_since.into(),
        applied_at.into(),
    ]
}
