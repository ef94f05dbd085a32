//! `/v1/audit…`: lists and exports the audit log, and lists its checkpoints.
//!
//! Each read of the audit log is itself recorded before its events are sent.

use std::sync::Arc;

use audit::{Format, Hash, Record};
use axum::body::Body;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::response::{IntoResponse as _, Response};
use futures_util::stream;
use http::header::CONTENT_TYPE;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::audit_query::ListAuditQuery;
pub(super) use super::audit_query::MAX_SEQUENCE;
use super::page;
use super::response::json;
use crate::app::{ApiError, AppState, Authenticated, Unauthenticated};
use crate::audit::{Action, Event, Outcome, Resource, ResourceKind};
use crate::policy::{Target, Verb};
use crate::repository::AuditQuery;
use crate::secrets::{Caller, SecretsError};

/// The bytes of an event in a list, on average.
const EVENT_BYTES: usize = 512;

/// Records that an export reads at once.
const EXPORT_BATCH_SIZE: u32 = 1000;

#[derive(Serialize, utoipa::ToSchema)]
struct AuditEventList {
    #[schema(value_type = Vec<Object>)]
    events: Vec<Record>,
}

/// List audit events
///
/// In the order in which they were recorded, or with `order=desc` from the newest one on. An admin
/// of a scope gets the events of that scope and of those below it.
#[utoipa::path(get, path = "/v1/audit", operation_id = "listAudit", tag = "audit",
    params(ListAuditQuery),
    responses((status = 200, description = "The events", body = AuditEventList)))]
pub(super) async fn list(
    State(app): State<Arc<AppState>>,
    unauthenticated: Unauthenticated,
    parameters: Result<Query<ListAuditQuery>, QueryRejection>,
) -> Result<Response, ApiError> {
    let auth = unauthenticated.authenticate(&app).await?;
    let Query(parameters) = parameters.map_err(|_| {
        ApiError::malformed(
            "the query may have after=<number>, before=<number>, order=asc|desc, limit=<number>, \
             action=, actor=, scope=, secret=, outcome=, since=<RFC 3339> and until=<RFC 3339>, \
             each once",
        )
    })?;
    let (reach, rule) = auth.authorize_audit(&app, parameters.scope.as_ref()).await?;
    let after = parameters.after;
    let query = parameters.into_query(reach)?;
    // A long list is made in memory as a whole.
    let bytes = usize::try_from(query.limit).unwrap_or(usize::MAX).saturating_mul(EVENT_BYTES);
    let lease = auth.reserve(bytes).await?;
    let events = app.repository.audit(&query).await.map_err(SecretsError::from)?;
    // Otherwise a client that follows the log would see nothing but its own reads.
    let caller = auth.caller;
    let own = |event: &Record| {
        event.resource_type == ResourceKind::Audit.as_str() && event.actor_id == caller.actor.id()
    };
    if !events.iter().all(own) {
        let details = format!("after {after}, {} events; {rule}", events.len());
        record(&app, caller, Action::List, details).await?;
    }
    let answer = json(&AuditEventList { events })?;
    Ok(match lease {
        Some(lease) => lease.attach(answer).await,
        None => answer,
    })
}

/// The query of an export.
#[derive(Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(super) struct ExportAuditQuery {
    #[serde(default)]
    #[param(value_type = Option<String>, pattern = "^(jsonl|ocsf|cef)$")]
    format: Format,
    #[param(value_type = Option<String>, format = DateTime)]
    since: Option<Timestamp>,
    #[param(value_type = Option<String>, format = DateTime)]
    until: Option<Timestamp>,
}

/// Export audit events
///
/// All events up to the start of the export, one per line.
#[utoipa::path(get, path = "/v1/audit/export", operation_id = "exportAudit", tag = "audit",
    params(ExportAuditQuery),
    responses((status = 200, description = "The events", content((String = "application/x-ndjson"),
        (String = "text/plain")))))]
pub(super) async fn export(
    State(app): State<Arc<AppState>>,
    unauthenticated: Unauthenticated,
    parameters: Result<Query<ExportAuditQuery>, QueryRejection>,
) -> Result<Response, ApiError> {
    let caller = auditor(unauthenticated, &app).await?.caller;
    let Query(ExportAuditQuery { format, since, until }) = parameters.map_err(|_| {
        ApiError::malformed(
            "the query may have format=jsonl|ocsf|cef, since=<RFC 3339> and until=<RFC 3339>, \
             each once",
        )
    })?;
    // Events that are recorded during the export would make it endless.
    let (head, _) = app.repository.audit_head().await.map_err(SecretsError::from)?;
    record(&app, caller, Action::Export, format!("up to {head} as {format}")).await?;
    let repository = app.repository.clone();
    let pages = stream::try_unfold(0, move |after| {
        let query =
            AuditQuery { after, since, until, limit: EXPORT_BATCH_SIZE, ..AuditQuery::default() };
        let repository = repository.clone();
        async move {
            let mut records = repository.audit(&query).await?;
            records.retain(|record| record.sequence <= head);
            let Some(last) = records.last().map(|record| record.sequence) else { return Ok(None) };
            let mut lines = String::new();
            for record in &records {
                lines.push_str(&format.line(record));
                lines.push('\n');
            }
            Ok::<_, crate::repository::RepositoryError>(Some((bytes::Bytes::from(lines), last)))
        }
    });
    Ok(([(CONTENT_TYPE, format.media_type())], Body::from_stream(pages)).into_response())
}

