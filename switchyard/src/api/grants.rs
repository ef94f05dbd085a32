//! `/v1/grants`: who may do what besides the rules.

use std::sync::Arc;

use axum::extract::State;
use axum::extract::rejection::PathRejection;
use axum::extract::{FromRequestParts, Path};
use axum::response::{IntoResponse, Response};
use contract::api::{Access, Grant, GrantList, GrantRequest, Page, SubjectKind};
use contract::{Label, Scope, SecretName};
use http::StatusCode;
use http::request::Parts;

use super::App;
use super::answer::json;
use super::problem::Refusal;
use super::request::{Asked, Asker};
use super::rows::Rows;
use super::sent::Sent;
use super::small;
use crate::audit::{Action, Event, Outcome, Resource, ResourceKind, sanitize};
use crate::policy::{Principal, Target, Verb, decide};
use crate::repository::service_parts;
use crate::secrets::{SecretsError, author};

/// The longest name of a subject.
const LONGEST: usize = 300;

/// `/{id}`.
pub(super) struct Number(u64);

impl<S: Send + Sync> FromRequestParts<S> for Number {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Refusal> {
        let path: Result<Path<String>, PathRejection> =
            Path::from_request_parts(parts, state).await;
        // Digits alone: `u64` would take a sign, too.
        let number = path
            .ok()
            .filter(|text| text.bytes().all(|it| it.is_ascii_digit()))
            .and_then(|text| text.parse().ok());
        number.map(Self).ok_or_else(|| Refusal::malformed("a grant is named by its number"))
    }
}

/// List grants
///
/// Those that the caller may see: all of a place for whoever may grant there, and everybody's own.
#[utoipa::path(get, path = "/v1/grants", operation_id = "listGrants", tag = "grants",
    params(Page),
    responses((status = 200, description = "The grants", body = GrantList)))]
pub(super) async fn list(
    State(app): State<Arc<App>>,
    asked: Asked,
    rows: Result<Rows, Refusal>,
) -> Result<Response, Refusal> {
    let asker = asked.principal(&app).await?;
    let visible = |grant: Grant| may_see(&asker.principal, &grant).then_some(grant);
    let (grants, next) = rows?
        .page(|after, limit| app.repository.grants(after, limit), |grant| grant.id, visible)
        .await?;
    json(&GrantList { grants, next })
}

/// Grant access
///
/// A role in a scope and below, or reading or writing a scope or one secret of it.
#[utoipa::path(post, path = "/v1/grants", operation_id = "addGrant", tag = "grants",
    request_body(content = GrantRequest, example = json!({"subject": {"kind": "group", "name": "sre"}, "scope": "shop.prod", "access": "admin"})),
    responses((status = 201, description = "The grant", body = Grant)))]
pub(super) async fn add(
    State(app): State<Arc<App>>,
    asked: Asked,
    sent: Sent,
) -> Result<Response, Refusal> {
    let asker = asked.principal(&app).await?;
    let request: GrantRequest = small::read(sent).await?;
    sound(&app, &request)?;
    let rule = asker
        .may_hand_out(
            &app,
            Verb::Grant,
            request.access,
            target(&request.scope, request.secret.as_ref()),
        )
        .await?;
    let subject = format!("{}:{}", request.subject.kind, request.subject.name);
    let event = event(
        &asker,
        Action::Grant,
        &subject,
        &request.scope,
        &words(request.access, request.secret.as_ref(), &rule),
    );
    let grant = app
        .repository
        .add_grant(&request, &author(&asker.caller.actor), &event)
        .await
        .map_err(SecretsError::from)?;
    app.access.tell_grants();
    let body = json(&grant)?;
    Ok((StatusCode::CREATED, body).into_response())
}

/// Take a grant back
#[utoipa::path(delete, path = "/v1/grants/{id}", operation_id = "removeGrant", tag = "grants",
    params(("id" = u64, Path, description = "The grant's number", minimum = 1, maximum = 9_007_199_254_740_991_u64)),
    responses((status = 200, description = "The grant that there was", body = Grant)))]
