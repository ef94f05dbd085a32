//! What an agent reports, as the audit trail and the ledger keep it. Pure.

use contract::stream::{Held, Outcome as Reload, Step};
use contract::{BundleRef, Generation};

use crate::audit::{Action, Event, Outcome, Pod, Resource, ResourceKind, sanitize};
use crate::repository::{Bundle, PodReport, ReportedState};
use crate::secrets::Caller;

/// A report about one bundle: the event and what it says of the pod.
pub(super) struct Written {
    pub(super) event: Event,
    pub(super) report: PodReport,
}

/// What `Applied` says, for each bundle of it that the pod follows.
pub(super) fn applied(
    caller: &Caller,
    pod: &Pod,
    followed: &[Bundle],
    holds: &[Held],
    reload: Reload,
) -> Vec<Written> {
    let word = match reload {
        Reload::NotNeeded => "not-needed",
        Reload::Signalled => "signalled",
        Reload::Accepted => "accepted",
        Reload::Failed => "failed",
    };
    let outcome = if reload == Reload::Failed { Outcome::Failed } else { Outcome::Allowed };
    let of = |bundle: &Bundle, generation| {
        let event =
            event(caller, Action::Applied, outcome, bundle, generation, format!("reload {word}"));
        let report = ReportedState::Applied { generation, reload: word.to_owned() };
        Written { event, report: PodReport { pod: pod.clone(), bundle: bundle.id, state: report } }
    };
    known(followed, holds).map(|(bundle, generation)| of(bundle, generation)).collect()
}

/// What `Failed` says, for each bundle of it that the pod follows.
pub(super) fn failed(
    caller: &Caller,
    pod: &Pod,
    followed: &[Bundle],
    wanted: &[Held],
    step: Step,
    detail: &str,
) -> Vec<Written> {
    let word = match step {
        Step::Plan => "plan",
        Step::Write => "write",
        Step::Reload => "reload",
    };
    let detail = sanitize(detail);
    let of = |bundle: &Bundle, generation| {
        let event = event(
            caller,
            Action::Failed,
            Outcome::Failed,
            bundle,
            generation,
            format!("{word}: {detail}"),
        );
        let report = ReportedState::Failed {
            wanted: generation,
            step: word.to_owned(),
            detail: detail.clone(),
        };
        Written { event, report: PodReport { pod: pod.clone(), bundle: bundle.id, state: report } }
    };
    known(followed, wanted).map(|(bundle, generation)| of(bundle, generation)).collect()
}

/// An agent may speak of its own bundles, each once, and of generations that there can be.
fn known<'a>(
    followed: &'a [Bundle],
    said: &'a [Held],
) -> impl Iterator<Item = (&'a Bundle, Generation)> {
    let of = |name: &BundleRef| {
        said.iter().find(|held| held.bundle == *name).map(|held| held.generation)
    };
    followed
        .iter()
        .filter_map(move |bundle| Some((bundle, of(&bundle.name).filter(|it| it.0 > 0)?)))
}

fn event(
    caller: &Caller,
    action: Action,
    outcome: Outcome,
    bundle: &Bundle,
    generation: Generation,
    details: String,
) -> Event {
    Event {
        actor: caller.actor.clone(),
        action,
        resource: Resource {
            kind: ResourceKind::Bundle,
            id: bundle.name.as_str().to_owned(),
            scope: Some(bundle.scope.to_string()),
        },
        version: Some(generation.0),
        outcome,
        origin: caller.origin.clone(),
        details: Some(details),
    }
}
