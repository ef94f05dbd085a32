//! `/v1/bundles/{scope}`: the names that a bundle holds, for whoever injects a pod by hand.

use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;
use contract::api::{BundleKeys, BundleState};

use super::App;
use super::path::InScope;
use super::problem::Refusal;
use super::request::Asked;
use super::secrets::json;
use crate::policy::{Target, Verb};
use crate::repository::service_parts;
use crate::secrets::SecretsError;

pub(super) async fn read(State(app): State<Arc<App>>, asked: Asked, path: Result<InScope, Refusal>) -> Result<Response, Refusal> {
    let asker = asked.principal(&app).await?;
    let InScope(scope) = path?;
    asker.may(&app, Verb::List, Target::Scope(&scope)).await?;
    if service_parts(&scope).is_none() {
        return Err(Refusal::malformed(format!("{scope} is no service; a bundle's scope is project.environment.service")));
    }
    let bundle = app.repository.bundle(&scope).await.map_err(SecretsError::from)?;
    let bundle = bundle.ok_or_else(|| Refusal::not_found(format!("{scope} has no bundle: no secret was written to it yet")))?;
    let generation = bundle.standing.stable;
    let keys = app.repository.members(bundle.id, generation).await.map_err(SecretsError::from)?.into_keys().collect();
    json(&BundleKeys { state: BundleState { scope, bundle: bundle.name, generation }, keys })
}