pub(super) async fn remove(
    State(app): State<Arc<App>>,
    asked: Asked,
    number: Result<Number, Refusal>,
) -> Result<Response, Refusal> {
    let asker = asked.principal(&app).await?;
    let Number(id) = number?;
    let missing = || Refusal::not_found(format!("there is no grant {id}"));
    let grant = app.repository.grant(id).await.map_err(SecretsError::from)?.ok_or_else(missing)?;
    let rule = asker
        .may_hand_out(&app, Verb::Grant, grant.access, target(&grant.scope, grant.secret.as_ref()))
        .await?;
    let subject = format!("{}:{}", grant.subject.kind, grant.subject.name);
    let event = event(
        &asker,
        Action::Revoke,
        &subject,
        &grant.scope,
        &words(grant.access, grant.secret.as_ref(), &rule),
    );
    if !app.repository.remove_grant(id, &event).await.map_err(SecretsError::from)? {
        return Err(missing());
    }
    app.access.tell_grants();
    json(&grant)
}

/// Whoever may grant in a place sees who has what there, and everybody sees their own.
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

/// Whether a grant means anything.
fn sound(app: &App, request: &GrantRequest) -> Result<(), Refusal> {
    let GrantRequest { subject, scope, secret, access } = request;
    if secret.is_some() && access.role().is_some() {
        return Err(Refusal::malformed(format!(
            "a role holds in a scope; for one secret grant read or write, not {access}"
        )));
    }
    let name = subject.name.as_str();
    if subject.kind != SubjectKind::ServiceAccount {
        let fits = !name.is_empty()
            && name.chars().count() <= LONGEST
            && name.trim() == name
            && sanitize(name) == name;
        return if fits {
            Ok(())
        } else {
            Err(Refusal::malformed(format!(
                "the subject's name must be 1 to {LONGEST} visible characters"
            )))
        };
    }
    let account = name.split_once('/').and_then(|(namespace, account)| {
        let account_fits =
            account.len() <= 253 && account.split('.').all(|it| it.parse::<Label>().is_ok());
        namespace.parse::<Label>().ok().filter(|_| account_fits)
    });
    let namespace =
        account.ok_or_else(|| Refusal::malformed("a service account is named namespace/name"))?;
    let Some((project, environment, _)) = service_parts(scope) else {
        return Err(Refusal::malformed(format!(
            "{scope} is no service; a service account is granted a service's bundle, or single secrets of it"
        )));
    };
    if *access != Access::Read {
        return Err(Refusal::malformed(
            "a pod reads and does nothing else; grant its service account read",
        ));
    }
    // Whether its pods may use the grant is decided each time anew. What can't be used now is a
    // mistake.
    match app.access.namespaces().binding(namespace.as_str()) {
        Some(binding) if binding.project != *project || binding.environment != *environment => {
            Err(Refusal::malformed(format!(
                "namespace {namespace} is environment {} of project {}, and its pods can read nothing of {scope}",
                binding.environment, binding.project
            )))
        }
        _ => Ok(()),
    }
}

fn target<'a>(scope: &'a Scope, secret: Option<&'a SecretName>) -> Target<'a> {
    secret.map_or(Target::Scope(scope), |secret| Target::Secret(scope, secret))
}

fn words(access: Access, secret: Option<&SecretName>, rule: &str) -> String {
    match secret {
        Some(secret) => format!("{access} of {secret}; {rule}"),
        None => format!("{access}; {rule}"),
    }
}

fn event(asker: &Asker, action: Action, subject: &str, scope: &Scope, details: &str) -> Event {
    Event {
        actor: asker.caller.actor.clone(),
        action,
        resource: Resource {
            kind: ResourceKind::Grant,
            id: subject.to_owned(),
            scope: Some(scope.to_string()),
        },
        version: None,
        outcome: Outcome::Allowed,
        origin: asker.caller.origin.clone(),
        details: Some(details.to_owned()),
    }
}
