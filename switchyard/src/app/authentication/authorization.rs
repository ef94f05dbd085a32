//! Checks what an authenticated principal may do. Every denial is recorded in the audit log before
//! the caller learns of it.

use contract::Scope;
use contract::api::{Access, PrincipalKind};
use jiff::Timestamp;
use runtime::logs::ErrorChain;

use super::super::{ApiError, AppState, Authenticated};
use crate::audit::{Action, Event, Outcome, Resource, ResourceKind};
use crate::policy::{self, Allowed, Denied, SecretFilter, Target, Verb};

impl Authenticated {
    /// Checks that the principal may do `verb` to `target`. Returns the rule that allows it, for
    /// the audit log.
    ///
    /// # Errors
    /// If no rule allows it, or the denial cannot be recorded.
    pub(crate) async fn authorize(
        &self,
        app: &AppState,
        verb: Verb,
        target: Target<'_>,
    ) -> Result<String, ApiError> {
        self.rule(app, target, policy::decide(&self.principal, verb, target)).await
    }

    /// Which secrets of `scope` the principal may list.
    ///
    /// # Errors
    /// If it may list none, or the denial cannot be recorded.
    pub(crate) async fn authorize_list(
        &self,
        app: &AppState,
        scope: &Scope,
    ) -> Result<SecretFilter, ApiError> {
        match policy::listable_secrets(&self.principal, scope) {
            Ok((filter, _)) => Ok(filter),
            Err(denied) => Err(self.denied(app, Target::Scope(scope), &denied).await),
        }
    }

    /// Checks that the principal may give `access` to `target`, or take it back. `verb` is grant or
    /// token.
    ///
    /// # Errors
    /// If no rule allows it, or the denial cannot be recorded.
    pub(crate) async fn authorize_delegation(
        &self,
        app: &AppState,
        verb: Verb,
        access: Access,
        target: Target<'_>,
    ) -> Result<String, ApiError> {
        let decision = policy::decide_delegation(&self.principal, verb, access, target);
        self.rule(app, target, decision).await
    }

    /// Checks that a token may last until `expires_at`: no longer than the token that creates it.
    /// What a person creates is not bound to their session, which is short by nature.
    ///
    /// # Errors
    /// If it would outlive its creator, or the denial cannot be recorded.
    pub(crate) async fn authorize_lifetime(
        &self,
        app: &AppState,
        target: Target<'_>,
        expires_at: Timestamp,
    ) -> Result<(), ApiError> {
        let own = self.token.expires_at.filter(|_| self.principal.kind == PrincipalKind::Token);
        match policy::decide_lifetime(&self.principal, target, own, expires_at) {
            Ok(()) => Ok(()),
            Err(denied) => Err(self.denied(app, target, &denied).await),
        }
    }

    async fn rule(
        &self,
        app: &AppState,
        target: Target<'_>,
        decision: Result<Allowed, Denied>,
    ) -> Result<String, ApiError> {
        match decision {
            Ok(Allowed { rule }) => Ok(rule.to_string()),
            Err(denied) => Err(self.denied(app, target, &denied).await),
        }
    }

    async fn denied(&self, app: &AppState, target: Target<'_>, denied: &Denied) -> ApiError {
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
            tracing::error!(error = %ErrorChain(&error), "record denial");
            return ApiError::unavailable(
                "the audit log cannot be written, so no request is answered",
            );
        }
        ApiError::denied(denied.to_string())
    }
}
