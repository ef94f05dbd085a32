//! `POST /v1/access/check`: may somebody do something, and by which rule?
//!
//! Anybody may ask about themselves. About others, an admin of what is asked about learns what its
//! grants and tokens give; for everybody else the principal is not there.

use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;
use contract::api::{
    AccessAnswer, AccessKind, AccessPrincipal, AccessRequest, AccessVerb, GroupSource, Object,
    PrincipalKind,
};
use contract::{Scope, SecretName};
use jiff::Timestamp;

use super::super::json_request::UnreadRequest;
use super::super::response::json;
use super::super::{grants, tokens};
use crate::access::Verdict;
use crate::app::{ApiError, AppState, Authenticated, Unauthenticated};
use crate::audit::{Action, Event, Outcome, Resource, ResourceKind, sanitize};
use crate::policy::{ServiceAccountRef, Target, Verb, decide};
use crate::repository::{TokenRow, TokenSubject};
use crate::secrets::SecretsError;

/// The groups of one question.
const MAX_GROUPS: usize = 100;

/// Check access
///
/// Whether a principal may do something, decided as a request would be, and by which rule. Without
/// a principal it is about the caller. About others, the caller must be allowed to grant in the
/// scope; otherwise no principal exists. Of a person, the groups are those of the request, else
/// those of the newest session if the caller may see it. Of a pod, a scope is the secrets of
/// exactly that scope.
#[utoipa::path(post, path = "/v1/access/check", operation_id = "checkAccess", tag = "access",
    request_body(content = AccessRequest, example = json!({"principal": {"kind": "user",
        "name": "ada@example.com", "groups": ["shop-devs"]}, "verb": "read",
        "scope": "shop.prod.api", "secret": "DATABASE_URL"})),
    responses((status = 200, description = "The answer", body = AccessAnswer)))]
pub(in crate::api) async fn check(
    State(app): State<Arc<AppState>>,
    unauthenticated: Unauthenticated,
    request: UnreadRequest,
) -> Result<Response, ApiError> {
    let auth = unauthenticated.authenticate(&app).await?;
    let Object(asked): Object<AccessRequest> = request.parse().await?;
    let AccessRequest { principal, verb: word, scope, secret } = asked;
    let target = target(scope.as_ref(), secret.as_ref())?;
    let verb = verb_of(word);
    let other = match principal {
        Some(principal) => {
            check_form(&principal)?;
            Some(principal).filter(|it| !is_caller(&auth, it))
        }
        None => None,
    };
    let found = match other {
        None => Answer::about_caller(&auth, verb, target),
        Some(principal) => about(&app, &auth, principal, verb, target).await?,
    };
    let Answer { principal, groups_from, verdict } = found;
    let Verdict { allowed, rule, bundle, remedy } = verdict;
    let at = Timestamp::now();
    json(&AccessAnswer {
        principal,
        groups_from,
        verb: word,
        scope,
        secret,
        allowed,
        rule,
        bundle,
        remedy,
        at,
    })
}

/// The answer, and whom it is about.
struct Answer {
    principal: AccessPrincipal,
    groups_from: Option<GroupSource>,
    verdict: Verdict,
}

impl Answer {
    fn about_caller(auth: &Authenticated, verb: Verb, target: Target<'_>) -> Self {
        let principal = &auth.principal;
        let (kind, groups_from) = match principal.kind {
            PrincipalKind::User => (AccessKind::User, Some(GroupSource::Session)),
            PrincipalKind::Token => (AccessKind::Token, None),
            PrincipalKind::ServiceAccount => (AccessKind::ServiceAccount, None),
            PrincipalKind::Workload => (AccessKind::Workload, None),
        };
        let (name, groups) = (principal.name.clone(), principal.groups.clone());
        Self {
            principal: AccessPrincipal { kind, name, groups },
            groups_from,
            verdict: Verdict::of_principal(principal, verb, target),
        }
    }
}

