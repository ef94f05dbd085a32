//! `/v1/grants`: lists, adds and removes grants of access.

use std::sync::Arc;

use axum::extract::State;
use axum::extract::rejection::PathRejection;
use axum::extract::{FromRequestParts, Path};
use axum::response::{IntoResponse, Response};
use contract::api::{
    Access, Grant, GrantList, GrantRequest, Page, PrincipalKind, Subject, SubjectKind,
};
use contract::text::is_hidden;
use contract::{Label, Scope, SecretName};
use http::request::Parts;
use http::{StatusCode, Uri};
use jiff::Timestamp;

use super::json_request::UnreadRequest;
use super::list_event;
use super::page::{after, cursor, limit, query};
use super::response::{json, replay_or_fail, stored_answer};
use super::visible_page::visible_page;
use crate::app::{ApiError, AppState, Authenticated, Unauthenticated};
use crate::audit::{Action, Event, Outcome, Resource, ResourceKind};
use crate::policy::{Principal, Reach, Target, Verb, decide, reach_of_grant};
use crate::repository::{GrantExtent, KeptResponse, NewGrant, service_parts};
use crate::secrets::{SecretsError, author};

/// The maximum length of a subject's name, in characters.
pub(super) const MAX_NAME_LENGTH: usize = 300;

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
    uri: Uri,
) -> Result<Response, ApiError> {
    let auth = unauthenticated.authenticate(&app).await?;
    let page: Page = query(&uri, "limit=<1 to 1000> and cursor=<next of the previous page>")?;
    let from: Option<u64> = after("grants", page.cursor.as_deref())?;
    let (grants, last) = visible_page(
        from,
        limit(page.limit)?,
        |after, limit| app.repository.grants(after.unwrap_or_default(), limit),
        |grant| grant.id,
        |grant| may_see(&auth.principal, &grant).then_some(grant),
    )
    .await?;
    let next = last.map(|id| cursor("grants", &id.to_string()));
    let resource = (ResourceKind::Grant, "grants".to_owned());
    list_event::record(&app, auth.caller, resource, None, grants.len(), "what is visible").await?;
    json(&GrantList { grants, next })
}

/// Grant access
///
/// Grants a role in a scope and everything below it, or read or write access to a scope or to one
/// secret in it. A grant ends no later than the right of the caller to make it. The pods of a
/// service account get what the caller could grant for as long: of the bundle's secrets those of
/// scopes up to `reach`.
#[utoipa::path(post, path = "/v1/grants", operation_id = "addGrant", tag = "grants",
    params(("Idempotency-Key" = Option<String>, Header, description = "A request that is sent \
        again with the same key within 24 hours is carried out once")),
    request_body(content = GrantRequest, example = json!({"subject": {"kind": "group",
        "name": "sre"}, "scope": "shop.prod", "access": "admin"})),
    responses((status = 201, description = "The grant", body = Grant)))]
pub(super) async fn add(
    State(app): State<Arc<AppState>>,
    unauthenticated: Unauthenticated,
    request: UnreadRequest,
) -> Result<Response, ApiError> {
    let auth = unauthenticated.authenticate(&app).await?;
    auth.authorize_somewhere(&app, Verb::Grant).await?;
    let (grant, request): (GrantRequest, _) = request.parse_small().await?;
    check_form(&grant)?;
    let of = target(&grant.scope, grant.secret.as_ref());
    let (rule, until) = auth.authorize_delegation(&app, Verb::Grant, grant.access, of).await?;
    check_namespace(&app, &auth.principal, &grant)?;
    if let Some(at) = grant.expires_at {
        if at <= Timestamp::now() {
            return Err(ApiError::malformed(format!("expires_at is {at}, which is in the past")));
        }
        auth.authorize_lifetime(&app, Verb::Grant, of, until, at).await?;
    }
    let expires_at = grant.expires_at.or(until);
    let reach = reach(&auth.principal, &grant, expires_at);
    let mut details = details(grant.access, grant.secret.as_ref(), expires_at, &rule);
    if let Some(widest) = reach.and_then(|it| it.widest(&grant.scope)) {
        details.push_str(&format!("; reaches {widest}"));
    }
    let event = event(&auth, Action::Grant, &grant.subject, &grant.scope, &details);
    let new = NewGrant {
        extent: GrantExtent { expires_at, reach: reach.unwrap_or(Reach::Service) },
        by: author(&auth.caller.actor),
        idempotency: request.idempotency(&auth)?,
        request: grant,
    };
    match app.repository.add_grant(&new, &event).await {
        Ok(added) => {
            app.access.notify_grants_changed();
            Ok((StatusCode::CREATED, json(&added)?).into_response())
        }
        Err(error) => replay_or_fail(error, StatusCode::CREATED),
    }
}

