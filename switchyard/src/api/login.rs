//! `/v1/login`, `/v1/logout` and `/v1/whoami`: exchanges a person's ID token for a session.
//! `workload_login` does so for a job's.

use std::sync::Arc;

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use contract::api::{Login, LoginRequest, Principal, RoleIn, Session};
use contract::credential::Credential;
use http::StatusCode;
use jiff::{SignedDuration, Timestamp};
use runtime::logs::ErrorChain;
use tokio::time::Instant;
use uuid::Uuid;

use super::json_request::UnreadRequest;
use super::response::{json, secret_json};
use crate::app::{ApiError, AppState, Unauthenticated};
use crate::audit::{Action, Actor, Event, Origin, Outcome, Resource, ResourceKind, sanitize};
use crate::identity::{IdentifiedPerson, LoginError, OidcProvider, TokenHash, generate_token};
use crate::policy;
use crate::repository::{IdTokenRef, NewToken, TokenAdded, TokenRow, TokenSubject};
use crate::secrets::{SecretsError, author};

/// The error for every ID token that is refused. The audit log has the reason.
const INVALID_ID_TOKEN: &str = "the ID token is not valid";

/// The most roles that the event of a login names.
const MAX_ROLES_SHOWN: usize = 10;

/// Read how to log in
#[utoipa::path(get, path = "/v1/login", operation_id = "readLogin", tag = "login", security(()),
    responses((status = 200, description = "Where to get an ID token", body = Login)))]
pub(super) async fn read(State(app): State<Arc<AppState>>) -> Result<Response, ApiError> {
    let oidc = provider(&app)?;
    json(&Login {
        issuer: oidc.issuer().to_owned(),
        client_id: oidc.client_id().to_owned(),
        scopes: oidc.scopes().to_vec(),
    })
}

/// Log in
///
/// Exchanges an ID token of the identity provider for a session. The response is the only time that
/// the session's token is shown.
#[utoipa::path(post, path = "/v1/login", operation_id = "login", tag = "login", security(()),
    request_body = LoginRequest,
    responses((status = 200, description = "The session", body = Session)))]
pub(super) async fn login(
    State(app): State<Arc<AppState>>,
    unauthenticated: Unauthenticated,
    request: UnreadRequest,
) -> Result<Response, ApiError> {
    let oidc = provider(&app)?;
    let LoginRequest { id_token, nonce } = request.parse().await?;
    let IdentifiedPerson { person, id_token } =
        match oidc.identify(id_token.redacted(), nonce.as_deref()).await {
            Ok(identified) => identified,
            Err(LoginError::Unavailable(error)) => {
                tracing::error!(error = %ErrorChain(&error), "check ID token");
                return Err(ApiError::unavailable(
                    "the keys of the identity provider cannot be fetched, so nobody can log in",
                ));
            }
            Err(error) => {
                let (origin, reason) = (unauthenticated.origin, error.to_string());
                return Err(refused(&app, origin, &reason).await);
            }
        };
    let actor = Actor::User { name: person.name.clone() };
    let subject = TokenSubject::Person { name: person.name, groups: person.groups };
    let ttl = oidc.session_ttl();
    let (notes, refusal) = (String::new(), INVALID_ID_TOKEN);
    let login = NewSession { actor, subject, ttl, id_token, notes, refusal };
    start_session(&app, unauthenticated.origin, login).await
}

/// A session to make from a valid ID token.
pub(super) struct NewSession {
    pub(super) actor: Actor,
    pub(super) subject: TokenSubject,
    /// How long it lasts.
    pub(super) ttl: SignedDuration,
    pub(super) id_token: IdTokenRef,
    /// What the event says beside the roles.
    pub(super) notes: String,
    /// The error for an ID token whose session was ended.
    pub(super) refusal: &'static str,
}