/// The answer about somebody else, for a caller that may grant in the scope. The event of the
/// question is written before the answer leaves.
async fn about(
    app: &AppState,
    auth: &Authenticated,
    principal: AccessPrincipal,
    verb: Verb,
    target: Target<'_>,
) -> Result<Answer, ApiError> {
    let printed = printed(&principal);
    let missing = async || {
        let scope = target.scope().map(ToString::to_string);
        let detail = format!("there is no {printed} whose access to {target} you may see");
        auth.not_found(app, (ResourceKind::Grant, sanitize(&printed)), scope, detail).await
    };
    let Ok(asked_by) = decide(&auth.principal, Verb::Grant, whole(target)) else {
        return Err(missing().await);
    };
    let answer = match principal.kind {
        AccessKind::User => of_person(app, auth, principal, verb, target).await?,
        AccessKind::Group => {
            let groups = [principal.name.clone()];
            let members = app.access.person("", &groups).await.map_err(SecretsError::from)?;
            let verdict = Verdict::of_group(&principal.name, &members, verb, target);
            Answer { principal, groups_from: None, verdict }
        }
        AccessKind::Token => {
            let row =
                app.repository.token_named(&principal.name).await.map_err(SecretsError::from)?;
            let Some(row) = row.filter(|row| is_known(auth, row, target)) else {
                return Err(missing().await);
            };
            let owner = app.access.principal(&row).await.map_err(SecretsError::from)?;
            let verdict = Verdict::of_principal(&owner, verb, target);
            Answer { principal, groups_from: None, verdict }
        }
        AccessKind::Workload => {
            if !app.access.has_workload_rule(&principal.name) {
                return Err(missing().await);
            }
            let jobs = app.access.workload("", std::slice::from_ref(&principal.name), None);
            let verdict = Verdict::of_principal(&jobs, verb, target);
            Answer { principal, groups_from: None, verdict }
        }
        AccessKind::ServiceAccount => {
            let (Some(scope), Some((namespace, name))) =
                (target.scope(), principal.name.split_once('/'))
            else {
                return Err(ApiError::malformed("name the scope that the pods are to read"));
            };
            let account = ServiceAccountRef { namespace, name };
            let verdict = app.access.pods_may(account, verb, scope, target.secret()).await;
            let verdict = verdict.map_err(SecretsError::from)?;
            Answer { principal, groups_from: None, verdict }
        }
    };
    record(app, auth, &printed, (verb, target), &answer.verdict, &asked_by.rule.to_string())
        .await?;
    Ok(answer)
}

async fn of_person(
    app: &AppState,
    auth: &Authenticated,
    principal: AccessPrincipal,
    verb: Verb,
    target: Target<'_>,
) -> Result<Answer, ApiError> {
    let AccessPrincipal { kind, name, groups } = principal;
    let sees_sessions = decide(&auth.principal, Verb::Token, Target::Everything).is_ok();
    let (groups, source) = if !groups.is_empty() {
        (groups, GroupSource::Request)
    } else if sees_sessions {
        let row = app.repository.newest_session(&name).await.map_err(SecretsError::from)?;
        match row.map(|it| it.subject) {
            Some(TokenSubject::Person { groups, .. }) => (groups, GroupSource::Session),
            _ => (groups, GroupSource::Unknown),
        }
    } else {
        (groups, GroupSource::Unknown)
    };
    let person = app.access.person(&name, &groups).await.map_err(SecretsError::from)?;
    let verdict = Verdict::of_principal(&person, verb, target);
    let principal = AccessPrincipal { kind, name, groups };
    Ok(Answer { principal, groups_from: Some(source), verdict })
}

