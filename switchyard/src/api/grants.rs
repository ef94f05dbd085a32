//! `/v1/grants`: lists, adds and removes grants of access.

use std::sync::Arc;

use axum::extract::State;
use axum::extract::rejection::PathRejection;
use axum::extract::{FromRequestParts, Path};
use axum::response::{IntoResponse, Response};
use contract::api::{Access, Grant, GrantList, GrantRequest, Page, SubjectKind};
use contract::{Label, Scope, SecretName};
use http::StatusCode;
use http::request::Parts;

use super::json_request::UnreadRequest;
use super::page_by_id::PageById;
use super::response::json;
use crate::app::{ApiError, AppState, Authenticated, Unauthenticated};
use crate::audit::{Action, Event, Outcome, Resource, ResourceKind, sanitize};
use crate::policy::{Principal, Target, Verb, decide};
use crate::repository::service_parts;
use crate::secrets::{SecretsError, author};

/// The maximum length of a subject's name, in characters.
const MAX_NAME_LENGTH: usize = 300;

/// The parameter of `/{id}`.
pub(super) struct GrantIdPath(u64);

impl<S: Send + Sync> FromRequestParts<S> for GrantIdPath {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        let path: Result<Path<String>, PathRejection> =
            Path::from_request_parts(parts, state).await;
        // Only digits: `u64` would accept a sign.
        let id = path
            .ok()
            .filter(|text| text.bytes().all(|it| it.is_ascii_digit()))
            .and_then(|text| text.parse().ok());
        id.map(Self).ok_or_else(|| ApiError::malformed("a grant is identified by its number"))
    }
}

/// List grants
///
/// The grants of the scopes in which the caller may grant, and the caller's own.
#[utoipa::path(get, path = "/v1/grants", operation_id = "listGrants", tag = "grants",
    params(Page),
    responses((status = 200, description = "The grants", body = GrantList)))]
pub(super) async fn list(
    State(app): State<Arc<AppState>>,
    unauthenticated: Unauthenticated,
    page: Result<PageById, ApiError>,
) -> Result<Response, ApiError> {
    let auth = unauthenticated.authenticate(&app).await?;
    let visible = |grant: Grant| may_see(&auth.principal, &grant).then_some(grant);
    let (grants, next) = page?
        .page(|after, limit| app.repository.grants(after, limit), |grant| grant.id, visible)
        .await?;
    json(&GrantList { grants, next })
}

/// Grant access
///
/// Grants a role in a scope and everything below it, or read or write access to a scope or to one
/// secret in it.
#[utoipa::path(post, path = "/v1/grants", operation_id = "addGrant", tag = "grants",
    request_body(content = GrantRequest, example = json!({"subject": {"kind": "group",
        "name": "sre"}, "scope": "shop.prod", "access": "admin"})),
    responses((status = 201, description = "The grant", body = Grant)))]
pub(super) async fn add(
    State(app): State<Arc<AppState>>,
    unauthenticated: Unauthenticated,
    request: UnreadRequest,
) -> Result<Response, ApiError> {
    let auth = unauthenticated.authenticate(&app).await?;
    let grant: GrantRequest = request.parse().await?;
    validate(&app, &grant)?;
    let rule = auth
        .authorize_delegation(
            &app,
            Verb::Grant,
            grant.access,
            target(&grant.scope, grant.secret.as_ref()),
        )
        .await?;
    let subject = format!("{}:{}", grant.subject.kind, grant.subject.name);
    let event = event(
        &auth,
        Action::Grant,
        &subject,
        &grant.scope,
        &details(grant.access, grant.secret.as_ref(), &rule),
    );
    let added = app
        .repository
        .add_grant(&grant, &author(&auth.caller.actor), &event)
        .await
        .map_err(SecretsError::from)?;
    app.access.notify_grants_changed();
    let body = json(&added)?;
    Ok((StatusCode::CREATED, body).into_response())
}

/// Remove a grant
#[utoipa::path(delete, path = "/v1/grants/{id}", operation_id = "removeGrant", tag = "grants",
    params(("id" = u64, Path, description = "The grant's number", minimum = 1,
        maximum = 9_007_199_254_740_991_u64)),
    responses((status = 200, description = "The removed grant", body = Grant)))]
