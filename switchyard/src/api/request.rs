//! What every request has: a trace id, an origin, and one who asks.

use std::convert::Infallible;
use std::time::Duration;

use axum::extract::{FromRequestParts, Request};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use contract::api::{Access, PrincipalKind};
use contract::{Redacted, Scope};
use http::header::{CACHE_CONTROL, EXPECT, USER_AGENT};
use http::request::Parts;
use http::{HeaderName, HeaderValue, StatusCode};
use jiff::Timestamp;
use runtime::logs::ErrorChain;
use runtime::tls::PeerAddr;
use tokio::time::Instant;
use uuid::Uuid;

use super::App;
use super::path::OneSecret;
use super::problem::{KEPT, Refusal};
use super::rest::Rest;
use crate::audit::{Action, Actor, Event, Origin, Outcome, Resource, ResourceKind, sanitize};
use crate::identity::{TokensError, bearer};
use crate::policy::{self, Allowed, Denied, Principal, Target, Verb, Which};
use crate::repository::TokenRow;
use crate::secrets::{Caller, author};

/// A path of ours with its query is far shorter.
const LONGEST_URI: usize = 8 << 10;

/// From the head of a request to the head of its answer: more than a body and a store's own tries
/// take together. What waits longer waits for a disk or a database that does not answer at all.
const DEADLINE: Duration = Duration::from_secs(60);

const TRACE: HeaderName = HeaderName::from_static("trace-id");

