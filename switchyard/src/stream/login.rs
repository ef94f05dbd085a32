//! Authenticates a pod and admits it to the bundles that it names.

use std::sync::Arc;

use contract::stream::BUNDLE_PARAMETER;
use contract::{BundleRef, Redacted, Scope};
use runtime::logs::ErrorChain;
use tokio::time::Instant;

use crate::access::AccessError;
use crate::app::{ApiError, AppState, RateLimiter, Unauthenticated};
use crate::audit::{Action, Actor, Event, Outcome, Pod, Resource, ResourceKind};
use crate::bundle_updates::{BundleSubscription, BundleUpdate};
use crate::identity::{PodError, TokenHash};
use crate::policy::{BundleAllowed, BundleDenied, BundleRule, MemberFilter};
use crate::secrets::Caller;

/// More bundles than a pod needs.
const MAX_BUNDLES: usize = 16;

/// A pod whose token is valid.
pub(super) struct AuthenticatedPod {
    pub(super) pod: Pod,
    pub(super) token: Redacted,
    pub(super) caller: Caller,
}

/// A pod that may read every bundle that it named.
pub(super) struct AdmittedPod {
    pub(super) pod: Pod,
    /// The token that it logged in with.
    pub(super) token: Redacted,
    pub(super) bundles: Vec<BundleAdmission>,
}

/// A bundle that the pod may read, and how much of it.
pub(super) struct BundleAdmission {
    pub(super) name: BundleRef,
    pub(super) scope: Scope,
    /// Which of its members the pod may read.
    pub(super) filter: MemberFilter,
    /// The rule that allows it.
    pub(super) rule: BundleRule,
    pub(super) subscription: BundleSubscription,
    /// The last update of the subscription that a delivery took.
    pub(super) current: Option<Arc<BundleUpdate>>,
    /// Which members were last sent on this stream. `None` before the first delivery.
    pub(super) sent: Option<MemberFilter>,
}

/// Parses the bundles that a query names, in order.
pub(super) fn parse_bundles(query: Option<&str>) -> Result<Vec<BundleRef>, ApiError> {
    let mut bundles: Vec<BundleRef> = Vec::new();
    for pair in query.unwrap_or_default().split('&').filter(|pair| !pair.is_empty()) {
        let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
        if key != BUNDLE_PARAMETER {
            return Err(ApiError::malformed(format!(
                "the query may have only {BUNDLE_PARAMETER}=<name>"
            )));
        }
        // The name of a bundle has no characters that a query escapes, so an escaped name is
        // invalid.
        let bundle = value
            .parse()
            .map_err(|error| ApiError::malformed(crate::audit::sanitize(&format!("{error}"))))?;
        if bundles.contains(&bundle) {
            return Err(ApiError::malformed(format!("bundle {bundle} is named twice")));
        }
        bundles.push(bundle);
    }
    match bundles.len() {
        0 => Err(ApiError::malformed(format!("name a bundle: ?{BUNDLE_PARAMETER}=api-prod"))),
        1..=MAX_BUNDLES => Ok(bundles),
        count => Err(ApiError::malformed(format!(
            "{count} bundles are named; the maximum is {MAX_BUNDLES}"
        ))),
    }
}

/// Authenticates the pod by the token of the request.
pub(super) async fn authenticate(
    app: &AppState,
    unauthenticated: Unauthenticated,
) -> Result<AuthenticatedPod, ApiError> {
    let Unauthenticated { origin, token, budget: _, is_write: _ } = unauthenticated;
    let Some(token) = token else {
        return Err(ApiError::unauthenticated(
            "send the header 'Authorization: Bearer <the pod's service-account token>'",
        ));
    };
    let limit = |limiter: &RateLimiter, key: &str| {
        limiter.take(key, false, Instant::now()).map_err(ApiError::too_many_logins)
    };
    // Each review is a request to the API server.
    let hash = TokenHash::of(&token);
    let hash: String = hash.as_bytes().iter().map(|byte| format!("{byte:02x}")).collect();
    limit(&app.streams.token_logins, &hash)?;
    match app.pods.identify(&token).await {
        Ok(pod) => {
            limit(&app.streams.pod_logins, &pod.uid)?;
            let caller = Caller { actor: Actor::Pod(pod.clone()), origin };
            Ok(AuthenticatedPod { pod, token, caller })
        }
        Err(PodError::Token(reason)) => {
            let reason = reason.to_string();
            Err(ApiError::rejected_credential(app, origin, &reason, &reason).await)
        }
        Err(error) => {
            tracing::error!(error = %ErrorChain(&error), "review token of pod");
            Err(ApiError::unavailable(
                "the token cannot be reviewed: the API server does not respond",
            ))
        }
    }
}

