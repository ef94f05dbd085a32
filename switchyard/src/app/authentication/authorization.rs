//! Checks what an authenticated principal may do. Every denial is recorded in the audit log, or
//! counted for it, before the caller learns of it.

use contract::Scope;
use contract::api::Access;
use jiff::Timestamp;
use runtime::logs::ErrorChain;

use super::super::{ApiError, AppState, Authenticated};
use crate::audit::{Action, Event, Outcome, Resource, ResourceKind};
use crate::policy::{
    self, Allowed, AuditReach, Delegation, Denied, Principal, SecretFilter, Target, Verb,
};

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

    /// Which secrets of `scope` the principal may list, and by which rule.
    ///
    /// # Errors
    /// If it may list none, or the denial cannot be recorded.
    pub(crate) async fn authorize_list(
        &self,
        app: &AppState,
        scope: &Scope,
    ) -> Result<(SecretFilter, String), ApiError> {
        match policy::listable_secrets(&self.principal, scope) {
            Ok((filter, Allowed { rule })) => Ok((filter, rule.to_string())),
            Err(denied) => Err(self.denied(app, Target::Scope(scope), &denied).await),
        }
    }

    /// Which events of the audit log the principal may read, of all or of those in `asked`, and by
    /// which rule.
    ///
    /// # Errors
    /// If it may read none, or the denial cannot be recorded.
    pub(crate) async fn authorize_audit(
        &self,
        app: &AppState,
        asked: Option<&Scope>,
    ) -> Result<(AuditReach, String), ApiError> {
        match policy::decide_audit(&self.principal, asked) {
            Ok((reach, Allowed { rule })) => Ok((reach, rule.to_string())),
            Err(denied) => Err(self.denied(app, Target::from_scope(asked), &denied).await),
        }
    }

    /// Checks that the principal may give `access` to `target`, or take it back. `verb` is grant or
    /// token. Returns the rule that allows it, and when the right to do so ends: with the token, or
    /// with the grant that gives the role. What a person gives is not bound to their session, which
    /// is short by nature.
    ///
    /// # Errors
    /// If no rule allows it, or the denial cannot be recorded.
    pub(crate) async fn authorize_delegation(
        &self,
        app: &AppState,
        verb: Verb,
        access: Access,
        target: Target<'_>,
    ) -> Result<(String, Option<Timestamp>), ApiError> {
        match policy::decide_delegation(&self.principal, verb, access, target) {
            Ok(Delegation { allowed, until }) => Ok((allowed.rule.to_string(), until)),
            Err(denied) => Err(self.denied(app, target, &denied).await),
        }
    }

    /// Checks that what is given may last until `expires_at`, if the right to give it ends at
    /// `own`.
    ///
    /// # Errors
    /// If it would outlast the right, or the denial cannot be recorded.
    pub(crate) async fn authorize_lifetime(
        &self,
        app: &AppState,
        verb: Verb,
        target: Target<'_>,
        own: Option<Timestamp>,
        expires_at: Timestamp,
    ) -> Result<(), ApiError> {
        match policy::decide_lifetime(&self.principal, verb, target, own, Some(expires_at)) {
            Ok(()) => Ok(()),
            Err(denied) => Err(self.denied(app, target, &denied).await),
        }
    }

    /// Checks that the principal may end a session of `person`.
    ///
    /// # Errors
    /// If no rule allows it, or the denial cannot be recorded.
    pub(crate) async fn authorize_session_end(
        &self,
        app: &AppState,
        person: &Principal,
    ) -> Result<String, ApiError> {
        let decision = policy::decide_session_end(&self.principal, person);
        self.rule(app, Target::Everything, decision).await
    }

    /// Whether the principal sees every grant and every token, so that what it does not find is not
    /// there.
    fn sees_everything(&self) -> bool {
        let may = |verb| policy::decide(&self.principal, verb, Target::Everything).is_ok();
        may(Verb::Grant) && may(Verb::Token)
    }

    /// The error for a grant or a token that is not there or that the principal may not see, which
    /// it cannot tell apart: the answer is the same, and so is the event that is written before it.
    /// `scope` is the scope of what is there.
    pub(crate) async fn not_found(
        &self,
        app: &AppState,
        (kind, id): (ResourceKind, String),
        scope: Option<String>,
        detail: String,
    ) -> ApiError {
        if self.sees_everything() {
            return ApiError::not_found(detail);
        }
        let event = Event {
            actor: self.caller.actor.clone(),
            action: Action::Denied,
            resource: Resource { kind, id, scope },
            version: None,
            outcome: Outcome::Denied,
            origin: self.caller.origin.clone(),
            details: Some("rule only-what-is-visible: it is not there, or not visible".to_owned()),
        };
        match self.record_denial(app, event).await {
            Ok(()) => ApiError::not_found(detail),
            Err(error) => error,
        }
    }

    /// Checks that the principal may do `verb` to some secret of `scope`: whether it makes sense to
    /// read which ones a request names.
    ///
    /// # Errors
    /// If it may do so to none, or the denial cannot be recorded.
    pub(crate) async fn authorize_some(
        &self,
        app: &AppState,
        verb: Verb,
        scope: &Scope,
    ) -> Result<(), ApiError> {
        match policy::decide_some(&self.principal, verb, scope) {
            Ok(()) => Ok(()),
            Err(denied) => Err(self.denied(app, Target::Scope(scope), &denied).await),
        }
    }

    /// Checks that the principal may do `verb` in some scope, whichever a request then names.
    ///
    /// # Errors
    /// If it may do so nowhere, or the denial cannot be recorded.
    pub(crate) async fn authorize_somewhere(
        &self,
        app: &AppState,
        verb: Verb,
    ) -> Result<(), ApiError> {
        match policy::decide_somewhere(&self.principal, verb) {
            Ok(()) => Ok(()),
            Err(denied) => Err(self.denied(app, Target::Everything, &denied).await),
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
        match self.record_denial(app, event).await {
            Ok(()) => ApiError::denied(denied.to_string()),
            Err(error) => error,
        }
    }

    async fn record_denial(&self, app: &AppState, event: Event) -> Result<(), ApiError> {
        app.refusals.record(event).await.map_err(|error| {
            tracing::error!(error = %ErrorChain(&error), "record denial");
            ApiError::unavailable("the audit log cannot be written, so no request is answered")
        })
    }
}
