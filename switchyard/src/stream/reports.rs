//! Turns the report of an agent into audit events and records of the ledger. Pure.

use contract::stream::{Held, Outcome as Reload, Step};
use contract::{BundleRef, Generation};

use crate::audit::{Action, Event, Outcome, Pod, Resource, ResourceKind, sanitize};
use crate::repository::{Bundle, PodReport, ReportedState};
use crate::secrets::Caller;

/// The report about one bundle: its audit event, and what the pod holds.
pub(super) struct ReportRecord {
    pub(super) event: Event,
    pub(super) report: PodReport,
}

/// The records of `Applied`, one for each admitted bundle in it.
pub(super) fn applied(
    caller: &Caller,
    pod: &Pod,
    admitted: &[Bundle],
    holds: &[Held],
    reload: Reload,
) -> Vec<ReportRecord> {
    let word = match reload {
        Reload::NotNeeded => "not-needed",
        Reload::Signalled => "signalled",
        Reload::Accepted => "accepted",
        Reload::Failed => "failed",
    };
    let outcome = if reload == Reload::Failed { Outcome::Failed } else { Outcome::Allowed };
    let record = |bundle: &Bundle, generation| {
        let event =
            event(caller, Action::Applied, outcome, bundle, generation, format!("reload {word}"));
        let state = ReportedState::Applied { generation, reload: word.to_owned() };
        ReportRecord { event, report: PodReport { pod: pod.clone(), bundle: bundle.id, state } }
    };
    reported(admitted, holds).map(|(bundle, generation)| record(bundle, generation)).collect()
}

/// The records of `Failed`, one for each admitted bundle in it.
pub(super) fn failed(
    caller: &Caller,
    pod: &Pod,
    admitted: &[Bundle],
    wanted: &[Held],
    step: Step,
    detail: &str,
) -> Vec<ReportRecord> {
    let word = match step {
        Step::Plan => "plan",
        Step::Write => "write",
        Step::Reload => "reload",
    };
    let detail = sanitize(detail);
    let record = |bundle: &Bundle, generation| {
        let event = event(
            caller,
            Action::Failed,
            Outcome::Failed,
            bundle,
            generation,
            format!("{word}: {detail}"),
        );
        let state = ReportedState::Failed {
            wanted: generation,
            step: word.to_owned(),
            detail: detail.clone(),
        };
        ReportRecord { event, report: PodReport { pod: pod.clone(), bundle: bundle.id, state } }
    };
    reported(admitted, wanted).map(|(bundle, generation)| record(bundle, generation)).collect()
}

/// The generation that the agent reports of each admitted bundle. Other bundles and generation 0
/// are ignored.
fn reported<'a>(
    admitted: &'a [Bundle],
    holds: &'a [Held],
) -> impl Iterator<Item = (&'a Bundle, Generation)> {
    let generation_of = |name: &BundleRef| {
        holds.iter().find(|held| held.bundle == *name).map(|held| held.generation)
    };
    admitted.iter().filter_map(move |bundle| {
        Some((bundle, generation_of(&bundle.name).filter(|it| it.0 > 0)?))
    })
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
