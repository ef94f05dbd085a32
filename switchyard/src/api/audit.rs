//! `/v1/audit…`: the trail, in the order in which it was written, its checkpoints, and exports.
//!
//! Looking at the trail is itself written down, before anything of it leaves.

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

use super::App;
use super::answer::json;
use super::page;
use super::problem::Refusal;
use super::request::Asked;
use crate::audit::{Action, Event, Outcome, Resource, ResourceKind};
use crate::policy::{Target, Verb};
use crate::repository::AuditQuery;
use crate::secrets::{Caller, SecretsError};

const MOST: u32 = 100_000;

/// No event has a greater number: it is the largest integer that every JSON parser reads exactly.
const LARGEST: u64 = (1 << 53) - 1;

/// Records in one read of an export.
const PAGE: u32 = 1000;

#[derive(Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(super) struct Parameters {
    #[serde(default)]
    #[param(minimum = 0, maximum = 9_007_199_254_740_991_u64, default = 0)]
    after: u64,
    #[param(minimum = 1, maximum = 100_000, default = 100)]
    limit: Option<u32>,
    action: Option<String>,
    actor: Option<String>,
    scope: Option<String>,
    outcome: Option<String>,
    #[param(value_type = Option<String>, format = DateTime)]
    since: Option<Timestamp>,
    #[param(value_type = Option<String>, format = DateTime)]
    until: Option<Timestamp>,
}

#[derive(Serialize, utoipa::ToSchema)]
struct Answer {
    #[schema(value_type = Vec<Object>)]
    events: Vec<Record>,
}

/// List audit events
///
/// In the order in which they were written.
#[utoipa::path(get, path = "/v1/audit", operation_id = "listAudit", tag = "audit",
    params(Parameters),
    responses((status = 200, description = "The events", body = Answer)))]
pub(super) async fn list(
    State(app): State<Arc<App>>,
    asked: Asked,
    parameters: Result<Query<Parameters>, QueryRejection>,
) -> Result<Response, Refusal> {
    let caller = auditor(asked, &app).await?;
    let Query(Parameters { after, limit, action, actor, scope, outcome, since, until }) = parameters.map_err(|_| {
        Refusal::malformed(
            "the query may have after=<number>, limit=<number>, action=, actor=, scope=, outcome=, since=<RFC 3339> and until=<RFC 3339>, each once",
        )
    })?;
    let limit = page::limit_within(limit, MOST)?;
    if after > LARGEST {
        return Err(Refusal::malformed("after is greater than any event's number"));
    }
    let query = AuditQuery { after, action, actor, scope, outcome, since, until, limit };
    let events = app.repository.audit(&query).await.map_err(SecretsError::from)?;
    // Else whoever follows the trail would follow nothing but himself.
    let own = |event: &Record| {
        event.resource_type == ResourceKind::Audit.as_str() && event.actor_id == caller.actor.id()
    };
    if !events.iter().all(own) {
        note(&app, caller, Action::List, format!("after {after}, {} events", events.len())).await?;
    }
    json(&Answer { events })
}

/// Which export.
#[derive(Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(super) struct Which {
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
/// All of them that were there at the start of the export, one a line.
#[utoipa::path(get, path = "/v1/audit/export", operation_id = "exportAudit", tag = "audit",
    params(Which),
    responses((status = 200, description = "The events", content((String = "application/x-ndjson"), (String = "text/plain")))))]
pub(super) async fn export(
    State(app): State<Arc<App>>,
    asked: Asked,
    which: Result<Query<Which>, QueryRejection>,
) -> Result<Response, Refusal> {
    let caller = auditor(asked, &app).await?;
    let Query(Which { format, since, until }) = which
        .map_err(|_| Refusal::malformed("the query may have format=jsonl|ocsf|cef, since=<RFC 3339> and until=<RFC 3339>, each once"))?;
    // Up to here: what is written while it is read would make it endless.
    let (head, _) = app.repository.audit_head().await.map_err(SecretsError::from)?;
    note(&app, caller, Action::Export, format!("up to {head} as {format}")).await?;
    let repository = app.repository.clone();
    let pages = stream::try_unfold(0, move |after| {
        let query = AuditQuery { after, since, until, limit: PAGE, ..AuditQuery::default() };
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

/// Which checkpoints.
#[derive(Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(super) struct Page {
    #[serde(default)]
    #[param(minimum = 0, maximum = 9_007_199_254_740_991_u64, default = 0)]
    cursor: u64,
    #[param(minimum = 1, maximum = 1000, default = 100)]
    limit: Option<u32>,
}

#[derive(Serialize, utoipa::ToSchema)]
struct CheckpointList {
    #[schema(value_type = Vec<contract::api::Checkpoint>)]
    checkpoints: Vec<Checkpoint>,
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<String>,
    /// The key that signs, as PEM; absent where none does.
    #[serde(skip_serializing_if = "Option::is_none")]
    public_key: Option<String>,
    head: AuditLogHead,
}

#[derive(Serialize)]
struct Checkpoint {
    #[serde(flatten)]
    checkpoint: audit::Checkpoint,
    #[serde(skip_serializing_if = "Option::is_none")]
    placed_at: Option<Timestamp>,
}

/// The end of the trail as the database has it: no proof, but more than nothing.
#[derive(Serialize, utoipa::ToSchema)]
struct AuditLogHead {
    sequence: u64,
    #[schema(value_type = String, pattern = "^[0-9a-f]{64}$")]
    hash: Hash,
}

/// List checkpoints of the audit trail
///
/// The signed heads of the trail, the key that signs them, and the end of the trail.
#[utoipa::path(get, path = "/v1/audit/checkpoints", operation_id = "listCheckpoints", tag = "audit",
    params(Page),
    responses((status = 200, description = "The checkpoints", body = CheckpointList)))]
pub(super) async fn checkpoints(
    State(app): State<Arc<App>>,
    asked: Asked,
    page: Result<Query<Page>, QueryRejection>,
) -> Result<Response, Refusal> {
    auditor(asked, &app).await?;
    let Query(Page { cursor, limit }) = page.map_err(|_| {
        Refusal::malformed(
            "the query may have limit=<number> and the cursor that the last answer gave as next",
        )
    })?;
    let limit = page::limit(limit)?;
    if cursor > LARGEST {
        return Err(Refusal::malformed("the cursor is not one that this list gave"));
    }
    let kept = app.repository.checkpoints(cursor, limit).await.map_err(SecretsError::from)?;
    let (sequence, hash) = app.repository.audit_head().await.map_err(SecretsError::from)?;
    let full = usize::try_from(limit).is_ok_and(|limit| kept.len() >= limit);
    let next = kept.last().filter(|_| full).map(|kept| kept.checkpoint.sequence.to_string());
    let checkpoints = kept
        .into_iter()
        .map(|kept| Checkpoint { checkpoint: kept.checkpoint, placed_at: kept.placed_at })
        .collect();
    json(&CheckpointList {
        checkpoints,
        next,
        public_key: app.checkpoint_public_key.clone(),
        head: AuditLogHead { sequence, hash },
    })
}

/// Whoever may see the trail.
async fn auditor(asked: Asked, app: &App) -> Result<Caller, Refusal> {
    let asker = asked.principal(app).await?;
    asker.may(app, Verb::Audit, Target::Everything).await?;
    Ok(asker.caller)
}

async fn note(app: &App, caller: Caller, action: Action, details: String) -> Result<(), Refusal> {
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
