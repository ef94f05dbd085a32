//! `/v1/audit`: the trail, in the order in which it was written.

use std::sync::Arc;

use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::response::Response;
use serde::{Deserialize, Serialize};

use super::App;
use super::problem::Refusal;
use super::request::Asked;
use super::secrets::json;
use crate::policy::{Target, Verb};
use crate::repository::AuditQuery;
use crate::secrets::SecretsError;

const USUAL: u32 = 100;
const MOST: u32 = 100_000;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Parameters {
    #[serde(default)]
    after: u64,
    action: Option<String>,
    limit: Option<u32>,
}

#[derive(Serialize)]
struct Answer {
    events: Vec<trail::Record>,
}

pub(super) async fn list(
    State(app): State<Arc<App>>,
    asked: Asked,
    parameters: Result<Query<Parameters>, QueryRejection>,
) -> Result<Response, Refusal> {
    asked.principal(&app).await?.may(&app, Verb::Audit, Target::Everything).await?;
    let Query(Parameters { after, action, limit }) =
        parameters.map_err(|_| Refusal::malformed("the query may have after=<number>, action=<word> and limit=<number>, each once"))?;
    let query = AuditQuery { after, action, limit: limit.unwrap_or(USUAL).min(MOST) };
    let events = app.repository.audit(&query).await.map_err(SecretsError::from)?;
    json(&Answer { events })
}
