//! `/v1/audit`: the trail, in the order in which it was written.

use std::sync::Arc;

use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::response::Response;
use serde::{Deserialize, Serialize};

use super::App;
use super::answer::json;
use super::problem::Refusal;
use super::request::Asked;
use crate::policy::{Target, Verb};
use crate::repository::AuditQuery;
use crate::secrets::SecretsError;

const USUAL: u32 = 100;
const MOST: u32 = 100_000;

#[derive(Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(super) struct Parameters {
    #[serde(default)]
    after: u64,
    action: Option<String>,
    #[param(minimum = 1, maximum = 100_000, default = 100)]
    limit: Option<u32>,
}

#[derive(Serialize, utoipa::ToSchema)]
struct Answer {
    #[schema(value_type = Vec<Object>)]
    events: Vec<trail::Record>,
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
    asked.principal(&app).await?.may(&app, Verb::Audit, Target::Everything).await?;
    let Query(Parameters { after, action, limit }) =
        parameters.map_err(|_| Refusal::malformed("the query may have after=<number>, action=<word> and limit=<number>, each once"))?;
    let limit = limit.unwrap_or(USUAL);
    if !(1..=MOST).contains(&limit) {
        return Err(Refusal::malformed(format!("limit is {limit}, and must be 1 to {MOST}")));
    }
    let query = AuditQuery { after, action, limit };
    let events = app.repository.audit(&query).await.map_err(SecretsError::from)?;
    json(&Answer { events })
}
