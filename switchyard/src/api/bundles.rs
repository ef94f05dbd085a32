//! `/v1/bundles…`: lists bundles, and reads their keys and values.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;
use contract::api::{BundleKeys, BundleList, BundleValue, BundleValues, Page};
use contract::stream::{HeldBundle, HeldSecret};
use contract::{Redacted, Scope};
use http::Uri;

use super::list_event;
use super::page::{after, cursor, limit, query};
use super::path::ScopePath;
use super::response::{count, json, secret_json};
use super::visible_page::visible_page;
use crate::app::{ApiError, AppState, Authenticated, Unauthenticated};
use crate::audit::{Action, Event, Outcome, Resource, ResourceKind};
use crate::metrics::Operation;
use crate::policy::{MemberFilter, Target, Verb, decide};
use crate::repository::{Bundle, BundleId, service_parts};
use crate::secrets::{SecretsError, state_of};

/// The values of a bundle in base64, and their names.
const MAX_ANSWER_BYTES: usize = 12 << 20;

/// List bundles
///
/// The bundles that the caller may list, oldest first.
#[utoipa::path(get, path = "/v1/bundles", operation_id = "listBundles", tag = "bundles",
    params(Page),
    responses((status = 200, description = "The bundles", body = BundleList)))]
pub(super) async fn list(
    State(app): State<Arc<AppState>>,
    unauthenticated: Unauthenticated,
    uri: Uri,
) -> Result<Response, ApiError> {
    let auth = unauthenticated.authenticate(&app).await?;
    let page: Page = query(&uri, "limit=<1 to 1000> and cursor=<next of the previous page>")?;
    let limit = limit(page.limit)?;
    let from: Option<i64> = after("bundles", page.cursor.as_deref())?;
    let may_list =
        |scope: &Scope| decide(&auth.principal, Verb::List, Target::Scope(scope)).is_ok();
    let (bundles, last) = visible_page(
        from,
        limit,
        |after, limit| app.repository.bundles_after(BundleId(after.unwrap_or_default()), limit),
        |bundle| bundle.id.0,
        |bundle| may_list(&bundle.scope).then(|| state_of(&bundle)),
    )
    .await?;
    let next = last.map(|id| cursor("bundles", &id.to_string()));
    let resource = (ResourceKind::Bundle, "bundles".to_owned());
    list_event::record(&app, auth.caller, resource, None, bundles.len(), "what is visible").await?;
    json(&BundleList { bundles, next })
}

/// Read a bundle's keys
///
/// The names of the secrets that pods of the service hold, from every scope.
#[utoipa::path(get, path = "/v1/bundles/{scope}", operation_id = "readBundle", tag = "bundles",
    params(("scope" = Scope, Path, description = "The scope of a service")),
    responses((status = 200, description = "The bundle and its keys", body = BundleKeys)))]
pub(super) async fn read(
    State(app): State<Arc<AppState>>,
    unauthenticated: Unauthenticated,
    path: Result<ScopePath, ApiError>,
) -> Result<Response, ApiError> {
    let auth = unauthenticated.authenticate(&app).await?;
    let ScopePath(scope) = path?;
    let rule = auth.authorize(&app, Verb::List, Target::Scope(&scope)).await?;
    let bundle = find(&app, &scope).await?;
    let keys: BTreeSet<_> = app
        .repository
        .members(&bundle, bundle.rollout.stable)
        .await
        .map_err(SecretsError::from)?
        .into_keys()
        .collect();
    // A program that polls for a new generation already has the names of this one.
    let generation = bundle.rollout.stable;
    if !app.listed_bundles.has(auth.token.id, bundle.id, generation) {
        let resource = (ResourceKind::Bundle, bundle.name.to_string());
        list_event::record(&app, auth.caller, resource, Some(&scope), keys.len(), &rule).await?;
        app.listed_bundles.remember(auth.token.id, bundle.id, generation);
    }
    json(&BundleKeys { state: state_of(&bundle), keys })
}

/// Read a bundle's values
///
/// The secrets that a pod of the service holds. The caller must be allowed to read all of them.
#[utoipa::path(get, path = "/v1/bundles/{scope}/values", operation_id = "readBundleValues",
    tag = "bundles",
    params(("scope" = Scope, Path, description = "The scope of a service")),
    responses((status = 200, description = "The bundle and its values", body = BundleValues)))]
pub(super) async fn values(
    State(app): State<Arc<AppState>>,
    unauthenticated: Unauthenticated,
    path: Result<ScopePath, ApiError>,
) -> Result<Response, ApiError> {
    let auth = unauthenticated.authenticate(&app).await?;
    let ScopePath(scope) = path?;
    let rule = auth.authorize(&app, Verb::Read, Target::Scope(&scope)).await?;
    let bundle = find(&app, &scope).await?;
    let members =
        app.repository.members(&bundle, bundle.rollout.stable).await.map_err(SecretsError::from)?;
    for (name, member) in &members {
        auth.authorize(&app, Verb::Read, Target::Secret(&member.scope, name)).await?;
    }
    let lease = auth.reserve(MAX_ANSWER_BYTES).await?;
    let opened = open(&app, &auth, &bundle, rule).await;
    count(&app, Operation::Read, &opened);
    let HeldBundle { bundle: name, generation, tag, secrets } = opened?;
    let one = |HeldSecret { version, value }| BundleValue { version, value };
    let secrets: BTreeMap<_, _> =
        secrets.into_iter().map(|(name, held)| (name, one(held))).collect();
    // A struct of strings, numbers and base64 always serializes.
    let body: Redacted = BundleValues { scope, bundle: name, generation, tag, secrets }
        .to_body()
        .unwrap_or_default();
    let answer = secret_json(body);
    Ok(match lease {
        Some(lease) => lease.attach(answer).await,
        None => answer,
    })
}

/// Opens the values and records the read in the audit log before they leave.
async fn open(
    app: &AppState,
    auth: &Authenticated,
    bundle: &Bundle,
    rule: String,
) -> Result<HeldBundle, SecretsError> {
    let generation = bundle.rollout.stable;
    let held = app.secrets.open(bundle, generation, &MemberFilter::everything()).await?;
    let event = Event {
        actor: auth.caller.actor.clone(),
        action: Action::Read,
        resource: Resource {
            kind: ResourceKind::Bundle,
            id: bundle.name.as_str().to_owned(),
            scope: Some(bundle.scope.to_string()),
        },
        version: Some(generation.0),
        outcome: Outcome::Allowed,
        origin: auth.caller.origin.clone(),
        details: Some(rule),
    };
    app.audit.record(event).await?;
    Ok(held)
}

/// The bundle of a service scope.
pub(super) async fn find(app: &AppState, scope: &Scope) -> Result<Bundle, ApiError> {
    if service_parts(scope).is_none() {
        return Err(ApiError::malformed(format!(
            "{scope} is not a service; the scope of a bundle is project.environment.service"
        )));
    }
    let bundle = app.repository.bundle(scope).await.map_err(SecretsError::from)?;
    bundle.ok_or_else(|| {
        ApiError::not_found(format!("{scope} has no bundle; write a secret to it first"))
    })
}