/// Gives a request its trace id, and turns whatever is refused into a problem document.
pub(super) async fn frame(mut request: Request, next: Next) -> Response {
    let trace = Uuid::new_v4().simple().to_string();
    let origin = Origin {
        address: request.extensions().get::<PeerAddr>().map(|peer| peer.0.ip()),
        user_agent: request
            .headers()
            .get(USER_AGENT)
            .map(|agent| sanitize(&String::from_utf8_lossy(agent.as_bytes()))),
        trace_id: Some(trace.clone()),
    };
    let (method, path) = (request.method().clone(), sanitize(request.uri().path()));
    request.extensions_mut().insert(origin);
    // Whoever waits for our leave sends nothing that would have to be read.
    let waits = request.headers().contains_key(EXPECT);
    let (head, body) = request.into_parts();
    let (body, rest) = Rest::of(body);
    let request = Request::from_parts(head, body);
    let response = match request.uri().path_and_query().map_or(0, |it| it.as_str().len()) {
        0..=LONGEST_URI => tokio::time::timeout(DEADLINE, next.run(request)).await.unwrap_or_else(|_| {
            let detail = format!("there was no end to it within {DEADLINE:?}; whether a change was made can be seen in what is there");
            Refusal::unavailable(detail).into_response()
        }),
        _ => Refusal::uri_too_long(format!("the path and the query are over {LONGEST_URI} bytes")).into_response(),
    };
    let status = response.status();
    tracing::debug!(trace, %method, path, status = status.as_u16(), "request");
    let mut response = match status {
        status if status.is_client_error() || status.is_server_error() => {
            if !waits {
                rest.drain().await;
            }
            refused(response, &trace)
        }
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
    let refusal =
        response.extensions_mut().remove::<Refusal>().unwrap_or_else(|| Refusal::of_status(status));
    // A stranger can be refused as often as it likes, and fills no log with that.
    if refusal.status() != StatusCode::UNAUTHORIZED {
        tracing::info!(
            trace,
            status = refusal.status().as_u16(),
            reason = refusal.detail(),
            "request refused"
        );
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
    /// Whether it changes something.
    pub(crate) writes: bool,
}

impl<S: Sync> FromRequestParts<S> for Asked {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        let writes = !parts.method.is_safe();
        Ok(Self {
            origin: parts.extensions.get().cloned().unwrap_or_default(),
            token: bearer(&parts.headers),
            writes,
        })
    }
}

/// A person or a program that proved who it is.
pub(crate) struct Asker {
    /// Who, with all rights of this moment.
    pub(crate) principal: Principal,
    /// The same, as the trail has it.
    pub(crate) caller: Caller,
    /// The token by which it is known.
    pub(crate) token: TokenRow,
}

impl Asked {
    /// Who asks. What they may do is another question: [`Asker::may`].
    pub(super) async fn principal(self, app: &App) -> Result<Asker, Refusal> {
        let Self { origin, token, writes } = self;
        let Some(token) = token else {
            return Err(Refusal::unauthenticated(
                "send the header 'Authorization: Bearer <token>'",
            ));
        };
        let cannot = |error: &dyn std::error::Error| {
            tracing::error!(error = %ErrorChain(error), "token not checked");
            Refusal::unavailable("the token cannot be checked")
        };
        let token = match app.tokens.identify(&token).await {
            Ok(token) => token,
            Err(TokensError::Unknown) => {
                return Err(unauthenticated(app, origin, "the token is not valid").await);
            }
            Err(error) => return Err(cannot(&error)),
        };
        record_use(app, &token);
        let principal = app.access.principal(&token).await.map_err(|error| cannot(&error))?;
        let actor = match principal.kind {
            PrincipalKind::User => Actor::User { name: principal.name.clone() },
            PrincipalKind::Token | PrincipalKind::ServiceAccount => {
                Actor::Token { name: principal.name.clone() }
            }
        };
        app.pace.take(&author(&actor), writes, Instant::now()).map_err(Refusal::too_many)?;
        Ok(Asker { principal, caller: Caller { actor, origin }, token })
    }

    /// Who asks to do `verb` to one secret, which one, and the rule that allows it. Who it is comes
    /// before what the path says: a stranger is not told that it is not of the form.
    pub(super) async fn about(
        self,
        app: &App,
        path: Result<OneSecret, Refusal>,
        verb: Verb,
    ) -> Result<(Asker, OneSecret, String), Refusal> {
        let asker = self.principal(app).await?;
        let secret = path?;
        let rule = asker.may(app, verb, Target::Secret(&secret.scope, &secret.name)).await?;
        Ok((asker, secret, rule))
    }
}

impl Asker {
    /// Whether they may do `verb` to `target`: the rule that allows it, for the audit trail. A
    /// refusal is written down before it is said.
    pub(super) async fn may(
        &self,
        app: &App,
        verb: Verb,
        target: Target<'_>,
    ) -> Result<String, Refusal> {
        self.rule(app, target, policy::decide(&self.principal, verb, target)).await
    }

    /// Which secrets of `scope` they may see the names of.
    pub(super) async fn may_list(&self, app: &App, scope: &Scope) -> Result<Which, Refusal> {
        match policy::listing(&self.principal, scope) {
            Ok((which, _)) => Ok(which),
            Err(denied) => Err(self.denied(app, Target::Scope(scope), &denied).await),
        }
    }

    /// Whether they may give `access` to `target`, or take it back; `verb` is grant or token.
    pub(super) async fn may_hand_out(
        &self,
        app: &App,
        verb: Verb,
        access: Access,
        target: Target<'_>,
    ) -> Result<String, Refusal> {
        self.rule(app, target, policy::hand_out(&self.principal, verb, access, target)).await
    }

    /// Whether what they make may last until `end`: no longer than the token that they make it
    /// with. A person's session is short by nature, and what a person makes is not bound to it.
    pub(super) async fn may_last(
        &self,
        app: &App,
        target: Target<'_>,
        end: Timestamp,
    ) -> Result<(), Refusal> {
        let own = self.token.expires_at.filter(|_| self.principal.kind == PrincipalKind::Token);
        match policy::lasts_within(&self.principal, target, own, end) {
            Ok(()) => Ok(()),
            Err(denied) => Err(self.denied(app, target, &denied).await),
        }
    }

    async fn rule(
        &self,
        app: &App,
        target: Target<'_>,
        answer: Result<Allowed, Denied>,
    ) -> Result<String, Refusal> {
        match answer {
            Ok(Allowed { rule }) => Ok(rule.to_string()),
            Err(denied) => Err(self.denied(app, target, &denied).await),
        }
    }

    async fn denied(&self, app: &App, target: Target<'_>, denied: &Denied) -> Refusal {
        let (kind, id) = match target {
            Target::Everything => (ResourceKind::Api, "api".to_owned()),
            Target::Scope(scope) => (ResourceKind::Scope, scope.to_string()),
            Target::Secret(_, secret) => (ResourceKind::Secret, secret.to_string()),
        };
        let event = Event {
            actor: self.caller.actor.clone(),
            action: Action::Denied,
            resource: Resource { kind, id, scope: target.scope().map(ToString::to_string) },
            version: None,
            outcome: Outcome::Denied,
            origin: self.caller.origin.clone(),
            details: Some(format!("{}: {}", denied.verb.as_str(), denied.rule)),
        };
        if let Err(error) = app.audit.record(event).await {
            tracing::error!(error = %ErrorChain(&error), "refusal not written down");
            return Refusal::unavailable(
                "the audit trail cannot be written, so nothing is answered",
            );
        }
        Refusal::denied(denied.to_string())
    }
}

/// Notes that a token was used, beside the request and at most once a minute.
fn record_use(app: &App, token: &TokenRow) {
    let now = Timestamp::now();
    if token.needs_use_recorded(now) {
        let (repository, token) = (app.repository.clone(), token.clone());
        app.tasks.spawn("token use", async move {
            if let Err(error) = repository.record_use(&token, now).await {
                tracing::warn!(error = %ErrorChain(&error), token = token.name, "use of token not noted");
            }
        });
    }
}

/// Refuses a credential, and writes that down.
pub(crate) async fn unauthenticated(app: &App, origin: Origin, reason: &str) -> Refusal {
    refused_credential(app, origin, reason, reason).await
}

/// Refuses a credential with the words `said`, and writes down the `reason`.
pub(super) async fn refused_credential(
    app: &App,
    origin: Origin,
    said: &str,
    reason: &str,
) -> Refusal {
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
        tracing::error!(error = %ErrorChain(&error), "refused credential not written down");
    }
    Refusal::unauthenticated(said)
}
