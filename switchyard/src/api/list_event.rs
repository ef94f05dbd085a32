//! The audit event of a list of names: one for each request, before its answer leaves.

use contract::Scope;

use crate::app::{ApiError, AppState};
use crate::audit::{Action, Event, Outcome, Resource, ResourceKind};
use crate::secrets::{Caller, SecretsError};

/// Records that `count` names are listed. `rule` allows it.
///
/// # Errors
/// If the event cannot be written; the list must not be sent then.
pub(super) async fn record(
    app: &AppState,
    caller: Caller,
    (kind, id): (ResourceKind, String),
    scope: Option<&Scope>,
    count: usize,
    rule: &str,
) -> Result<(), ApiError> {
    let Caller { actor, origin } = caller;
    let names = if count == 1 { "name" } else { "names" };
    let event = Event {
        actor,
        action: Action::List,
        resource: Resource { kind, id, scope: scope.map(ToString::to_string) },
        version: None,
        outcome: Outcome::Allowed,
        origin,
        details: Some(format!("{count} {names}; {rule}")),
    };
    app.audit.record(event).await.map_err(SecretsError::from)?;
    Ok(())
}