/// The query of a list of checkpoints.
#[derive(Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(super) struct ListCheckpointsQuery {
    #[serde(default)]
    #[param(minimum = 0, maximum = 9_007_199_254_740_991_u64, default = 0)]
    cursor: u64,
    #[param(minimum = 1, maximum = 1000, default = 100)]
    limit: Option<u32>,
}

#[derive(Serialize, utoipa::ToSchema)]
struct CheckpointList {
    #[schema(value_type = Vec<contract::api::Checkpoint>)]
    checkpoints: Vec<CheckpointView>,
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<String>,
    /// The public key of the checkpoints, as PEM. Absent if none are signed.
    #[serde(skip_serializing_if = "Option::is_none")]
    public_key: Option<String>,
    head: AuditLogHead,
}

#[derive(Serialize)]
struct CheckpointView {
    #[serde(flatten)]
    checkpoint: audit::Checkpoint,
    #[serde(skip_serializing_if = "Option::is_none")]
    placed_at: Option<Timestamp>,
}

/// The end of the audit log according to the database. It is not signed and proves nothing.
#[derive(Serialize, utoipa::ToSchema)]
struct AuditLogHead {
    sequence: u64,
    #[schema(value_type = String, pattern = "^[0-9a-f]{64}$")]
    hash: Hash,
}

/// List checkpoints of the audit log
///
/// The signed checkpoints, the key that signs them, and the end of the audit log.
#[utoipa::path(get, path = "/v1/audit/checkpoints", operation_id = "listCheckpoints", tag = "audit",
    params(ListCheckpointsQuery),
    responses((status = 200, description = "The checkpoints", body = CheckpointList)))]
pub(super) async fn checkpoints(
    State(app): State<Arc<AppState>>,
    unauthenticated: Unauthenticated,
    page: Result<Query<ListCheckpointsQuery>, QueryRejection>,
) -> Result<Response, ApiError> {
    auditor(unauthenticated, &app).await?;
    let Query(ListCheckpointsQuery { cursor, limit }) = page.map_err(|_| {
        ApiError::malformed(
            "the query may have limit=<number> and cursor=<next of the previous page>",
        )
    })?;
    let limit = page::limit(limit)?;
    if cursor > MAX_SEQUENCE {
        return Err(ApiError::malformed("the cursor is not from this list"));
    }
    let kept = app.repository.checkpoints(cursor, limit).await.map_err(SecretsError::from)?;
    let (sequence, hash) = app.repository.audit_head().await.map_err(SecretsError::from)?;
    let full = usize::try_from(limit).is_ok_and(|limit| kept.len() >= limit);
    let next = kept.last().filter(|_| full).map(|kept| kept.checkpoint.sequence.to_string());
    let checkpoints = kept
        .into_iter()
        .map(|kept| CheckpointView { checkpoint: kept.checkpoint, placed_at: kept.placed_at })
        .collect();
    json(&CheckpointList {
        checkpoints,
        next,
        public_key: app.checkpoint_public_key.clone(),
        head: AuditLogHead { sequence, hash },
    })
}

/// Authenticates a caller that may read all of the audit log: an export and its checkpoints are a
/// chain of everybody's events.
async fn auditor(
    unauthenticated: Unauthenticated,
    app: &AppState,
) -> Result<Authenticated, ApiError> {
    let auth = unauthenticated.authenticate(app).await?;
    auth.authorize(app, Verb::Audit, Target::Everything).await?;
    Ok(auth)
}

/// Records a read of the audit log, before its events are sent.
///
/// # Errors
/// If the event cannot be written.
pub(super) async fn record(
    app: &AppState,
    caller: Caller,
    action: Action,
    details: String,
) -> Result<(), ApiError> {
    let Caller { actor, origin } = caller;
    let resource = Resource { kind: ResourceKind::Audit, id: "audit".to_owned(), scope: None };
    let event = Event {
        actor,
        action,
        resource,
        version: None,
        outcome: Outcome::Allowed,
        origin,
        details: Some(details),
    };
    app.audit.record(event).await.map_err(SecretsError::from)?;
    Ok(())
}
