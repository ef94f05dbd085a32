//! The audit trail: append and list, nothing else.

use aws_lc_rs::digest::{Context, SHA256};
use jiff::Timestamp;
use sqlx::any::AnyRow;

use super::super::{AuditQuery, AuditRow, Record, RepositoryError};
use super::open::Head;
use super::rows::{count, database, optional_count, optional_text, signed, text, time};
use super::{Open, Repository};
use crate::audit::{Event, Pod};

impl Repository {
    /// Writes events down, all of them or none. They are durable when this returns.
    ///
    /// # Errors
    /// Where the database fails.
    pub async fn append(&self, records: &[Record]) -> Result<(), RepositoryError> {
        let mut open = self.begin().await?;
        for Record { at, event, holding } in records {
            insert(&mut open, *at, event).await?;
            if let Some(holding) = holding {
                super::holdings::put(&mut open, *at, holding).await?;
            }
        }
        open.commit().await
    }

    /// Events in the order in which they were written.
    ///
    /// # Errors
    /// Where the database fails.
    pub async fn audit(&self, query: &AuditQuery) -> Result<Vec<AuditRow>, RepositoryError> {
        let rows = sqlx::query("SELECT * FROM audit_events WHERE sequence > $1 AND ($2 IS NULL OR action = $2) ORDER BY sequence LIMIT $3")
            .bind(signed(query.after))
            .bind(query.action.clone())
            .bind(i64::from(query.limit))
            .fetch_all(self.database.reader())
            .await
            .map_err(database("list audit events"))?;
        rows.iter().map(row).collect()
    }
}

/// Adds one event with the next number. The end of the trail is locked, so no number is taken twice,
/// and a transaction that is given up takes its numbers back with it.
pub(super) async fn insert(open: &mut Open, at: Timestamp, event: &Event) -> Result<(), RepositoryError> {
    let Event { actor, action, resource, version, outcome, origin, details } = event;
    let pod = actor.pod();
    let head = link(open.head(), at, event);
    sqlx::query(
        "INSERT INTO audit_events (sequence, at, actor_type, actor_id, action, resource_type, resource_id, scope, version, outcome,
             address, user_agent, trace_id, namespace, service_account, pod, pod_uid, details, hash)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19)",
    )
    .bind(signed(head.sequence))
    .bind(at.as_millisecond())
    .bind(actor.kind())
    .bind(actor.id())
    .bind(action.as_str())
    .bind(resource.kind.as_str())
    .bind(resource.id.clone())
    .bind(resource.scope.clone())
    .bind(version.map(signed))
    .bind(outcome.as_str())
    .bind(origin.address.map(|address| address.to_string()))
    .bind(origin.user_agent.clone())
    .bind(origin.trace_id.clone())
    .bind(pod.map(|pod| pod.namespace.clone()))
    .bind(pod.map(|pod| pod.service_account.clone()))
    .bind(pod.map(|pod| pod.name.clone()))
    .bind(pod.map(|pod| pod.uid.clone()))
    .bind(details.clone())
    .bind(head.hash.clone())
    .execute(open.run())
    .await
    .map_err(database("insert audit event"))?;
    open.advance(head);
    Ok(())
}

/// The end of the trail with one more event: its number, and the hash over the one before and it.
fn link(last: &Head, at: Timestamp, event: &Event) -> Head {
    let sequence = last.sequence + 1;
    let mut context = Context::new(&SHA256);
    context.update(&last.hash);
    context.update(format!("{sequence} {} {event:?}", at.as_millisecond()).as_bytes());
    Head { sequence, hash: context.finish().as_ref().to_vec() }
}

fn row(row: &AnyRow) -> Result<AuditRow, RepositoryError> {
    let pod = match (optional_text(row, "namespace")?, optional_text(row, "service_account")?) {
        (Some(namespace), Some(service_account)) => {
            Some(Pod { namespace, service_account, name: text(row, "pod")?, uid: text(row, "pod_uid")? })
        }
        _ => None,
    };
    Ok(AuditRow {
        sequence: count(row, "sequence")?,
        at: time(row, "at")?.to_string(),
        actor_type: text(row, "actor_type")?,
        actor_id: text(row, "actor_id")?,
        action: text(row, "action")?,
        resource_type: text(row, "resource_type")?,
        resource_id: text(row, "resource_id")?,
        scope: optional_text(row, "scope")?,
        version: optional_count(row, "version")?,
        outcome: text(row, "outcome")?,
        address: optional_text(row, "address")?,
        user_agent: optional_text(row, "user_agent")?,
        trace_id: optional_text(row, "trace_id")?,
        pod,
        details: optional_text(row, "details")?,
    })
}