/// Remove a grant
#[utoipa::path(delete, path = "/v1/grants/{id}", operation_id = "removeGrant", tag = "grants",
    params(
        ("id" = u64, Path, description = "The grant's number", minimum = 1,
            maximum = 9_007_199_254_740_991_u64),
        ("Idempotency-Key" = Option<String>, Header, description = "A request that is sent again \
            with the same key within 24 hours is carried out once"),
    ),
    responses((status = 200, description = "The removed grant", body = Grant)))]
pub(super) async fn remove(
    State(app): State<Arc<AppState>>,
    unauthenticated: Unauthenticated,
    path: Result<GrantIdPath, ApiError>,
    request: UnreadRequest,
) -> Result<Response, ApiError> {
    let auth = unauthenticated.authenticate(&app).await?;
    let GrantIdPath(id) = path?;
    let idempotency = request.without_body().idempotency(&auth)?;
    if let Some(answer) = stored_answer(&app, idempotency.as_ref(), StatusCode::OK).await? {
        return Ok(answer);
    }
    let found = app.repository.grant(id).await.map_err(SecretsError::from)?;
    let scope = found.as_ref().map(|grant| grant.scope.to_string());
    let missing = async || {
        let detail = format!("grant {id} does not exist");
        auth.not_found(&app, (ResourceKind::Grant, id.to_string()), scope.clone(), detail).await
    };
    let Some(grant) = found.filter(|grant| may_see(&auth.principal, grant)) else {
        return Err(missing().await);
    };
    let of = target(&grant.scope, grant.secret.as_ref());
    let (rule, _) = auth.authorize_delegation(&app, Verb::Grant, grant.access, of).await?;
    let details = details(grant.access, grant.secret.as_ref(), None, &rule);
    let event = event(&auth, Action::Revoke, &grant.subject, &grant.scope, &details);
    let kept = idempotency.map(|request| KeptResponse {
        request,
        // Names, numbers and times always serialize.
        response: serde_json::to_string(&grant).unwrap_or_default(),
    });
    match app.repository.remove_grant(id, &event, kept.as_ref()).await {
        Ok(true) => {
            app.access.notify_grants_changed();
            json(&grant)
        }
        Ok(false) => Err(missing().await),
        Err(error) => replay_or_fail(error, StatusCode::OK),
    }
}

/// A principal sees its own grants and those of the scopes in which it may grant.
fn may_see(principal: &Principal, grant: &Grant) -> bool {
    let own = match grant.subject.kind {
        SubjectKind::User => {
            principal.kind == PrincipalKind::User && principal.name == grant.subject.name
        }
        SubjectKind::Group => principal.groups.contains(&grant.subject.name),
        SubjectKind::ServiceAccount => false,
    };
    own || decide(principal, Verb::Grant, Target::Scope(&grant.scope)).is_ok()
}

