//! `/v1/tokens`: lists, creates and revokes the tokens of programs and the sessions of people.

use std::sync::Arc;

use axum::extract::State;
use axum::extract::rejection::PathRejection;
use axum::extract::{FromRequestParts, Path};
use axum::response::{IntoResponse, Response};
use contract::api::{Access, Page, TokenCreated, TokenList, TokenName, TokenRequest, TokenSummary};
use contract::credential::Credential;
use contract::{Redacted, Scope};
use http::request::Parts;
use http::{StatusCode, Uri};
use jiff::{SignedDuration, Timestamp};

use super::json_request::UnreadRequest;
use super::page::{after, cursor, limit, query};
use super::response::{json, mark_replayed, replay_or_fail, secret_json, stored_answer};
use super::visible_page::visible_page;
use super::{kept_token, list_event};
use crate::app::{ApiError, AppState, Authenticated, Unauthenticated};
use crate::audit::{Action, Event, Outcome, Resource, ResourceKind};
use crate::identity::{TokenHash, generate_token};
use crate::policy::{Principal, Target, Verb, decide};
use crate::repository::{
    ChangeError, Idempotency, KeptResponse, NewToken, TokenAdded, TokenRow, TokenSubject,
};
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
    uri: Uri,
) -> Result<Response, ApiError> {
    let auth = unauthenticated.authenticate(&app).await?;
    let page: Page = query(&uri, "limit=<1 to 1000> and cursor=<next of the previous page>")?;
    let from: Option<u64> = after("tokens", page.cursor.as_deref())?;
    let (tokens, last) = visible_page(
        from,
        limit(page.limit)?,
        |after, limit| app.repository.tokens(after.unwrap_or_default(), limit),
        |row| row.id,
        |row| may_see(&auth, &row).then(|| summary(row)).flatten(),
    )
    .await?;
    let next = last.map(|id| cursor("tokens", &id.to_string()));
    let resource = (ResourceKind::Token, "tokens".to_owned());
    list_event::record(&app, auth.caller, resource, None, tokens.len(), "what is visible").await?;
    json(&TokenList { tokens, next })
}

/// Create a token
///
/// The response is the only time that the token is shown, except to a request that repeats this one
/// with its idempotency key and its credential.
#[utoipa::path(post, path = "/v1/tokens", operation_id = "createToken", tag = "tokens",
    params(("Idempotency-Key" = Option<String>, Header, description = "A request that is sent \
        again with the same key within 24 hours is carried out once")),
    request_body(content = TokenRequest,
        example = json!({"name": "ci-deploy", "role": "developer",
            "scope": "shop.prod", "ttl_seconds": 3600})),
    responses((status = 201, description = "The token", body = TokenCreated)))]
pub(super) async fn create(
    State(app): State<Arc<AppState>>,
    unauthenticated: Unauthenticated,
    request: UnreadRequest,
) -> Result<Response, ApiError> {
    let credential = unauthenticated.token.clone().unwrap_or_default();
    let auth = unauthenticated.authenticate(&app).await?;
    auth.authorize_somewhere(&app, Verb::Token).await?;
    let (asked, request): (TokenRequest, _) = request.parse_small().await?;
    let TokenRequest { name, role, scope, ttl_seconds } = asked;
    let (min, max) = (TokenRequest::MIN_TTL_SECONDS, TokenRequest::MAX_TTL_SECONDS);
    if !(min..=max).contains(&ttl_seconds) {
        return Err(ApiError::malformed(format!(
            "ttl_seconds is {ttl_seconds} and must be {min} to {max}"
        )));
    }
    let target = Target::from_scope(scope.as_ref());
    let (rule, until) =
        auth.authorize_delegation(&app, Verb::Token, Access::from(role), target).await?;
    let idempotency = request.idempotency(&auth)?;
    if let Some(request) = &idempotency
        && let Some(kept) = app.repository.stored_response(request).await.map_err(refused)?
    {
        return replay(&credential, request, &kept);
    }
    let expires_at = after_seconds(Timestamp::now(), ttl_seconds);
    auth.authorize_lifetime(&app, Verb::Token, target, until, expires_at).await?;
    let token = generate_token().ok_or_else(no_randomness)?;
    let hash = TokenHash::of(&token).as_bytes().to_owned();
    // A generated token is always a valid credential.
    let token = Credential::try_from(token).map_err(|_| internal())?;
    let created =
        TokenCreated { token, name: name.clone(), role, scope: scope.clone(), expires_at };
    let body = created.to_body().map_err(|_| internal())?;
    let kept = match idempotency.clone() {
        Some(request) => {
            let response =
                kept_token::seal(&credential, &request, &body).ok_or_else(no_randomness)?;
            Some(KeptResponse { request, response })
        }
        None => None,
    };
    let reach =
        scope.as_ref().map_or_else(|| "everywhere".to_owned(), |scope| format!("in {scope}"));
    let details = format!("role {role} {reach} until {expires_at}; {rule}");
    let event = event(&auth, Action::Grant, name.to_string(), scope.as_ref(), &details);
    let new = NewToken {
        name: name.to_string(),
        subject: TokenSubject::Program { role, scope },
        hash,
        expires_at: Some(expires_at),
        by: author(&auth.caller.actor),
        id_token: None,
        kept,
    };
    match (app.repository.add_token(&new, &event).await, &idempotency) {
        (Ok(TokenAdded::Added), _) => Ok((StatusCode::CREATED, secret_json(body)).into_response()),
        (Ok(TokenAdded::NameTaken | TokenAdded::IdTokenEnded), _) => {
            Err(ApiError::name_taken(format!(
                "a valid token is named {name} already; revoke it first (enclii tokens revoke \
                 {name}) or choose another name"
            )))
        }
        (Err(ChangeError::Replayed(kept)), Some(request)) => replay(&credential, request, &kept),
        (Err(error), _) => Err(refused(error)),
    }
}

