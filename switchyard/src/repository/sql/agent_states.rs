//! What is known of pods (table `agent_states`), and which replicas live (table `replicas`).

use std::collections::HashMap;

use audit::Pod;
use contract::Generation;
use contract::api::PodCheck;
use lockbox::database::{Row, placeholders, query, query_built};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::super::{
    AgentPage, AgentPosition, AgentRow, AgentState, CheckedStages, HoldingRow, PodFailure,
    RepositoryError,
};
use super::Repository;
use super::bundles::bundle;
use super::leases::now;
use super::rows::{database, optional_count, optional_text, optional_time, text, time};

/// How long a replica is believed to live after it was last there, in milliseconds.
const REPLICA_TTL_MILLIS: i64 = 60_000;

impl Repository {
    /// Stores what agents of a replica say. What another replica has learned since stays: an agent
    /// that is gone here may be there.
    ///
    /// # Errors
    /// The database failed.
    pub async fn put_agents(
        &self,
        replica: &str,
        states: Vec<AgentState>,
    ) -> Result<(), RepositoryError> {
        let replica = replica.to_owned();
        self.transaction(async move |tx| {
            for state in states {
                let AgentState { pod, agent, connected_at, disconnected_at, refused, checks } =
                    state;
                let CheckedStages { before, after, restored } = checks;
                query(
                    "INSERT INTO agent_states (pod_uid, namespace, service_account, pod, agent, \
                        replica, connected_at, disconnected_at, refused, checked_before, \
                        checked_after, checked_restored, seen_lived)
                     VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, \
                        (SELECT milliseconds FROM lived_time WHERE id = 1))
                     ON CONFLICT (pod_uid) DO UPDATE SET
                         agent = excluded.agent, replica = excluded.replica,
                         connected_at = excluded.connected_at,
                         disconnected_at = excluded.disconnected_at,
                         refused = excluded.refused, seen_lived = excluded.seen_lived,
                         checked_before = \
                            coalesce(excluded.checked_before, agent_states.checked_before),
                         checked_after = \
                            coalesce(excluded.checked_after, agent_states.checked_after),
                         checked_restored = \
                            coalesce(excluded.checked_restored, agent_states.checked_restored)
                     WHERE excluded.disconnected_at IS NULL \
                        OR agent_states.replica = excluded.replica",
                )
                .bind(pod.uid)
                .bind(pod.namespace)
                .bind(pod.service_account)
                .bind(pod.name)
                .bind(agent)
                .bind(replica.clone())
                .bind(connected_at.as_millisecond())
                .bind(disconnected_at.map(|it| it.as_millisecond()))
                .bind(json(&refused)?)
                .bind(before.as_ref().map(json).transpose()?)
                .bind(after.as_ref().map(json).transpose()?)
                .bind(restored.as_ref().map(json).transpose()?)
                .execute(tx.connection())
                .await
                .map_err(database("store state of agent"))?;
            }
            Ok(())
        })
        .await
    }

    /// Records that a replica lives, and forgets those that have not for a day.
    ///
    /// # Errors
    /// The database failed.
    pub async fn replica_seen(&self, replica: &str) -> Result<(), RepositoryError> {
        let now = now(self.database.kind());
        let seen = query_built(format!(
            "INSERT INTO replicas (id, seen_at) VALUES ($1, {now})
             ON CONFLICT (id) DO UPDATE SET seen_at = {now}"
        ));
        let forget = query_built(format!("DELETE FROM replicas WHERE seen_at < {now} - 86400000"));
        for statement in [seen.bind(replica.to_owned()), forget] {
            let done = self.database.execute(statement).await;
            done.map_err(database("record that a replica lives"))?;
        }
        Ok(())
    }

    /// Records that a replica has ended, and with it all of its streams.
    ///
    /// # Errors
    /// The database failed.
    pub async fn replica_ended(&self, replica: &str) -> Result<(), RepositoryError> {
        let statement = query("DELETE FROM replicas WHERE id = $1").bind(replica.to_owned());
        self.database.execute(statement).await.map_err(database("record that a replica ended"))?;
        Ok(())
    }

    /// A page of pods by namespace, name and UID, with what they hold.
    ///
    /// # Errors
    /// The database failed.
    pub async fn agents(&self, page: &AgentPage) -> Result<Vec<AgentRow>, RepositoryError> {
        let AgentPage { after, namespace, pod, bundle, limit } = page.clone();
        let [after_namespace, after_pod, after_uid] = match after {
            Some(AgentPosition { namespace, pod, uid }) => [namespace, pod, uid].map(Some),
            None => [None, None, None],
        };
        let now = now(self.database.kind());
        let rows = query_built(format!(
            "SELECT s.*, (SELECT r.seen_at FROM replicas r WHERE r.id = s.replica \
                AND r.seen_at > {now} - {REPLICA_TTL_MILLIS}) AS replica_seen_at
             FROM agent_states s
             WHERE (CAST($1 AS TEXT) IS NULL OR (s.namespace, s.pod, s.pod_uid) > \
                (CAST($1 AS TEXT), CAST($2 AS TEXT), CAST($3 AS TEXT)))
               AND (CAST($4 AS TEXT) IS NULL OR s.namespace = CAST($4 AS TEXT))
               AND (CAST($5 AS TEXT) IS NULL OR s.pod = CAST($5 AS TEXT))
               AND (CAST($6 AS BIGINT) IS NULL OR EXISTS (SELECT 1 FROM agent_holdings h \
                WHERE h.pod_uid = s.pod_uid AND h.bundle_id = CAST($6 AS BIGINT)))
             ORDER BY s.namespace, s.pod, s.pod_uid LIMIT $7"
        ))
        .bind(after_namespace)
        .bind(after_pod)
        .bind(after_uid)
        .bind(namespace)
        .bind(pod)
        .bind(bundle.map(|it| it.0))
        .bind(i64::from(limit))
        .fetch_all(self.database.reader())
        .await
        .map_err(database("list pods"))?;
        let mut agents: Vec<AgentRow> = rows.iter().map(agent).collect::<Result<_, _>>()?;
        let uids: Vec<String> = agents.iter().map(|it| it.state.pod.uid.clone()).collect();
        let mut holdings = self.holdings(uids).await?;
        for agent in &mut agents {
            agent.holdings = holdings.remove(&agent.state.pod.uid).unwrap_or_default();
        }
        Ok(agents)
    }

    async fn holdings(
        &self,
        uids: Vec<String>,
    ) -> Result<HashMap<String, Vec<HoldingRow>>, RepositoryError> {
        if uids.is_empty() {
            return Ok(HashMap::new());
        }
        // Only placeholder numbers are formatted into it.
        let mut statement = query_built(format!(
            "SELECT b.*, h.pod_uid, h.generation AS held_generation, h.tag AS held_tag, \
                h.held_since, h.reload, h.applied_at, h.failed_generation, h.failed_step, \
                h.failed_detail, h.reported_at
             FROM agent_holdings h JOIN bundles b ON b.id = h.bundle_id
             WHERE h.pod_uid IN ({}) ORDER BY b.id",
            placeholders(1, uids.len())
        ));
        for uid in uids {
            statement = statement.bind(uid);
        }
        let rows = statement.fetch_all(self.database.reader()).await;
        let mut found: HashMap<String, Vec<HoldingRow>> = HashMap::new();
        for row in &rows.map_err(database("list what pods hold"))? {
            found.entry(text(row, "pod_uid")?).or_default().push(holding(row)?);
        }
        Ok(found)
    }
}