/// Checks every named bundle. A pod that may not read one of them is refused.
pub(super) async fn admit(
    app: &AppState,
    authenticated: &AuthenticatedPod,
    names: Vec<BundleRef>,
) -> Result<AdmittedPod, ApiError> {
    let AuthenticatedPod { pod, token, caller } = authenticated;
    let mut bundles = Vec::with_capacity(names.len());
    for name in names {
        let allowed = match app.access.check(pod, &name).await {
            Ok(allowed) => allowed,
            Err(AccessError::Denied(denied)) => {
                return Err(record_denial(app, caller, &denied).await);
            }
            Err(error) => {
                tracing::error!(error = %ErrorChain(&error), "read grants");
                return Err(ApiError::unavailable("the grants cannot be read"));
            }
        };
        bundles.push(subscribe(app, name, allowed).await?);
    }
    let event = Event {
        actor: caller.actor.clone(),
        action: Action::Login,
        resource: Resource { kind: ResourceKind::Bundle, id: joined_names(&bundles), scope: None },
        version: None,
        outcome: Outcome::Allowed,
        origin: caller.origin.clone(),
        details: None,
    };
    app.audit.record(event).await.map_err(|error| {
        tracing::error!(error = %ErrorChain(&error), "record login");
        ApiError::unavailable("the audit log cannot be written, so no pod is admitted")
    })?;
    Ok(AdmittedPod { pod: pod.clone(), token: token.clone(), bundles })
}

/// Subscribes to the bundle before it reads the ledger, so that no update in between is lost.
async fn subscribe(
    app: &AppState,
    name: BundleRef,
    allowed: BundleAllowed,
) -> Result<BundleAdmission, ApiError> {
    let BundleAllowed { scope, filter, rule } = allowed;
    let found = app.repository.bundle(&scope).await.map_err(|error| {
        tracing::error!(error = %ErrorChain(&error), "read bundle");
        ApiError::unavailable("the ledger cannot be reached")
    })?;
    let Some(bundle) = found else {
        return Err(ApiError::not_found(format!(
            "bundle {name} does not exist; write a secret to {scope} first"
        )));
    };
    let subscription = app.streams.updates.subscribe(&scope);
    app.streams.updates.publish(bundle);
    Ok(BundleAdmission { name, scope, filter, rule, subscription, current: None, sent: None })
}

/// Records a denial in the audit log and returns the error.
pub(super) async fn record_denial(
    app: &AppState,
    caller: &Caller,
    denied: &BundleDenied,
) -> ApiError {
    let event = Event {
        actor: caller.actor.clone(),
        action: Action::Denied,
        resource: Resource {
            kind: ResourceKind::Bundle,
            id: denied.bundle.as_str().to_owned(),
            scope: None,
        },
        version: None,
        outcome: Outcome::Denied,
        origin: caller.origin.clone(),
        details: Some(denied.to_string()),
    };
    if let Err(error) = app.refusals.record(event).await {
        tracing::error!(error = %ErrorChain(&error), "record denial");
        return ApiError::unavailable("the audit log cannot be written, so no pod is admitted");
    }
    tracing::warn!(trace = caller.origin.trace_id, reason = %denied, "pod refused");
    ApiError::denied(denied.to_string())
}

fn joined_names(bundles: &[BundleAdmission]) -> String {
    bundles.iter().map(|one| one.name.as_str()).collect::<Vec<_>>().join(",")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_query_names_one_to_sixteen_bundles() {
        let read = |query| {
            parse_bundles(query).map(|all| all.iter().map(ToString::to_string).collect::<Vec<_>>())
        };
        assert_eq!(
            read(Some("bundle=api-prod&bundle=web-prod")).unwrap(),
            ["api-prod", "web-prod"]
        );
        let names: Vec<String> = (0..17).map(|at| format!("bundle=api-{at}")).collect();
        let too_many = names.join("&");
        for query in [
            None,
            Some(""),
            Some("bundle"),
            Some("bundle="),
            Some("bundle=api-prod&bundle=api-prod"),
            Some("bundle=api%2Dprod"),
            Some("bundle=api-prod&x=1"),
            Some("Bundle=api-prod"),
            Some("bundle=api-prod+"),
            Some(&too_many),
        ] {
            assert!(read(query).is_err(), "{query:?} was accepted");
        }
        assert_eq!(read(Some(&names[1..].join("&"))).unwrap().len(), 16);
    }
}