/// Makes a session, with the event of the login.
pub(super) async fn start_session(
    app: &AppState,
    origin: Origin,
    login: NewSession,
) -> Result<Response, ApiError> {
    let NewSession { actor, subject, ttl, id_token, notes, refusal } = login;
    // Each login writes a row and an event, and one ID token can be sent any number of times.
    app.rate_limiter
        .take(&author(&actor), true, Instant::now())
        .map_err(ApiError::too_many_requests)?;
    let token = generate_token()
        .ok_or_else(|| ApiError::unavailable("the system has no source of randomness"))?;
    let expires_at = Timestamp::now().checked_add(ttl).unwrap_or(Timestamp::MAX);
    let principal = match &subject {
        TokenSubject::Person { name, groups } => {
            app.access.person(name, groups).await.map_err(SecretsError::from)?
        }
        TokenSubject::Workload { name, rules } => {
            app.access.workload(name, rules, Some(expires_at))
        }
        TokenSubject::Program { .. } => {
            return Err(ApiError::from_status(StatusCode::INTERNAL_SERVER_ERROR));
        }
    };
    let new = NewToken {
        name: format!("session-{}", Uuid::new_v4().simple()),
        by: author(&actor),
        subject,
        hash: TokenHash::of(&token).as_bytes().to_owned(),
        expires_at: Some(expires_at),
        id_token: Some(id_token),
        kept: None,
    };
    let event = Event {
        actor,
        action: Action::Login,
        resource: Resource { kind: ResourceKind::Session, id: new.name.clone(), scope: None },
        version: None,
        outcome: Outcome::Allowed,
        origin: origin.clone(),
        details: Some(sanitize(&format!("until {expires_at:.0}; {notes}{}", rights(&principal)))),
    };
    match app.repository.add_token(&new, &event).await.map_err(SecretsError::from)? {
        TokenAdded::Added => {}
        TokenAdded::NameTaken => {
            return Err(ApiError::unavailable("the name of the session is taken"));
        }
        TokenAdded::IdTokenEnded => {
            let reason = "a session of the ID token was ended; a new login needs a new one";
            return Err(ApiError::rejected_credential(app, origin, refusal, reason).await);
        }
    }
    let row = app.repository.token(&new.hash).await.map_err(SecretsError::from)?;
    let row = row.ok_or_else(|| ApiError::unavailable("the session was revoked at once"))?;
    let internal = || ApiError::from_status(StatusCode::INTERNAL_SERVER_ERROR);
    let token = Credential::try_from(token).map_err(|_| internal())?;
    let session = Session { token, expires_at, principal: describe(principal, &row) };
    Ok(secret_json(session.to_body().map_err(|_| internal())?))
}

async fn refused(app: &AppState, origin: Origin, reason: &str) -> ApiError {
    ApiError::rejected_credential(app, origin, INVALID_ID_TOKEN, reason).await
}

/// The roles that a login brings, for the audit log.
fn rights(principal: &policy::Principal) -> String {
    let shown = principal.roles.iter().take(MAX_ROLES_SHOWN).map(ToString::to_string);
    let roles: Vec<String> = shown.collect();
    let more = principal.roles.len() - roles.len();
    match (roles.is_empty(), more) {
        (true, _) => "no role".to_owned(),
        (false, 0) => roles.join(" and "),
        (false, more) => format!("{} and {more} more", roles.join(" and ")),
    }
}

/// Log out
///
/// Ends the caller's session. The ID token that it was made from makes no other one.
#[utoipa::path(post, path = "/v1/logout", operation_id = "logout", tag = "login",
    responses((status = 204, description = "The session ended")))]
pub(super) async fn logout(
    State(app): State<Arc<AppState>>,
    unauthenticated: Unauthenticated,
) -> Result<Response, ApiError> {
    let auth = unauthenticated.authenticate(&app).await?;
    if matches!(auth.token.subject, TokenSubject::Program { .. }) {
        let name = &auth.token.name;
        return Err(ApiError::malformed(format!(
            "{name} is a token, not a session; revoke it with DELETE /v1/tokens/{name}"
        )));
    }
    let event = Event {
        actor: auth.caller.actor.clone(),
        action: Action::Logout,
        resource: Resource {
            kind: ResourceKind::Session,
            id: auth.token.name.clone(),
            scope: None,
        },
        version: None,
        outcome: Outcome::Allowed,
        origin: auth.caller.origin.clone(),
        details: None,
    };
    app.repository.revoke_token(auth.token.id, &event, None).await.map_err(SecretsError::from)?;
    Ok(StatusCode::NO_CONTENT.into_response())
}

/// Read the caller's principal
#[utoipa::path(get, path = "/v1/whoami", operation_id = "whoami", tag = "login",
    responses((status = 200, description = "The principal and its roles", body = Principal)))]
pub(super) async fn whoami(
    State(app): State<Arc<AppState>>,
    unauthenticated: Unauthenticated,
) -> Result<Response, ApiError> {
    let auth = unauthenticated.authenticate(&app).await?;
    json(&describe(auth.principal, &auth.token))
}

fn provider(app: &AppState) -> Result<&OidcProvider, ApiError> {
    app.oidc.as_ref().ok_or_else(|| {
        ApiError::not_found(
            "login is not configured: switchyard has no --oidc-issuer; use a token of \
             'enclii tokens create'",
        )
    })
}

fn describe(principal: policy::Principal, row: &TokenRow) -> Principal {
    let policy::Principal { kind, name, groups, roles, grants: _ } = principal;
    let roles = roles
        .into_iter()
        .map(|it| RoleIn { role: it.role, scope: it.within.scope().cloned() })
        .collect();
    Principal { kind, name, groups, roles, expires_at: row.expires_at }
}