fn agent(row: &Row) -> Result<AgentRow, RepositoryError> {
    let disconnected_at = optional_time(row, "disconnected_at")?;
    let is_connected =
        disconnected_at.is_none() && optional_time(row, "replica_seen_at")?.is_some();
    let state = AgentState {
        pod: Pod {
            namespace: text(row, "namespace")?,
            service_account: text(row, "service_account")?,
            name: text(row, "pod")?,
            uid: text(row, "pod_uid")?,
        },
        agent: text(row, "agent")?,
        connected_at: time(row, "connected_at")?,
        disconnected_at,
        refused: from_json("refused", &text(row, "refused")?)?,
        checks: CheckedStages {
            before: checks(row, "checked_before")?,
            after: checks(row, "checked_after")?,
            restored: checks(row, "checked_restored")?,
        },
    };
    Ok(AgentRow { state, is_connected, holdings: Vec::new() })
}

fn holding(row: &Row) -> Result<HoldingRow, RepositoryError> {
    let failed = match optional_count(row, "failed_generation")? {
        Some(generation) => Some(PodFailure {
            generation: Generation(generation),
            step: optional_text(row, "failed_step")?.unwrap_or_default(),
            detail: optional_text(row, "failed_detail")?.unwrap_or_default(),
        }),
        None => None,
    };
    Ok(HoldingRow {
        bundle: bundle(row)?,
        generation: optional_count(row, "held_generation")?.map(Generation),
        tag: optional_text(row, "held_tag")?.and_then(|tag| tag.parse().ok()),
        since: optional_time(row, "held_since")?,
        reload: optional_text(row, "reload")?,
        reloaded_at: optional_time(row, "applied_at")?,
        failed,
        reported_at: time(row, "reported_at")?,
    })
}

fn checks(row: &Row, column: &'static str) -> Result<Option<Vec<PodCheck>>, RepositoryError> {
    optional_text(row, column)?.map(|text| from_json(column, &text)).transpose()
}

fn json<T: Serialize>(value: &T) -> Result<String, RepositoryError> {
    serde_json::to_string(value).map_err(|_| RepositoryError::Form("state of agent"))
}

fn from_json<T: DeserializeOwned>(column: &'static str, text: &str) -> Result<T, RepositoryError> {
    serde_json::from_str(text).map_err(|_| RepositoryError::Form(column))
}