pub(super) async fn remove(
    State(app): State<Arc<AppState>>,
    unauthenticated: Unauthenticated,
    path: Result<GrantIdPath, ApiError>,
) -> Result<Response, ApiError> {
    let auth = unauthenticated.authenticate(&app).await?;
    let GrantIdPath(id) = path?;
    let missing = || ApiError::not_found(format!("grant {id} does not exist"));
    let grant = app.repository.grant(id).await.map_err(SecretsError::from)?.ok_or_else(missing)?;
    let rule = auth
        .authorize_delegation(
            &app,
            Verb::Grant,
            grant.access,
            target(&grant.scope, grant.secret.as_ref()),
        )
        .await?;
    let subject = format!("{}:{}", grant.subject.kind, grant.subject.name);
    let event = event(
        &auth,
        Action::Revoke,
        &subject,
        &grant.scope,
        &details(grant.access, grant.secret.as_ref(), &rule),
    );
    if !app.repository.remove_grant(id, &event).await.map_err(SecretsError::from)? {
        return Err(missing());
    }
    app.access.notify_grants_changed();
    json(&grant)
}

/// A principal sees its own grants and those of the scopes in which it may grant.
fn may_see(principal: &Principal, grant: &Grant) -> bool {
    let own = match grant.subject.kind {
        SubjectKind::User => {
            principal.kind == contract::api::PrincipalKind::User
                && principal.name == grant.subject.name
        }
        SubjectKind::Group => principal.groups.contains(&grant.subject.name),
        SubjectKind::ServiceAccount => false,
    };
    own || decide(principal, Verb::Grant, Target::Scope(&grant.scope)).is_ok()
}

/// Refuses a grant that can have no effect.
fn validate(app: &AppState, request: &GrantRequest) -> Result<(), ApiError> {
    let GrantRequest { subject, scope, secret, access } = request;
    if secret.is_some() && access.role().is_some() {
        return Err(ApiError::malformed(format!(
            "a role applies to a scope; for a single secret grant read or write, not {access}"
        )));
    }
    let name = subject.name.as_str();
    if subject.kind != SubjectKind::ServiceAccount {
        let fits = !name.is_empty()
            && name.chars().count() <= MAX_NAME_LENGTH
            && name.trim() == name
            && sanitize(name) == name;
        return if fits {
            Ok(())
        } else {
            Err(ApiError::malformed(format!(
                "the subject's name must be 1 to {MAX_NAME_LENGTH} visible characters"
            )))
        };
    }
    let account = name.split_once('/').and_then(|(namespace, account)| {
        let account_fits =
            account.len() <= 253 && account.split('.').all(|it| it.parse::<Label>().is_ok());
        namespace.parse::<Label>().ok().filter(|_| account_fits)
    });
    let namespace = account
        .ok_or_else(|| ApiError::malformed("the name of a service account is namespace/name"))?;
    let Some((project, environment, _)) = service_parts(scope) else {
        return Err(ApiError::malformed(format!(
            "{scope} is not a service; a service account is granted the bundle of a service, or \
             single secrets of it"
        )));
    };
    if *access != Access::Read {
        return Err(ApiError::malformed("a pod can only read; grant its service account read"));
    }
    // Each use of the grant is decided anew. A grant that has no effect now is a mistake.
    match app.access.namespaces().binding(namespace.as_str()) {
        Some(binding) if binding.project != *project || binding.environment != *environment => {
            Err(ApiError::malformed(format!(
                "namespace {namespace} belongs to environment {} of project {}, so its pods cannot \
                 read {scope}",
                binding.environment, binding.project
            )))
        }
        _ => Ok(()),
    }
}

fn target<'a>(scope: &'a Scope, secret: Option<&'a SecretName>) -> Target<'a> {
    secret.map_or(Target::Scope(scope), |secret| Target::Secret(scope, secret))
}

fn details(access: Access, secret: Option<&SecretName>, rule: &str) -> String {
    match secret {
        Some(secret) => format!("{access} of {secret}; {rule}"),
        None => format!("{access}; {rule}"),
    }
}

fn event(
    auth: &Authenticated,
    action: Action,
    subject: &str,
    scope: &Scope,
    details: &str,
) -> Event {
    Event {
        actor: auth.caller.actor.clone(),
        action,
        resource: Resource {
            kind: ResourceKind::Grant,
            id: subject.to_owned(),
            scope: Some(scope.to_string()),
        },
        version: None,
        outcome: Outcome::Allowed,
        origin: auth.caller.origin.clone(),
        details: Some(details.to_owned()),
    }
}
