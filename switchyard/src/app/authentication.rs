//! Authenticates people and programs by their token.

use std::convert::Infallible;

use axum::extract::FromRequestParts;
use contract::Redacted;
use contract::api::PrincipalKind;
use http::request::Parts;
use jiff::Timestamp;
use runtime::logs::ErrorChain;
use tokio::time::Instant;

use super::{AnswerLease, ApiError, AppState, RequestBudget};
use crate::audit::{Action, Actor, Event, Origin, Outcome, Resource, ResourceKind};
use crate::identity::{TokenError, bearer};
use crate::policy::Principal;
use crate::repository::TokenRow;
use crate::secrets::{Caller, author};

mod authorization;

/// The origin and the unchecked credential of a request.
pub(crate) struct Unauthenticated {
    pub(crate) origin: Origin,
    pub(crate) token: Option<Redacted>,
    /// The bytes that the request may hold. Absent only in tests.
    pub(crate) budget: Option<RequestBudget>,
    /// Whether the request's method changes something.
    pub(crate) is_write: bool,
}

impl<S: Sync> FromRequestParts<S> for Unauthenticated {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        Ok(Self {
            origin: parts.extensions.get().cloned().unwrap_or_default(),
            token: bearer(&parts.headers),
            budget: parts.extensions.get().cloned(),
            is_write: !parts.method.is_safe(),
        })
    }
}

/// A person or a program whose token is valid.
pub(crate) struct Authenticated {
    /// Who it is, with its current rights.
    pub(crate) principal: Principal,
    /// The same as the audit log records it.
    pub(crate) caller: Caller,
    /// The token that the request carries.
    pub(crate) token: TokenRow,
    budget: Option<RequestBudget>,
}

impl Authenticated {
    /// To whom the answers of idempotent requests belong. A name is not enough for a token or a
    /// job: a new one may have the name of an old one.
    pub(crate) fn idempotent_principal(&self) -> String {
        let author = author(&self.caller.actor);
        match self.principal.kind {
            PrincipalKind::User => author,
            PrincipalKind::Token | PrincipalKind::ServiceAccount | PrincipalKind::Workload => {
                format!("{author}#{}", self.token.id)
            }
        }
    }
}

impl Unauthenticated {
    /// Checks the token and the rate limit. What the principal may do is checked by
    /// [`Authenticated::authorize`].
    ///
    /// # Errors
    /// If the token is missing or not valid, cannot be checked, or makes too many requests.
    pub(crate) async fn authenticate(self, app: &AppState) -> Result<Authenticated, ApiError> {
        let Self { origin, token, budget, is_write } = self;
        let Some(token) = token else {
            return Err(ApiError::unauthenticated(
                "send the header 'Authorization: Bearer <token>'",
            ));
        };
        let unavailable = |error: &dyn std::error::Error| {
            tracing::error!(error = %ErrorChain(error), "check token");
            ApiError::unavailable("the token cannot be checked")
        };
        let token = match app.tokens.identify(&token).await {
            Ok(token) => token,
            Err(error @ TokenError::Invalid) => {
                let reason = error.to_string();
                return Err(ApiError::rejected_credential(app, origin, &reason, &reason).await);
            }
            Err(error @ TokenError::Expired(_)) => {
                let reason = error.to_string();
                let detail = format!(
                    "{reason}; log in again with `enclii login`, or get a new token with `enclii \
                     tokens create`"
                );
                return Err(ApiError::rejected_credential(app, origin, &detail, &reason).await);
            }
            Err(error @ TokenError::Repository(_)) => return Err(unavailable(&error)),
        };
        record_use(app, &token);
        let principal = app.access.principal(&token).await.map_err(|error| unavailable(&error))?;
        let actor = match principal.kind {
            PrincipalKind::User => Actor::User { name: principal.name.clone() },
            PrincipalKind::Token | PrincipalKind::ServiceAccount => {
                Actor::Token { name: principal.name.clone() }
            }
            PrincipalKind::Workload => Actor::Workload { name: principal.name.clone() },
        };
        let name = author(&actor);
        app.rate_limiter
            .take(&name, is_write, Instant::now())
            .map_err(ApiError::too_many_requests)?;
        if let Some(budget) = &budget {
            budget.set_principal(name);
        }
        Ok(Authenticated { principal, caller: Caller { actor, origin }, token, budget })
    }
}

impl Authenticated {
    /// Waits for room for an answer of at most `max_bytes`, before it is made.
    ///
    /// # Errors
    /// If there is no room in time.
    pub(crate) async fn reserve(&self, max_bytes: usize) -> Result<Option<AnswerLease>, ApiError> {
        match &self.budget {
            Some(budget) => budget.reserve(max_bytes).await.map(Some),
            None => Ok(None),
        }
    }
}

/// Records that a token was used, outside the request and at most once a minute.
fn record_use(app: &AppState, token: &TokenRow) {
    let now = Timestamp::now();
    if token.needs_use_recorded(now) {
        let (repository, token) = (app.repository.clone(), token.clone());
        app.tasks.spawn("token use", async move {
            if let Err(error) = repository.record_use(&token, now).await {
                tracing::warn!(error = %ErrorChain(&error), token = token.name,
                    "record use of token");
            }
        });
    }
}

impl ApiError {
    /// Refuses a credential with the text `detail` and records `reason` in the audit log.
    pub(crate) async fn rejected_credential(
        app: &AppState,
        origin: Origin,
        detail: &str,
        reason: &str,
    ) -> Self {
        let event = Event {
            actor: Actor::Anonymous,
            action: Action::Login,
            resource: Resource { kind: ResourceKind::Api, id: "api".to_owned(), scope: None },
            version: None,
            outcome: Outcome::Denied,
            origin,
            details: Some(reason.to_owned()),
        };
        if let Err(error) = app.refusals.record(event).await {
            tracing::error!(error = %ErrorChain(&error), "record refused credential");
        }
        Self::unauthenticated(detail)
    }
}
