//! What every request has: a trace id, an origin, and one who asks.

use std::convert::Infallible;

use axum::extract::{FromRequestParts, Request};
use axum::middleware::Next;
use axum::response::Response;
use contract::Redacted;
use http::header::{CACHE_CONTROL, USER_AGENT};
use http::request::Parts;
use http::{HeaderName, HeaderValue, StatusCode};
use runtime::logs::Chain;
use runtime::tls::PeerAddr;
use uuid::Uuid;

use super::App;
use super::problem::{KEPT, Refusal};
use crate::audit::{Action, Actor, Event, Origin, Outcome, Resource, ResourceKind, plain};
use crate::identity::{TokensError, bearer};
use crate::secrets::Caller;

const TRACE: HeaderName = HeaderName::from_static("trace-id");

/// Gives a request its trace id, and turns whatever is refused into a problem document.
pub(super) async fn frame(mut request: Request, next: Next) -> Response {
    let trace = Uuid::new_v4().simple().to_string();
    let origin = Origin {
        address: request.extensions().get::<PeerAddr>().map(|peer| peer.0.ip()),
        user_agent: request.headers().get(USER_AGENT).map(|agent| plain(&String::from_utf8_lossy(agent.as_bytes()))),
        trace_id: Some(trace.clone()),
    };
    let (method, path) = (request.method().clone(), plain(request.uri().path()));
    request.extensions_mut().insert(origin);
    let response = next.run(request).await;
    let status = response.status();
    tracing::debug!(trace, %method, path, status = status.as_u16(), "request");
    let mut response = match status {
        status if status.is_client_error() || status.is_server_error() => refused(response, &trace),
        _ => response,
    };
    if let Ok(value) = HeaderValue::from_str(&trace) {
        response.headers_mut().insert(TRACE, value);
    }
    // No answer of this API is anybody else's to keep.
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

fn refused(mut response: Response, trace: &str) -> Response {
    let status = response.status();
    let refusal = response.extensions_mut().remove::<Refusal>().unwrap_or_else(|| Refusal::of_status(status));
    // A stranger can be refused as often as it likes, and fills no log with that.
    if refusal.status() != StatusCode::UNAUTHORIZED {
        tracing::info!(trace, status = refusal.status().as_u16(), reason = refusal.detail(), "request refused");
    }
    let mut answer = refusal.answer(trace);
    if let Some(kept) = response.headers_mut().remove(KEPT) {
        answer.headers_mut().insert(KEPT, kept);
    }
    answer
}

/// The origin and the credential of a request, as they came.
pub(crate) struct Asked {
    pub(crate) origin: Origin,
    pub(crate) token: Option<Redacted>,
}

impl<S: Sync> FromRequestParts<S> for Asked {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        Ok(Self { origin: parts.extensions.get().cloned().unwrap_or_default(), token: bearer(&parts.headers) })
    }
}

impl Asked {
    /// The administrator who asks.
    pub(super) async fn administrator(self, app: &App) -> Result<Caller, Refusal> {
        let Self { origin, token } = self;
        let Some(token) = token else {
            return Err(Refusal::unauthenticated("send the header 'Authorization: Bearer <token>'"));
        };
        match app.tokens.identify(&token).await {
            Ok(name) => Ok(Caller { actor: Actor::Token { name }, origin }),
            Err(TokensError::Unknown) => Err(unauthenticated(app, origin, "the token is not valid").await),
            Err(error) => {
                tracing::error!(error = %Chain(&error), "token not checked");
                Err(Refusal::unavailable("the token cannot be checked"))
            }
        }
    }
}

/// Refuses a credential, and writes that down.
pub(crate) async fn unauthenticated(app: &App, origin: Origin, reason: &str) -> Refusal {
    let event = Event {
        actor: Actor::Anonymous,
        action: Action::Login,
        resource: Resource { kind: ResourceKind::Api, id: "api".to_owned(), scope: None },
        version: None,
        outcome: Outcome::Denied,
        origin,
        details: Some(reason.to_owned()),
    };
    if app.strangers.note()
        && let Err(error) = app.audit.record(event).await
    {
        tracing::error!(error = %Chain(&error), "refused credential not written down");
    }
    Refusal::unauthenticated(reason)
}
