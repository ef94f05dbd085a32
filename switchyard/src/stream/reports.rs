//! Turns the report of an agent into audit events and records of the ledger. Pure.

use std::sync::Arc;

use contract::api::PodCheck;
use contract::check::MAX_CHECKS;
use contract::stream::{
    BundleGeneration, CheckOutcome, CheckResult, CheckStage, FailedStep, ReloadOutcome,
};
use contract::{BundleRef, Generation, GenerationTag};
use jiff::Timestamp;

use crate::audit::{Action, Event, Outcome, Pod, Resource, ResourceKind, sanitize};
use crate::repository::{Bundle, PodReport, ReportedState};
use crate::secrets::Caller;

/// The report about one bundle: its audit event, and what the pod holds, if that changed.
pub(super) struct ReportRecord {
    pub(super) event: Event,
    pub(super) report: Option<PodReport>,
}

/// Whose report it is, and about which bundles it may speak.
#[derive(Clone, Copy)]
pub(super) struct Reporter<'a> {
    pub(super) caller: &'a Caller,
    pub(super) pod: &'a Pod,
    pub(super) authorized: &'a [Arc<Bundle>],
}

impl Reporter<'_> {
    /// The records of `Applied`, one for each authorized bundle in it.
    pub(super) fn applied(
        self,
        holds: &[BundleGeneration],
        reload: ReloadOutcome,
    ) -> Vec<ReportRecord> {
        let has_failed = reload == ReloadOutcome::Failed;
        let outcome = if has_failed { Outcome::Failed } else { Outcome::Allowed };
        let reload = reload.as_str();
        let details = format!("reload {reload}");
        self.records(holds, (Action::Applied, outcome), &details, |generation, tag| {
            Some(ReportedState::Applied { generation, tag, reload: reload.to_owned() })
        })
    }

    /// The records of `Failed`, one for each authorized bundle in it.
    pub(super) fn failed(
        self,
        wanted: &[BundleGeneration],
        step: FailedStep,
        detail: &str,
    ) -> Vec<ReportRecord> {
        let (step, detail) = (step.as_str(), sanitize(detail));
        let details = format!("{step}: {detail}");
        self.records(wanted, (Action::Failed, Outcome::Failed), &details, |wanted, _| {
            let (step, detail) = (step.to_owned(), detail.clone());
            Some(ReportedState::Failed { wanted, step, detail })
        })
    }

    /// The records of `Checked`, one for each authorized bundle in it: of a restore, and of a check
    /// that failed. One that passed is no event.
    pub(super) fn checked(
        self,
        wanted: &[BundleGeneration],
        stage: CheckStage,
        checks: &[CheckResult],
    ) -> Vec<ReportRecord> {
        let has_failed = checks.iter().any(|it| it.outcome == CheckOutcome::Failed);
        let outcome = if has_failed { Outcome::Failed } else { Outcome::Allowed };
        let details = format!("{}: {}", stage.as_str(), summary(checks));
        if stage == CheckStage::Restored {
            let kind = (Action::Reverted, outcome);
            return self.records(wanted, kind, &details, |generation, tag| {
                Some(ReportedState::Restored { generation, tag })
            });
        }
        if !has_failed {
            return Vec::new();
        }
        self.records(wanted, (Action::Checked, outcome), &details, |_, _| None)
    }

    fn records(
        self,
        generations: &[BundleGeneration],
        (action, outcome): (Action, Outcome),
        details: &str,
        state: impl Fn(Generation, Option<GenerationTag>) -> Option<ReportedState>,
    ) -> Vec<ReportRecord> {
        let Self { caller, pod, authorized } = self;
        let record = |(bundle, held): (&Arc<Bundle>, &BundleGeneration)| {
            let report = state(held.generation, held.tag.clone()).map(|state| PodReport {
                pod: pod.clone(),
                bundle: bundle.id,
                state,
            });
            let event = Event {
                actor: caller.actor.clone(),
                action,
                resource: Resource {
                    kind: ResourceKind::Bundle,
                    id: bundle.name.as_str().to_owned(),
                    scope: Some(bundle.scope.to_string()),
                },
                version: Some(held.generation.0),
                outcome,
                origin: caller.origin.clone(),
                details: Some(details.to_owned()),
            };
            ReportRecord { event, report }
        };
        reported(authorized, generations).map(record).collect()
    }

    /// The generations of authorized bundles, as people read them.
    pub(super) fn names(self, generations: &[BundleGeneration]) -> String {
        let name = |(bundle, held): (&Arc<Bundle>, &BundleGeneration)| {
            format!("{} generation {}", bundle.name, held.generation)
        };
        let names: Vec<String> = reported(self.authorized, generations).map(name).collect();
        names.join(", ")
    }
}

/// The checks of a stage, as they are stored. What an agent sends is cut to a length.
pub(super) fn stored_checks(
    stage: CheckStage,
    checks: &[CheckResult],
    at: Timestamp,
) -> Vec<PodCheck> {
    let one = |it: &CheckResult| PodCheck {
        stage: stage.as_str().to_owned(),
        check: sanitize(&it.check),
        outcome: it.outcome.as_str().to_owned(),
        in_use: it.in_use,
        detail: sanitize(&it.detail),
        at,
    };
    checks.iter().take(MAX_CHECKS).map(one).collect()
}

/// The checks in one line: those that failed with what was seen.
pub(super) fn summary(checks: &[CheckResult]) -> String {
    let one = |it: &CheckResult| match it.outcome {
        CheckOutcome::Failed => format!("{} failed: {}", it.check, it.detail),
        outcome => format!("{} {}", it.check, outcome.as_str()),
    };
    let is_failed = |it: &&CheckResult| it.outcome == CheckOutcome::Failed;
    let failed = checks.iter().filter(is_failed);
    let others = checks.iter().filter(|it| !is_failed(it));
    let all: Vec<String> = failed.chain(others).take(MAX_CHECKS).map(one).collect();
    if all.is_empty() { "no checks".to_owned() } else { sanitize(&all.join("; ")) }
}

/// What the agent reports of each authorized bundle. Other bundles and generation 0 are ignored.
fn reported<'a>(
    authorized: &'a [Arc<Bundle>],
    generations: &'a [BundleGeneration],
) -> impl Iterator<Item = (&'a Arc<Bundle>, &'a BundleGeneration)> {
    let of = |name: &BundleRef| generations.iter().find(|held| held.bundle == *name);
    authorized.iter().filter_map(move |bundle| {
        Some((bundle, of(&bundle.name).filter(|it| it.generation.0 > 0)?))
    })
}
