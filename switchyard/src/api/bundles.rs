//! `/v1/bundles…`: what the pods of a service hold.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;
use contract::api::{BundleKeys, BundleList, BundleValue, BundleValues, Page};
use contract::stream::{HeldBundle, HeldSecret};
use contract::{Redacted, Scope};
use http::Uri;

use super::App;
use super::answer::{count, json, wiped};
use super::page::{after, cut, limit, query};
use super::path::InScope;
use super::problem::Refusal;
use super::request::{Asked, Asker};
use crate::audit::{Action, Event, Outcome, Resource, ResourceKind};
use crate::metrics::Operation;
use crate::policy::{Target, Verb, Which, decide};
use crate::repository::{Bundle, BundleId, service_parts};
use crate::secrets::{SecretsError, state_of};

/// List bundles
///
/// Those that the caller may see, in the order in which they came into being.
#[utoipa::path(get, path = "/v1/bundles", operation_id = "listBundles", tag = "bundles",
    params(Page),
    responses((status = 200, description = "The bundles", body = BundleList)))]
pub(super) async fn list(
    State(app): State<Arc<App>>,
    asked: Asked,
    uri: Uri,
) -> Result<Response, Refusal> {
    let asker = asked.principal(&app).await?;
    let page: Page = query(&uri, "limit=<1 to 1000> and cursor=<next of the page before>")?;
    let most = limit(page.limit)?;
    let from = after("bundles", page.cursor.as_deref())?.unwrap_or_default();
    let mut found =
        app.repository.bundles_after(BundleId(from), most + 1).await.map_err(SecretsError::from)?;
    let next = cut(&mut found, most, "bundles", |bundle| bundle.id.0.to_string());
    found.retain(|bundle| {
        decide(&asker.principal, Verb::List, Target::Scope(&bundle.scope)).is_ok()
    });
    json(&BundleList { bundles: found.iter().map(state_of).collect(), next })
}

/// Read a bundle's keys
///
/// The names that pods of the service hold, wherever each of them lives.
#[utoipa::path(get, path = "/v1/bundles/{scope}", operation_id = "readBundle", tag = "bundles",
    params(("scope" = Scope, Path, description = "The scope of a service")),
    responses((status = 200, description = "The bundle and its keys", body = BundleKeys)))]
pub(super) async fn read(
    State(app): State<Arc<App>>,
    asked: Asked,
    path: Result<InScope, Refusal>,
) -> Result<Response, Refusal> {
    let asker = asked.principal(&app).await?;
    let InScope(scope) = path?;
    asker.may(&app, Verb::List, Target::Scope(&scope)).await?;
    let bundle = find(&app, &scope).await?;
    let keys = app
        .repository
        .members(bundle.id, bundle.standing.stable)
        .await
        .map_err(SecretsError::from)?
        .into_keys()
        .collect();
    json(&BundleKeys { state: state_of(&bundle), keys })
}

/// Read a bundle's values
///
/// What a pod of the service holds. The caller must be allowed to read every secret of it.
#[utoipa::path(get, path = "/v1/bundles/{scope}/values", operation_id = "readBundleValues", tag = "bundles",
    params(("scope" = Scope, Path, description = "The scope of a service")),
    responses((status = 200, description = "The bundle and its values", body = BundleValues)))]
pub(super) async fn values(
    State(app): State<Arc<App>>,
    asked: Asked,
    path: Result<InScope, Refusal>,
) -> Result<Response, Refusal> {
    let asker = asked.principal(&app).await?;
    let InScope(scope) = path?;
    let rule = asker.may(&app, Verb::Read, Target::Scope(&scope)).await?;
    let bundle = find(&app, &scope).await?;
    let members = app
        .repository
        .members(bundle.id, bundle.standing.stable)
        .await
        .map_err(SecretsError::from)?;
    for (name, member) in &members {
        asker.may(&app, Verb::Read, Target::Secret(&member.scope, name)).await?;
    }
    let opened = open(&app, &asker, &bundle, rule).await;
    count(&app, Operation::Read, &opened);
    let HeldBundle { bundle: name, generation, secrets } = opened?;
    let one = |HeldSecret { version, value }| BundleValue { version, value };
    let secrets: BTreeMap<_, _> =
        secrets.into_iter().map(|(name, held)| (name, one(held))).collect();
    // A struct of texts, numbers and base64 always becomes JSON.
    let body: Redacted =
        BundleValues { scope, bundle: name, generation, secrets }.to_body().unwrap_or_default();
    Ok(wiped(body))
}

/// The values, once it is written down who gets them.
async fn open(
    app: &App,
    asker: &Asker,
    bundle: &Bundle,
    rule: String,
) -> Result<HeldBundle, SecretsError> {
    let generation = bundle.standing.stable;
    let held = app.secrets.open(bundle, generation, &Which::All).await?;
    let event = Event {
        actor: asker.caller.actor.clone(),
        action: Action::Read,
        resource: Resource {
            kind: ResourceKind::Bundle,
            id: bundle.name.as_str().to_owned(),
            scope: Some(bundle.scope.to_string()),
        },
        version: Some(generation.0),
        outcome: Outcome::Allowed,
        origin: asker.caller.origin.clone(),
        details: Some(rule),
    };
    app.audit.record(event).await?;
    Ok(held)
}

async fn find(app: &App, scope: &Scope) -> Result<Bundle, Refusal> {
    if service_parts(scope).is_none() {
        return Err(Refusal::malformed(format!(
            "{scope} is no service; a bundle's scope is project.environment.service"
        )));
    }
    let bundle = app.repository.bundle(scope).await.map_err(SecretsError::from)?;
    bundle.ok_or_else(|| {
        Refusal::not_found(format!("{scope} has no bundle: no secret was written to it yet"))
    })
}
