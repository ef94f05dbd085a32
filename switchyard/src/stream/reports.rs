//! Turns the report of an agent into audit events and records of the ledger. Pure.

use contract::stream::{BundleGeneration, FailedStep, ReloadOutcome};
use contract::{BundleRef, Generation};

use crate::audit::{Action, Event, Outcome, Pod, Resource, ResourceKind, sanitize};
use crate::repository::{Bundle, PodReport, ReportedState};
use crate::secrets::Caller;

/// The report about one bundle: its audit event, and what the pod holds.
pub(super) struct ReportRecord {
    pub(super) event: Event,
    pub(super) report: PodReport,
}

/// The records of `Applied`, one for each authorized bundle in it.
pub(super) fn applied_records(
    caller: &Caller,
    pod: &Pod,
    authorized: &[Bundle],
    holds: &[BundleGeneration],
    reload: ReloadOutcome,
) -> Vec<ReportRecord> {
    let label = match reload {
        ReloadOutcome::NotNeeded => "not-needed",
        ReloadOutcome::Signalled => "signalled",
        ReloadOutcome::Accepted => "accepted",
        ReloadOutcome::Failed => "failed",
    };
    let outcome = if reload == ReloadOutcome::Failed { Outcome::Failed } else { Outcome::Allowed };
    let record = |bundle: &Bundle, generation| {
        let event = bundle_event(
            caller,
            Action::Applied,
            outcome,
            bundle,
            generation,
            format!("reload {label}"),
        );
        let state = ReportedState::Applied { generation, reload: label.to_owned() };
        ReportRecord { event, report: PodReport { pod: pod.clone(), bundle: bundle.id, state } }
    };
    reported(authorized, holds).map(|(bundle, generation)| record(bundle, generation)).collect()
}

/// The records of `Failed`, one for each authorized bundle in it.
pub(super) fn failed_records(
    caller: &Caller,
    pod: &Pod,
    authorized: &[Bundle],
    wanted: &[BundleGeneration],
    step: FailedStep,
    detail: &str,
) -> Vec<ReportRecord> {
    let label = match step {
        FailedStep::Plan => "plan",
        FailedStep::Write => "write",
        FailedStep::Reload => "reload",
    };
    let detail = sanitize(detail);
    let record = |bundle: &Bundle, generation| {
        let event = bundle_event(
            caller,
            Action::Failed,
            Outcome::Failed,
            bundle,
            generation,
            format!("{label}: {detail}"),
        );
        let state = ReportedState::Failed {
            wanted: generation,
            step: label.to_owned(),
            detail: detail.clone(),
        };
        ReportRecord { event, report: PodReport { pod: pod.clone(), bundle: bundle.id, state } }
    };
    reported(authorized, wanted).map(|(bundle, generation)| record(bundle, generation)).collect()
}

/// The generation that the agent reports of each authorized bundle. Other bundles and generation 0
/// are ignored.
fn reported<'a>(
    authorized: &'a [Bundle],
    holds: &'a [BundleGeneration],
) -> impl Iterator<Item = (&'a Bundle, Generation)> {
    let generation_of = |name: &BundleRef| {
        holds.iter().find(|held| held.bundle == *name).map(|held| held.generation)
    };
    authorized.iter().filter_map(move |bundle| {
        Some((bundle, generation_of(&bundle.name).filter(|it| it.0 > 0)?))
    })
}

fn bundle_event(
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