/// Whether the caller may learn of a token: it sees it in a list, or the token has a role in what
/// the caller administers.
fn is_known(auth: &Authenticated, row: &TokenRow, target: Target<'_>) -> bool {
    let reaches = match &row.subject {
        TokenSubject::Program { scope, .. } => match (scope, target.scope()) {
            (None, _) => true,
            (Some(_), None) => false,
            (Some(within), Some(scope)) => within.contains(scope),
        },
        TokenSubject::Person { .. } | TokenSubject::Workload { .. } => false,
    };
    reaches || tokens::may_see(auth, row)
}

async fn record(
    app: &AppState,
    auth: &Authenticated,
    printed: &str,
    (verb, target): (Verb, Target<'_>),
    verdict: &Verdict,
    rule: &str,
) -> Result<(), ApiError> {
    let answer = if verdict.allowed { "may" } else { "may not" };
    let event = Event {
        actor: auth.caller.actor.clone(),
        action: Action::List,
        resource: Resource {
            kind: ResourceKind::Grant,
            id: sanitize(printed),
            scope: target.scope().map(ToString::to_string),
        },
        version: None,
        outcome: Outcome::Allowed,
        origin: auth.caller.origin.clone(),
        details: Some(sanitize(&format!("{answer} {} {target}; {rule}", verb.as_str()))),
    };
    app.audit.record(event).await.map_err(SecretsError::from)?;
    Ok(())
}

fn printed(principal: &AccessPrincipal) -> String {
    format!("{}:{}", principal.kind, principal.name)
}

/// Whether the caller asks about itself, with the rights that it has.
fn is_caller(auth: &Authenticated, asked: &AccessPrincipal) -> bool {
    let kind = match auth.principal.kind {
        PrincipalKind::User => AccessKind::User,
        PrincipalKind::Token => AccessKind::Token,
        PrincipalKind::ServiceAccount => AccessKind::ServiceAccount,
        PrincipalKind::Workload => AccessKind::Workload,
    };
    kind == asked.kind && auth.principal.name == asked.name && asked.groups.is_empty()
}

fn check_form(principal: &AccessPrincipal) -> Result<(), ApiError> {
    let AccessPrincipal { kind, name, groups } = principal;
    if *kind != AccessKind::User && !groups.is_empty() {
        return Err(ApiError::malformed("only a person has groups"));
    }
    if groups.len() > MAX_GROUPS {
        return Err(ApiError::malformed(format!(
            "{} groups are named; the maximum is {MAX_GROUPS}",
            groups.len()
        )));
    }
    if *kind == AccessKind::ServiceAccount && grants::namespace(name).is_none() {
        return Err(ApiError::malformed("the name of a service account is namespace/name"));
    }
    if groups.iter().chain([name]).all(|it| grants::is_visible_name(it)) {
        Ok(())
    } else {
        Err(ApiError::malformed(format!(
            "the name of the principal and of each group must be 1 to {} visible characters",
            grants::MAX_NAME_LENGTH
        )))
    }
}

fn target<'a>(
    scope: Option<&'a Scope>,
    secret: Option<&'a SecretName>,
) -> Result<Target<'a>, ApiError> {
    match (scope, secret) {
        (Some(scope), Some(secret)) => Ok(Target::Secret(scope, secret)),
        (scope, None) => Ok(Target::from_scope(scope)),
        (None, Some(_)) => Err(ApiError::malformed("name the scope of the secret")),
    }
}

/// The scope of a target: whoever may grant there sees what is granted.
fn whole(target: Target<'_>) -> Target<'_> {
    Target::from_scope(target.scope())
}

fn verb_of(word: AccessVerb) -> Verb {
    match word {
        AccessVerb::List => Verb::List,
        AccessVerb::Read => Verb::Read,
        AccessVerb::Write => Verb::Write,
        AccessVerb::Destroy => Verb::Destroy,
        AccessVerb::Grant => Verb::Grant,
        AccessVerb::Token => Verb::Token,
        AccessVerb::Audit => Verb::Audit,
        AccessVerb::Administer => Verb::Admin,
    }
}