/// The kept response, which opens for the credential that created the token.
fn replay(credential: &Redacted, request: &Idempotency, kept: &str) -> Result<Response, ApiError> {
    let body = kept_token::open(credential, request, kept).ok_or_else(|| {
        ApiError::conflict(
            "the request was carried out in another session, and its token is not shown again; \
             revoke it and create another one",
        )
    })?;
    Ok(mark_replayed((StatusCode::CREATED, secret_json(body)).into_response()))
}

fn refused(error: ChangeError) -> ApiError {
    SecretsError::from(error).into()
}

fn internal() -> ApiError {
    ApiError::from_status(StatusCode::INTERNAL_SERVER_ERROR)
}

fn no_randomness() -> ApiError {
    ApiError::unavailable("the system has no source of randomness")
}

/// Revoke a token
///
/// The token is no longer valid. Whoever ends the session of a person needs each role of that
/// person.
#[utoipa::path(delete, path = "/v1/tokens/{name}", operation_id = "revokeToken", tag = "tokens",
    params(
        ("name" = TokenName, Path),
        ("Idempotency-Key" = Option<String>, Header, description = "A request that is sent again \
            with the same key within 24 hours is carried out once"),
    ),
    responses((status = 204, description = "The token was revoked")))]
pub(super) async fn revoke(
    State(app): State<Arc<AppState>>,
    unauthenticated: Unauthenticated,
    path: Result<TokenNamePath, ApiError>,
    request: UnreadRequest,
) -> Result<Response, ApiError> {
    let auth = unauthenticated.authenticate(&app).await?;
    let TokenNamePath(name) = path?;
    let idempotency = request.without_body().idempotency(&auth)?;
    if let Some(answer) = stored_answer(&app, idempotency.as_ref(), StatusCode::NO_CONTENT).await? {
        return Ok(answer);
    }
    let found = app.repository.token_named(name.as_str()).await.map_err(SecretsError::from)?;
    let scope = found.as_ref().and_then(|row| row.subject.scope()).cloned();
    let missing = async || {
        let resource = (ResourceKind::Token, name.to_string());
        let detail = format!("no valid token is named {name}");
        auth.not_found(&app, resource, scope.as_ref().map(ToString::to_string), detail).await
    };
    let Some(row) = found.filter(|row| may_see(&auth, row)) else { return Err(missing().await) };
    let rule = authorize_revocation(&app, &auth, &row).await?;
    let event = event(&auth, Action::Revoke, row.name.clone(), scope.as_ref(), &rule);
    let kept = idempotency.map(|request| KeptResponse { request, response: String::new() });
    match app.repository.revoke_token(row.id, &event, kept.as_ref()).await {
        Ok(true) => Ok(StatusCode::NO_CONTENT.into_response()),
        Ok(false) => Err(missing().await),
        Err(error) => replay_or_fail(error, StatusCode::NO_CONTENT),
    }
}

/// The rule by which the caller may revoke a token that it sees.
async fn authorize_revocation(
    app: &AppState,
    auth: &Authenticated,
    row: &TokenRow,
) -> Result<String, ApiError> {
    if is_own(auth, row) {
        return Ok("own token".to_owned());
    }
    match &row.subject {
        TokenSubject::Program { role, scope } => {
            let target = Target::from_scope(scope.as_ref());
            let access = Access::from(*role);
            Ok(auth.authorize_delegation(app, Verb::Token, access, target).await?.0)
        }
        TokenSubject::Person { .. } | TokenSubject::Workload { .. } => {
            let person = app.access.principal(row).await.map_err(SecretsError::from)?;
            auth.authorize_session_end(app, &person).await
        }
    }
}

/// A principal sees its own tokens and those of the scopes in which it may create tokens.
pub(super) fn may_see(auth: &Authenticated, row: &TokenRow) -> bool {
    let may = |principal: &Principal, target| decide(principal, Verb::Token, target).is_ok();
    let target = Target::from_scope(row.subject.scope());
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
        TokenSubject::Person { .. } | TokenSubject::Workload { .. } => (None, None),
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

fn event(
    auth: &Authenticated,
    action: Action,
    name: String,
    scope: Option<&Scope>,
    details: &str,
) -> Event {
    Event {
        actor: auth.caller.actor.clone(),
        action,
        resource: Resource {
            kind: ResourceKind::Token,
            id: name,
            scope: scope.map(ToString::to_string),
        },
        version: None,
        outcome: Outcome::Allowed,
        origin: auth.caller.origin.clone(),
        details: Some(details.to_owned()),
    }
}
