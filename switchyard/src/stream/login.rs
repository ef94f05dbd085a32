//! From a request to a pod that may read what it names, or to the words that refuse it.

use contract::stream::BUNDLE_PARAMETER;
use contract::{BundleRef, Scope};
use runtime::logs::ErrorChain;

use crate::access::AccessError;
use crate::api::{App, Asked, Refusal, unauthenticated};
use crate::audit::{Action, Actor, Event, Outcome, Pod, Resource, ResourceKind};
use crate::identity::PodError;
use crate::live::Following;
use crate::policy::{BundleAllowed, BundleDenied, BundleRule, Which};
use crate::secrets::Caller;

/// More bundles than a pod could have a use for.
const MOST_BUNDLES: usize = 16;

/// A pod that proved who it is.
pub(super) struct Identified {
    pub(super) pod: Pod,
    pub(super) caller: Caller,
}

/// A pod that may read what it named.
pub(super) struct Admitted {
    pub(super) pod: Pod,
    pub(super) bundles: Vec<Admission>,
}

/// One bundle that the pod may read.
pub(super) struct Admission {
    pub(super) name: BundleRef,
    pub(super) scope: Scope,
    /// Which of its secrets.
    pub(super) which: Which,
    /// The rule that allows it.
    pub(super) rule: BundleRule,
    pub(super) following: Following,
}

/// The bundles that a query names, in order.
pub(super) fn named(query: Option<&str>) -> Result<Vec<BundleRef>, Refusal> {
    let mut bundles: Vec<BundleRef> = Vec::new();
    for pair in query.unwrap_or_default().split('&').filter(|pair| !pair.is_empty()) {
        let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
        if key != BUNDLE_PARAMETER {
            return Err(Refusal::malformed(format!(
                "the query may have {BUNDLE_PARAMETER}=<name> and nothing else"
            )));
        }
        // A bundle's name has no character that a query would escape, so an escape is no name.
        let bundle = value
            .parse()
            .map_err(|error| Refusal::malformed(crate::audit::sanitize(&format!("{error}"))))?;
        if bundles.contains(&bundle) {
            return Err(Refusal::malformed(format!("bundle {bundle} is named twice")));
        }
        bundles.push(bundle);
    }
    match bundles.len() {
        0 => Err(Refusal::malformed(format!("name a bundle: ?{BUNDLE_PARAMETER}=api-prod"))),
        1..=MOST_BUNDLES => Ok(bundles),
        many => Err(Refusal::malformed(format!(
            "{many} bundles are named, and {MOST_BUNDLES} is the most"
        ))),
    }
}

/// The pod whose token the request has.
pub(super) async fn identify(app: &App, asked: Asked) -> Result<Identified, Refusal> {
    let Asked { origin, token, writes: _ } = asked;
    let Some(token) = token else {
        return Err(Refusal::unauthenticated(
            "send the header 'Authorization: Bearer <the pod's service-account token>'",
        ));
    };
    match app.pods.identify(&token).await {
        Ok(pod) => {
            Ok(Identified { pod: pod.clone(), caller: Caller { actor: Actor::Pod(pod), origin } })
        }
        Err(PodError::Unproven(reason)) => {
            Err(unauthenticated(app, origin, &reason.to_string()).await)
        }
        Err(error) => {
            tracing::error!(error = %ErrorChain(&error), "pod's token not reviewed");
            Err(Refusal::unavailable(
                "the token cannot be reviewed: the API server does not answer",
            ))
        }
    }
}

/// Checks every bundle that is named. One that may not be read refuses them all.
pub(super) async fn admit(
    app: &App,
    identified: &Identified,
    named: Vec<BundleRef>,
) -> Result<Admitted, Refusal> {
    let Identified { pod, caller } = identified;
    let mut bundles = Vec::with_capacity(named.len());
    for name in named {
        let allowed = match app.access.check(pod, &name).await {
            Ok(allowed) => allowed,
            Err(AccessError::Denied(denied)) => return Err(deny(app, caller, &denied).await),
            Err(error) => {
                tracing::error!(error = %ErrorChain(&error), "grants not read");
                return Err(Refusal::unavailable("the grants cannot be read"));
            }
        };
        bundles.push(follow(app, name, allowed).await?);
    }
    let event = Event {
        actor: caller.actor.clone(),
        action: Action::Login,
        resource: Resource { kind: ResourceKind::Bundle, id: list(&bundles), scope: None },
        version: None,
        outcome: Outcome::Allowed,
        origin: caller.origin.clone(),
        details: None,
    };
    app.audit.record(event).await.map_err(|error| {
        tracing::error!(error = %ErrorChain(&error), "login not written down");
        Refusal::unavailable("the audit trail cannot be written, so nobody is let in")
    })?;
    Ok(Admitted { pod: pod.clone(), bundles })
}

/// Follows the bundle first and asks the ledger second: no news falls in between.
async fn follow(app: &App, name: BundleRef, allowed: BundleAllowed) -> Result<Admission, Refusal> {
    let BundleAllowed { scope, which, rule } = allowed;
    let found = app.repository.bundle(&scope).await.map_err(|error| {
        tracing::error!(error = %ErrorChain(&error), "bundle not read");
        Refusal::unavailable("the ledger cannot be reached")
    })?;
    let Some(bundle) = found else {
        return Err(Refusal::not_found(format!(
            "bundle {name} does not exist: no secret was written to {scope} yet"
        )));
    };
    let following = app.streams.live.follow(&scope);
    app.streams.live.tell(bundle);
    Ok(Admission { name, scope, which, rule, following })
}

/// Writes a refusal down and says it.
pub(super) async fn deny(app: &App, caller: &Caller, denied: &BundleDenied) -> Refusal {
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
    if let Err(error) = app.audit.record(event).await {
        tracing::error!(error = %ErrorChain(&error), "refusal not written down");
        return Refusal::unavailable("the audit trail cannot be written, so nobody is let in");
    }
    tracing::warn!(trace = caller.origin.trace_id, reason = %denied, "pod refused");
    Refusal::denied(denied.to_string())
}

fn list(bundles: &[Admission]) -> String {
    bundles.iter().map(|one| one.name.as_str()).collect::<Vec<_>>().join(",")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bundles_by_name_and_nothing_else() {
        let read =
            |query| named(query).map(|all| all.iter().map(ToString::to_string).collect::<Vec<_>>());
        assert_eq!(
            read(Some("bundle=api-prod&bundle=web-prod")).unwrap(),
            ["api-prod", "web-prod"]
        );
        let many: Vec<String> = (0..17).map(|at| format!("bundle=api-{at}")).collect();
        let too_many = many.join("&");
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
            assert!(read(query).is_err(), "{query:?} was taken");
        }
        assert_eq!(read(Some(&many[1..].join("&"))).unwrap().len(), 16);
    }
}
