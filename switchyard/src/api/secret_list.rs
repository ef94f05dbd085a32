//! `GET /v1/secrets/{scope}/`: the names of a scope, and those that it inherits.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;
use contract::api::{SecretList, SecretOrigin, SecretSummary};
use contract::{Scope, SecretName};
use http::Uri;
use jiff::Timestamp;
use serde::Deserialize;

use super::list_event;
use super::page::{after, limit, query, truncate};
use super::path::ScopePath;
use super::reads_until::reads_until;
use super::response::json;
use crate::app::{ApiError, AppState, Unauthenticated};
use crate::audit::ResourceKind;
use crate::policy::{SecretFilter, listable_secrets};
use crate::repository::{ListQuery, Secret};
use crate::secrets::{Secrets, SecretsError, own_summary};

/// The query of a list.
#[derive(Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct ListSecretsQuery {
    /// The page size.
    #[param(minimum = 1, maximum = 1000, default = 100)]
    limit: Option<u32>,
    /// The `next` of the previous page, unchanged.
    #[param(min_length = 1, max_length = 1024, pattern = "^[A-Za-z0-9_-]+$")]
    cursor: Option<String>,
    /// Whether to list deleted secrets of the scope that can be undeleted as well.
    #[param(default = false)]
    deleted: Option<bool>,
    /// Whether to list the secrets of the wider scopes as well, as the scope's pods hold them: a
    /// name is listed once, from the narrowest scope that has it.
    #[param(default = false)]
    inherited: Option<bool>,
    /// List only the scope's own secrets whose credential ends before this time (`expires_at`),
    /// those that have ended included.
    #[param(value_type = Option<String>, format = DateTime, example = "2027-01-31T00:00:00Z")]
    expiring_before: Option<Timestamp>,
    /// List only the scope's own secrets that nobody read since this time: no pod, no person and no
    /// program. One that was never read counts from when it was first written.
    #[param(value_type = Option<String>, format = DateTime, example = "2026-08-31T00:00:00Z")]
    unused_since: Option<Timestamp>,
}

/// List the secrets of a scope
///
/// Names and versions, without values, sorted by name. Only secrets that the caller may list are
/// included. Secrets of narrower scopes are not included. The scope does not exist if nothing was
/// ever written to it or below it.
#[utoipa::path(get, path = "/v1/secrets/{scope}/", operation_id = "listSecrets", tag = "secrets",
    params(("scope" = Scope, Path), ListSecretsQuery),
    responses((status = 200, description = "The secrets of the scope", body = SecretList)))]
pub(super) async fn list(
    State(app): State<Arc<AppState>>,
    unauthenticated: Unauthenticated,
    path: Result<ScopePath, ApiError>,
    uri: Uri,
) -> Result<Response, ApiError> {
    let auth = unauthenticated.authenticate(&app).await?;
    let ScopePath(scope) = path?;
    let (filter, rule) = auth.authorize_list(&app, &scope).await?;
    let parameters: ListSecretsQuery = query(
        &uri,
        "limit=<1 to 1000>, cursor=<next of the previous page>, deleted=<true or false>, \
            inherited=<true or false>, expiring_before=<time> and unused_since=<time>",
    )?;
    let inherited = parameters.inherited.unwrap_or(false);
    let ListSecretsQuery { expiring_before, unused_since, .. } = parameters;
    if inherited && (expiring_before.is_some() || unused_since.is_some()) {
        return Err(ApiError::malformed(
            "expiring_before and unused_since list the scope's own secrets: ask without \
             inherited, and for each wider scope",
        ));
    }
    let reads_until = Some(reads_until(&app, unused_since).await?);
    let limit = limit(parameters.limit)?;
    let from: Option<SecretName> = after("secrets", parameters.cursor.as_deref())?;
    let is_first = from.is_none();
    let deleted = parameters.deleted.unwrap_or(false);
    let page = ListQuery { after: from, deleted, expiring_before, unused_since, limit: limit + 1 };
    let own = page_of(&app, &scope, &filter, &page).await?;
    // Whoever may list only chosen names does not learn whether there are others.
    if own.is_empty()
        && is_first
        && filter == SecretFilter::All
        && !app.repository.scope_exists(&scope).await.map_err(SecretsError::from)?
    {
        return Err(ApiError::not_found(format!(
            "there is no scope {scope}: nothing was ever written to it or below it"
        )));
    }
    let mut listed: BTreeMap<SecretName, (Scope, Secret)> =
        own.into_iter().map(|secret| (secret.name.clone(), (scope.clone(), secret))).collect();
    if inherited {
        let page = ListQuery { deleted: false, ..page };
        for wider in std::iter::successors(scope.parent(), Scope::parent) {
            let Ok((filter, _)) = listable_secrets(&auth.principal, &wider) else { continue };
            for secret in page_of(&app, &wider, &filter, &page).await? {
                let narrower = listed.get(&secret.name);
                if narrower.is_none_or(|(_, narrower)| narrower.deleted_at.is_some()) {
                    listed.insert(secret.name.clone(), (wider.clone(), secret));
                }
            }
        }
    }
    let mut listed: Vec<(Scope, Secret)> = listed.into_values().collect();
    let next = truncate(&mut listed, limit, "secrets", |(_, secret)| secret.name.to_string());
    let secrets: Vec<SecretSummary> = listed
        .into_iter()
        .map(|(of, secret)| {
            let origin = if of == scope { SecretOrigin::Own } else { SecretOrigin::Inherited };
            summary(&app.secrets, of, origin, secret)
        })
        .collect();
    let resource = (ResourceKind::Scope, scope.to_string());
    list_event::record(&app, auth.caller, resource, Some(&scope), secrets.len(), &rule).await?;
    json(&SecretList { scope, secrets, reads_until, next })
}

/// The secrets of a page that the caller may list.
async fn page_of(
    app: &AppState,
    scope: &Scope,
    filter: &SecretFilter,
    page: &ListQuery,
) -> Result<Vec<Secret>, ApiError> {
    let found = match filter {
        SecretFilter::All => app.repository.list(scope, page).await,
        SecretFilter::Only(names) => app.repository.list_named(scope, names, page).await,
    };
    Ok(found.map_err(SecretsError::from)?)
}

fn summary(secrets: &Secrets, scope: Scope, origin: SecretOrigin, secret: Secret) -> SecretSummary {
    let deleted_at = secret.deleted_at;
    SecretSummary {
        origin,
        deleted_at,
        recoverable_until: deleted_at.map(|at| secrets.recoverable_until(at)),
        ..own_summary(&scope, secret)
    }
}
