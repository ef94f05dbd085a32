//! `/v1/login`, `/v1/logout` and `/v1/whoami`: a person's ID token becomes a session of ours.

use std::sync::Arc;

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use contract::api::{Login, LoginRequest, Principal, RoleIn, Session};
use contract::credential::Credential;
use http::StatusCode;
use jiff::Timestamp;
use runtime::logs::ErrorChain;
use tokio::time::Instant;
use uuid::Uuid;

use super::App;
use super::answer::{json, wiped};
use super::problem::Refusal;
use super::request::{Asked, refused_credential};
use super::sent::Sent;
use super::small;
use crate::audit::{Action, Actor, Event, Outcome, Resource, ResourceKind};
use crate::identity::{Hash, LoginError, Oidc, generate};
use crate::policy;
use crate::repository::{NewToken, TokenRow, TokenSubject};
use crate::secrets::{SecretsError, author};

/// What everybody is told whose ID token is not taken, whatever is wrong with it.
const NOT_VALID: &str = "the ID token is not valid";

/// Ask how to log in
#[utoipa::path(get, path = "/v1/login", operation_id = "readLogin", tag = "login", security(()),
    responses((status = 200, description = "Where to get an ID token", body = Login)))]
pub(super) async fn how(State(app): State<Arc<App>>) -> Result<Response, Refusal> {
    let oidc = provider(&app)?;
    json(&Login {
        issuer: oidc.issuer().to_owned(),
        client_id: oidc.client().to_owned(),
        scopes: oidc.scopes().to_vec(),
    })
}

/// Log in
///
/// An ID token of the identity provider becomes a session. The answer is the only time that its
/// token is shown.
#[utoipa::path(post, path = "/v1/login", operation_id = "login", tag = "login", security(()),
    request_body = LoginRequest,
    responses((status = 200, description = "The session", body = Session)))]
pub(super) async fn login(
    State(app): State<Arc<App>>,
    asked: Asked,
    sent: Sent,
) -> Result<Response, Refusal> {
    let oidc = provider(&app)?;
    let LoginRequest { id_token, nonce } = small::read(sent).await?;
    let person = match oidc.identify(id_token.redacted(), nonce.as_deref()).await {
        Ok(person) => person,
        Err(LoginError::Unavailable(error)) => {
            tracing::error!(error = %ErrorChain(&error), "ID token not checked");
            return Err(Refusal::unavailable(
                "the identity provider's keys cannot be had, so nobody can log in",
            ));
        }
        Err(error) => {
            return Err(refused_credential(&app, asked.origin, NOT_VALID, &error.to_string()).await);
        }
    };
    let actor = Actor::User { name: person.name.clone() };
    // Each login is a row and an event, and one ID token would be good for any number of them.
    app.pace.take(&author(&actor), true, Instant::now()).map_err(Refusal::too_many)?;
    let token =
        generate().ok_or_else(|| Refusal::unavailable("the system has no random numbers"))?;
    let expires_at = Timestamp::now().checked_add(oidc.session()).unwrap_or(Timestamp::MAX);
    let new = NewToken {
        name: format!("session-{}", Uuid::new_v4().simple()),
        by: author(&actor),
        subject: TokenSubject::Person { name: person.name, groups: person.groups },
        hash: Hash::of(&token).as_bytes().to_owned(),
        expires_at: Some(expires_at),
    };
    let event = Event {
        actor,
        action: Action::Login,
        resource: Resource { kind: ResourceKind::Session, id: new.name.clone(), scope: None },
        version: None,
        outcome: Outcome::Allowed,
        origin: asked.origin,
        details: Some(format!("until {expires_at}")),
    };
    if !app.repository.add_token(&new, Some(&event)).await.map_err(SecretsError::from)? {
        return Err(Refusal::unavailable("the session's name is taken"));
    }
    let row = app.repository.token(&new.hash).await.map_err(SecretsError::from)?;
    let row = row.ok_or_else(|| Refusal::unavailable("the session ended before it began"))?;
    let principal = app.access.principal(&row).await.map_err(SecretsError::from)?;
    let internal = || Refusal::of_status(StatusCode::INTERNAL_SERVER_ERROR);
    let token = Credential::try_from(token).map_err(|_| internal())?;
    let session = Session { token, expires_at, principal: described(principal, &row) };
    Ok(wiped(session.to_body().map_err(|_| internal())?))
}

/// Log out
///
/// The session that asks is not valid from now on.
#[utoipa::path(post, path = "/v1/logout", operation_id = "logout", tag = "login",
    responses((status = 204, description = "The session ended")))]
pub(super) async fn logout(State(app): State<Arc<App>>, asked: Asked) -> Result<Response, Refusal> {
    let asker = asked.principal(&app).await?;
    if matches!(asker.token.subject, TokenSubject::Program { .. }) {
        let name = &asker.token.name;
        return Err(Refusal::malformed(format!(
            "{name} is a token and no session; revoke it with DELETE /v1/tokens/{name}"
        )));
    }
    let event = Event {
        actor: asker.caller.actor.clone(),
        action: Action::Logout,
        resource: Resource {
            kind: ResourceKind::Session,
            id: asker.token.name.clone(),
            scope: None,
        },
        version: None,
        outcome: Outcome::Allowed,
        origin: asker.caller.origin.clone(),
        details: None,
    };
    app.repository.revoke_token(asker.token.id, &event).await.map_err(SecretsError::from)?;
    Ok(StatusCode::NO_CONTENT.into_response())
}

/// Ask who is asking
#[utoipa::path(get, path = "/v1/whoami", operation_id = "whoami", tag = "login",
    responses((status = 200, description = "The principal and its roles", body = Principal)))]
pub(super) async fn whoami(State(app): State<Arc<App>>, asked: Asked) -> Result<Response, Refusal> {
    let asker = asked.principal(&app).await?;
    json(&described(asker.principal, &asker.token))
}

fn provider(app: &App) -> Result<&Oidc, Refusal> {
    app.oidc.as_ref().ok_or_else(|| {
        Refusal::not_found("nobody can log in here: switchyard has no --oidc-issuer; use a token, as 'enclii tokens create' makes them")
    })
}

fn described(principal: policy::Principal, row: &TokenRow) -> Principal {
    let policy::Principal { kind, name, groups, roles, permits: _ } = principal;
    let roles = roles
        .into_iter()
        .map(|it| RoleIn { role: it.role, scope: it.within.scope().cloned() })
        .collect();
    Principal { kind, name, groups, roles, expires_at: row.expires_at }
}
