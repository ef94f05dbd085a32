//! What pods say that they hold.

use contract::Generation;
use jiff::Timestamp;

use super::super::{BundleId, Holding, Report, RepositoryError};
use super::rows::{database, optional_count, signed, text};
use super::{Open, Repository};

impl Repository {
    /// Which generation of a bundle each pod last said that it holds, by pod UID.
    ///
    /// # Errors
    /// Where the database fails.
    pub async fn holdings(
        &self,
        bundle: BundleId,
    ) -> Result<Vec<(String, Option<Generation>)>, RepositoryError> {
        let rows = sqlx::query(
            "SELECT pod_uid, generation FROM agent_holdings WHERE bundle_id = $1 ORDER BY pod_uid",
        )
        .bind(bundle.0)
        .fetch_all(self.database.reader())
        .await
        .map_err(database("list holdings"))?;
        rows.iter()
            .map(|row| {
                Ok((text(row, "pod_uid")?, optional_count(row, "generation")?.map(Generation)))
            })
            .collect()
    }
}

/// Keeps the last word of a pod about a bundle. A failure leaves what the files hold as it was.
pub(super) async fn put(
    open: &mut Open,
    at: Timestamp,
    holding: &Holding,
) -> Result<(), RepositoryError> {
    let Holding { pod, bundle, report } = holding;
    let (generation, reload, failed, step, detail) = match report {
        Report::Holds { generation, reload } => {
            (Some(signed(generation.0)), Some(reload.clone()), None, None, None)
        }
        Report::Failed { wanted, step, detail } => {
            (None, None, Some(signed(wanted.0)), Some(step.clone()), Some(detail.clone()))
        }
    };
    sqlx::query(
        "INSERT INTO agent_holdings (pod_uid, bundle_id, namespace, service_account, pod, generation, reload,
             failed_generation, failed_step, failed_detail, reported_at)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)
         ON CONFLICT (pod_uid, bundle_id) DO UPDATE SET
             generation = coalesce(excluded.generation, agent_holdings.generation), reload = coalesce(excluded.reload, agent_holdings.reload),
             failed_generation = excluded.failed_generation, failed_step = excluded.failed_step,
             failed_detail = excluded.failed_detail, reported_at = excluded.reported_at",
    )
    .bind(pod.uid.clone())
    .bind(bundle.0)
    .bind(pod.namespace.clone())
    .bind(pod.service_account.clone())
    .bind(pod.name.clone())
    .bind(generation)
    .bind(reload)
    .bind(failed)
    .bind(step)
    .bind(detail)
    .bind(at.as_millisecond())
    .execute(open.run())
    .await
    .map_err(database("insert holding"))?;
    Ok(())
}
