//! `/v1/tokens`: lists, creates and revokes the tokens of programs and the sessions of people.

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

use super::json_request::UnreadRequest;
use super::page_by_id::PageById;
use super::response::{json, secret_json};
use crate::app::{ApiError, AppState, Authenticated, Unauthenticated};
use crate::audit::{Action, Event, Outcome, Resource, ResourceKind};
use crate::identity::{TokenHash, generate_token};
use crate::policy::{Principal, Target, Verb, decide};
use crate::repository::{NewToken, TokenRow, TokenSubject};
use crate::secrets::{SecretsError, author};

/// The parameter of `/{name}`.
pub(super) struct TokenNamePath(TokenName);

impl<S: Send + Sync> FromRequestParts<S> for TokenNamePath {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        let path: Result<Path<String>, PathRejection> =
            Path::from_request_parts(parts, state).await;
        let Path(text) = path.map_err(|_| ApiError::malformed("the path is not UTF-8"))?;
        text.parse().map(Self).map_err(|error| ApiError::malformed(format!("{error}")))
    }
}

/// List tokens
///
/// The valid tokens that the caller may see, without their secret part.
#[utoipa::path(get, path = "/v1/tokens", operation_id = "listTokens", tag = "tokens",
    params(Page),
    responses((status = 200, description = "The tokens", body = TokenList)))]
pub(super) async fn list(
    State(app): State<Arc<AppState>>,
    unauthenticated: Unauthenticated,
    page: Result<PageById, ApiError>,
) -> Result<Response, ApiError> {
    let auth = unauthenticated.authenticate(&app).await?;
    let visible = |row: TokenRow| may_see(&auth, &row).then(|| summary(row)).flatten();
    let (tokens, next) = page?
        .page(|after, limit| app.repository.tokens(after, limit), |row| row.id, visible)
        .await?;
    json(&TokenList { tokens, next })
}

/// Create a token
///
/// The response is the only time that the token is shown.
#[utoipa::path(post, path = "/v1/tokens", operation_id = "createToken", tag = "tokens",
    request_body(content = TokenRequest,
        example = json!({"name": "ci-deploy", "role": "developer",
            "scope": "shop.prod", "ttl_seconds": 3600})),
    responses((status = 201, description = "The token", body = TokenCreated)))]
pub(super) async fn create(
    State(app): State<Arc<AppState>>,
    unauthenticated: Unauthenticated,
    request: UnreadRequest,
) -> Result<Response, ApiError> {
    let auth = unauthenticated.authenticate(&app).await?;
    let TokenRequest { name, role, scope, ttl_seconds } = request.parse().await?;
    let (min, max) = (TokenRequest::MIN_TTL_SECONDS, TokenRequest::MAX_TTL_SECONDS);
    if !(min..=max).contains(&ttl_seconds) {
        return Err(ApiError::malformed(format!(
            "ttl_seconds is {ttl_seconds} and must be {min} to {max}"
        )));
    }
    let target = Target::from_scope(scope.as_ref());
    let rule = auth.authorize_delegation(&app, Verb::Token, Access::from(role), target).await?;
    let expires_at = after_seconds(Timestamp::now(), ttl_seconds);
    auth.authorize_lifetime(&app, target, expires_at).await?;
    let token = generate_token()
        .ok_or_else(|| ApiError::unavailable("the system has no source of randomness"))?;
    let new = NewToken {
        name: name.to_string(),
        subject: TokenSubject::Program { role, scope: scope.clone() },
        hash: TokenHash::of(&token).as_bytes().to_owned(),
        expires_at: Some(expires_at),
        by: author(&auth.caller.actor),
    };
    let reach =
        scope.as_ref().map_or_else(|| "everywhere".to_owned(), |scope| format!("in {scope}"));
    let event = event(
        &auth,
        Action::Grant,
        new.name.clone(),
        &format!("role {role} {reach} until {expires_at}; {rule}"),
    );
    if !app.repository.add_token(&new, Some(&event)).await.map_err(SecretsError::from)? {
        return Err(ApiError::conflict(format!(
            "token {name} already exists; revoke it first or choose another name"
        )));
    }
    // A generated token is always a valid credential.
    let token = Credential::try_from(token)
        .map_err(|_| ApiError::from_status(StatusCode::INTERNAL_SERVER_ERROR))?;
    let created = TokenCreated { token, name, role, scope, expires_at };
    let body =
        created.to_body().map_err(|_| ApiError::from_status(StatusCode::INTERNAL_SERVER_ERROR))?;
    Ok((StatusCode::CREATED, secret_json(body)).into_response())
}

