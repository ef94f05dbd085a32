//! `/v1/tokens`: tokens of programs, and the sessions of people.

use std::sync::Arc;

use axum::extract::State;
use axum::extract::rejection::PathRejection;
use axum::extract::{FromRequestParts, Path};
use axum::response::{IntoResponse, Response};
use contract::api::{Access, Page, TokenCreated, TokenList, TokenName, TokenRequest, TokenSummary};
use contract::credential::Credential;
use http::StatusCode;
use http::request::Parts;
use jiff::{SignedDuration, Timestamp};

use super::App;
use super::answer::{json, wiped};
use super::problem::Refusal;
use super::request::{Asked, Asker};
use super::rows::Rows;
use super::sent::Sent;
use super::small;
use crate::audit::{Action, Event, Outcome, Resource, ResourceKind};
use crate::identity::{Hash, generate};
use crate::policy::{Principal, Target, Verb, decide};
use crate::repository::{NewToken, TokenRow, TokenSubject};
use crate::secrets::{SecretsError, author};

/// `/{name}`.
pub(super) struct Named(TokenName);

impl<S: Send + Sync> FromRequestParts<S> for Named {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Refusal> {
        let path: Result<Path<String>, PathRejection> =
            Path::from_request_parts(parts, state).await;
        let Path(text) = path.map_err(|_| Refusal::malformed("the path is not UTF-8"))?;
        text.parse().map(Self).map_err(|error| Refusal::malformed(format!("{error}")))
    }
}

/// List tokens
///
/// The valid ones that the caller may see, without the tokens themselves.
#[utoipa::path(get, path = "/v1/tokens", operation_id = "listTokens", tag = "tokens",
    params(Page),
    responses((status = 200, description = "The tokens", body = TokenList)))]
pub(super) async fn list(
    State(app): State<Arc<App>>,
    asked: Asked,
    rows: Result<Rows, Refusal>,
) -> Result<Response, Refusal> {
    let asker = asked.principal(&app).await?;
    let visible = |row: TokenRow| may_see(&asker, &row).then(|| summary(row)).flatten();
    let (tokens, next) = rows?
        .page(|after, limit| app.repository.tokens(after, limit), |row| row.id, visible)
        .await?;
    json(&TokenList { tokens, next })
}

/// Make a token
///
/// The answer is the only time that it is shown.
#[utoipa::path(post, path = "/v1/tokens", operation_id = "createToken", tag = "tokens",
    request_body(content = TokenRequest, example = json!({"name": "ci-deploy", "role": "developer", "scope": "shop.prod", "ttl_seconds": 3600})),
    responses((status = 201, description = "The token", body = TokenCreated)))]
pub(super) async fn create(
    State(app): State<Arc<App>>,
    asked: Asked,
    sent: Sent,
) -> Result<Response, Refusal> {
    let asker = asked.principal(&app).await?;
    let TokenRequest { name, role, scope, ttl_seconds } = small::read(sent).await?;
    let (shortest, longest) = (TokenRequest::MIN_TTL_SECONDS, TokenRequest::MAX_TTL_SECONDS);
    if !(shortest..=longest).contains(&ttl_seconds) {
        return Err(Refusal::malformed(format!(
            "ttl_seconds is {ttl_seconds}, and must be {shortest} to {longest}"
        )));
    }
    let target = Target::of(scope.as_ref());
    let rule = asker.may_hand_out(&app, Verb::Token, Access::from(role), target).await?;
    let expires_at = later(Timestamp::now(), ttl_seconds);
    asker.may_last(&app, target, expires_at).await?;
    let token =
        generate().ok_or_else(|| Refusal::unavailable("the system has no random numbers"))?;
    let new = NewToken {
        name: name.to_string(),
        subject: TokenSubject::Program { role, scope: scope.clone() },
        hash: Hash::of(&token).as_bytes().to_owned(),
        expires_at: Some(expires_at),
        by: author(&asker.caller.actor),
    };
    let place =
        scope.as_ref().map_or_else(|| "everywhere".to_owned(), |scope| format!("in {scope}"));
    let event = event(
        &asker,
        Action::Grant,
        new.name.clone(),
        &format!("role {role} {place} until {expires_at}; {rule}"),
    );
    if !app.repository.add_token(&new, Some(&event)).await.map_err(SecretsError::from)? {
        return Err(Refusal::conflict(format!(
            "there is a valid token {name}; revoke it first, or choose another name"
        )));
    }
    // It is hexadecimal digits behind letters.
    let token = Credential::try_from(token)
        .map_err(|_| Refusal::of_status(StatusCode::INTERNAL_SERVER_ERROR))?;
    let created = TokenCreated { token, name, role, scope, expires_at };
    let body =
        created.to_body().map_err(|_| Refusal::of_status(StatusCode::INTERNAL_SERVER_ERROR))?;
    Ok((StatusCode::CREATED, wiped(body)).into_response())
}