/// Refuses a grant that can have no effect, by its form alone.
fn check_form(request: &GrantRequest) -> Result<(), ApiError> {
    let GrantRequest { subject, scope, secret, access, expires_at: _ } = request;
    if secret.is_some() && access.role().is_some() {
        return Err(ApiError::malformed(format!(
            "a role applies to a scope; for a single secret grant read or write, not {access}"
        )));
    }
    let name = subject.name.as_str();
    if subject.kind != SubjectKind::ServiceAccount {
        return if is_visible_name(name) {
            Ok(())
        } else {
            Err(ApiError::malformed(format!(
                "the subject's name must be 1 to {MAX_NAME_LENGTH} visible characters"
            )))
        };
    }
    if namespace(name).is_none() {
        return Err(ApiError::malformed("the name of a service account is namespace/name"));
    }
    if service_parts(scope).is_none() {
        return Err(ApiError::malformed(format!(
            "{scope} is not a service; a service account is granted the bundle of a service, or \
             single secrets of it"
        )));
    }
    if *access != Access::Read {
        return Err(ApiError::malformed("a pod can only read; grant its service account read"));
    }
    Ok(())
}

/// Whether a text can be the name of a person or a group.
pub(super) fn is_visible_name(name: &str) -> bool {
    !name.is_empty()
        && name.chars().count() <= MAX_NAME_LENGTH
        && name.trim() == name
        && !name.contains(is_hidden)
}

/// The namespace of a service account's name, if it is one.
pub(super) fn namespace(name: &str) -> Option<Label> {
    let (namespace, account) = name.split_once('/')?;
    let fits = account.len() <= 253 && account.split('.').all(|it| it.parse::<Label>().is_ok());
    namespace.parse().ok().filter(|_| fits)
}

/// Refuses a grant to pods of another environment, which would have no effect. Where a namespace
/// belongs is only told to those who may see that environment; for others, the grant waits like one
/// to a namespace that does not exist yet. Each use of a grant is decided anew.
fn check_namespace(
    app: &AppState,
    principal: &Principal,
    request: &GrantRequest,
) -> Result<(), ApiError> {
    let GrantRequest { subject, scope, .. } = request;
    let (Some((project, environment, _)), SubjectKind::ServiceAccount, Some(namespace)) =
        (service_parts(scope), subject.kind, namespace(&subject.name))
    else {
        return Ok(());
    };
    let Some(binding) = app.access.namespaces().binding(namespace.as_str()) else { return Ok(()) };
    let belongs = Scope::Environment(binding.project.clone(), binding.environment.clone());
    let is_here = binding.project == *project && binding.environment == *environment;
    if is_here || decide(principal, Verb::List, Target::Scope(&belongs)).is_err() {
        return Ok(());
    }
    Err(ApiError::malformed(format!(
        "namespace {namespace} belongs to environment {} of project {}, so its pods cannot read \
         {scope}",
        binding.environment, binding.project
    )))
}

fn target<'a>(scope: &'a Scope, secret: Option<&'a SecretName>) -> Target<'a> {
    secret.map_or(Target::Scope(scope), |secret| Target::Secret(scope, secret))
}

/// How far a grant to a service account reaches: the bundle of a service holds secrets of wider
/// scopes too.
fn reach(
    principal: &Principal,
    grant: &GrantRequest,
    expires_at: Option<Timestamp>,
) -> Option<Reach> {
    let is_pod = grant.subject.kind == SubjectKind::ServiceAccount;
    is_pod.then(|| reach_of_grant(principal, &grant.scope, expires_at)).flatten()
}

fn details(
    access: Access,
    secret: Option<&SecretName>,
    expires_at: Option<Timestamp>,
    rule: &str,
) -> String {
    let secret = secret.map(|it| format!(" of {it}")).unwrap_or_default();
    let end = expires_at.map(|at| format!(" until {at}")).unwrap_or_default();
    format!("{access}{secret}{end}; {rule}")
}

fn event(
    auth: &Authenticated,
    action: Action,
    subject: &Subject,
    scope: &Scope,
    details: &str,
) -> Event {
    Event {
        actor: auth.caller.actor.clone(),
        action,
        resource: Resource {
            kind: ResourceKind::Grant,
            id: format!("{}:{}", subject.kind, subject.name),
            scope: Some(scope.to_string()),
        },
        version: None,
        outcome: Outcome::Allowed,
        origin: auth.caller.origin.clone(),
        details: Some(details.to_owned()),
    }
}