/// Revoke a token
///
/// The token is no longer valid.
#[utoipa::path(delete, path = "/v1/tokens/{name}", operation_id = "revokeToken", tag = "tokens",
    params(("name" = TokenName, Path)),
    responses((status = 204, description = "The token was revoked")))]
pub(super) async fn revoke(
    State(app): State<Arc<AppState>>,
    unauthenticated: Unauthenticated,
    path: Result<TokenNamePath, ApiError>,
) -> Result<Response, ApiError> {
    let auth = unauthenticated.authenticate(&app).await?;
    let TokenNamePath(name) = path?;
    let missing = || ApiError::not_found(format!("no valid token is named {name}"));
    let row = app
        .repository
        .token_named(name.as_str())
        .await
        .map_err(SecretsError::from)?
        .ok_or_else(missing)?;
    let rule = if is_own(&auth, &row) {
        "own token".to_owned()
    } else {
        match &row.subject {
            TokenSubject::Program { role, scope } => {
                auth.authorize_delegation(
                    &app,
                    Verb::Token,
                    Access::from(*role),
                    Target::from_scope(scope.as_ref()),
                )
                .await?
            }
            TokenSubject::Person { .. } => {
                auth.authorize(&app, Verb::Token, Target::Everything).await?
            }
        }
    };
    let event = event(&auth, Action::Revoke, row.name.clone(), &rule);
    if !app.repository.revoke_token(row.id, &event).await.map_err(SecretsError::from)? {
        return Err(missing());
    }
    Ok(StatusCode::NO_CONTENT.into_response())
}

/// A principal sees its own tokens and those of the scopes in which it may create tokens.
fn may_see(auth: &Authenticated, row: &TokenRow) -> bool {
    let may = |principal: &Principal, target| decide(principal, Verb::Token, target).is_ok();
    let target = match &row.subject {
        TokenSubject::Program { scope, .. } => Target::from_scope(scope.as_ref()),
        TokenSubject::Person { .. } => Target::Everything,
    };
    is_own(auth, row) || may(&auth.principal, target)
}

/// Whether the row is the caller's token, or another session of the same person.
fn is_own(auth: &Authenticated, row: &TokenRow) -> bool {
    let same_person = match (&auth.token.subject, &row.subject) {
        (TokenSubject::Person { name: one, .. }, TokenSubject::Person { name: other, .. }) => {
            one == other
        }
        _ => false,
    };
    same_person || auth.token.id == row.id
}

/// `None` if the name is not valid in the API, which happens only to rows that were inserted by
/// hand.
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

fn after_seconds(now: Timestamp, seconds: u64) -> Timestamp {
    let seconds = SignedDuration::from_secs(i64::try_from(seconds).unwrap_or(i64::MAX));
    now.checked_add(seconds).unwrap_or(Timestamp::MAX)
}

fn event(auth: &Authenticated, action: Action, name: String, details: &str) -> Event {
    Event {
        actor: auth.caller.actor.clone(),
        action,
        resource: Resource { kind: ResourceKind::Token, id: name, scope: None },
        version: None,
        outcome: Outcome::Allowed,
        origin: auth.caller.origin.clone(),
        details: Some(details.to_owned()),
    }
}