/// Revoke a token
///
/// It is not valid from now on.
#[utoipa::path(delete, path = "/v1/tokens/{name}", operation_id = "revokeToken", tag = "tokens",
    params(("name" = TokenName, Path)),
    responses((status = 204, description = "It was revoked")))]
pub(super) async fn revoke(
    State(app): State<Arc<App>>,
    asked: Asked,
    named: Result<Named, Refusal>,
) -> Result<Response, Refusal> {
    let asker = asked.principal(&app).await?;
    let Named(name) = named?;
    let missing = || Refusal::not_found(format!("there is no valid token {name}"));
    let row = app
        .repository
        .token_named(name.as_str())
        .await
        .map_err(SecretsError::from)?
        .ok_or_else(missing)?;
    let rule = if is_own(&asker, &row) {
        "own token".to_owned()
    } else {
        match &row.subject {
            TokenSubject::Program { role, scope } => {
                asker
                    .may_hand_out(
                        &app,
                        Verb::Token,
                        Access::from(*role),
                        Target::of(scope.as_ref()),
                    )
                    .await?
            }
            TokenSubject::Person { .. } => asker.may(&app, Verb::Token, Target::Everything).await?,
        }
    };
    let event = event(&asker, Action::Revoke, row.name.clone(), &rule);
    if !app.repository.revoke_token(row.id, &event).await.map_err(SecretsError::from)? {
        return Err(missing());
    }
    Ok(StatusCode::NO_CONTENT.into_response())
}

/// Whoever may make tokens in a place sees those of the place, and everybody sees their own.
fn may_see(asker: &Asker, row: &TokenRow) -> bool {
    let may = |principal: &Principal, target| decide(principal, Verb::Token, target).is_ok();
    let target = match &row.subject {
        TokenSubject::Program { scope, .. } => Target::of(scope.as_ref()),
        TokenSubject::Person { .. } => Target::Everything,
    };
    is_own(asker, row) || may(&asker.principal, target)
}

/// The token that asks, or another session of the same person.
fn is_own(asker: &Asker, row: &TokenRow) -> bool {
    let same_person = match (&asker.token.subject, &row.subject) {
        (TokenSubject::Person { name: one, .. }, TokenSubject::Person { name: other, .. }) => {
            one == other
        }
        _ => false,
    };
    same_person || asker.token.id == row.id
}

/// `None` where a name is none that the API gives, which only an operator's hand in the database
/// makes.
fn summary(row: TokenRow) -> Option<TokenSummary> {
    let kind = row.subject.kind();
    let (role, scope) = match row.subject {
        TokenSubject::Program { role, scope } => (Some(role), scope),
        TokenSubject::Person { .. } => (None, None),
    };
    Some(TokenSummary {
        name: row.name.parse().ok()?,
        kind,
        role,
        scope,
        created_at: row.created_at,
        created_by: row.created_by,
        expires_at: row.expires_at,
        last_used_at: row.last_used_at,
    })
}

pub(super) fn later(now: Timestamp, seconds: u64) -> Timestamp {
    let seconds = SignedDuration::from_secs(i64::try_from(seconds).unwrap_or(i64::MAX));
    now.checked_add(seconds).unwrap_or(Timestamp::MAX)
}

fn event(asker: &Asker, action: Action, name: String, details: &str) -> Event {
    Event {
        actor: asker.caller.actor.clone(),
        action,
        resource: Resource { kind: ResourceKind::Token, id: name, scope: None },
        version: None,
        outcome: Outcome::Allowed,
        origin: asker.caller.origin.clone(),
        details: Some(details.to_owned()),
    }
}
