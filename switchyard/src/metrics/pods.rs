//! The metrics of what agents report of their pods.

use contract::stream::{CheckOutcome, CheckStage};
use prometheus_client::encoding::{EncodeLabelSet, EncodeLabelValue};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::registry::Registry;

use super::Metrics;

/// What became of an event on a pod.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, EncodeLabelValue)]
pub(crate) enum PodEventOutcome {
    /// There were too many.
    Dropped,
    /// The API server did not take it.
    Failed,
    /// It was written.
    Ok,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct PodEventLabels {
    outcome: PodEventOutcome,
}

/// A check in a pod. Stages and outcomes are words of the protocol, so there are few.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct PodCheckLabels {
    stage: &'static str,
    outcome: &'static str,
}

/// How a request to an application ended: `ok` or `failed`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct PodRequestLabels {
    outcome: &'static str,
}

/// The metrics of what agents report.
#[derive(Clone, Debug, Default)]
pub(super) struct PodMetrics {
    applied: Counter,
    failed: Counter,
    restored: Counter,
    checks: Family<PodCheckLabels, Counter>,
    events: Family<PodEventLabels, Counter>,
    requests: Family<PodRequestLabels, Counter>,
}

impl PodMetrics {
    pub(super) fn register(&self, registry: &mut Registry) {
        let Self { applied, failed, restored, checks, events, requests } = self;
        registry.register(
            "applied_generations",
            "Generations that agents reported as applied",
            applied.clone(),
        );
        registry.register(
            "failed_generations",
            "Generations that agents reported as failed",
            failed.clone(),
        );
        registry.register(
            "restored_generations",
            "Generations that agents restored because a later one failed a check",
            restored.clone(),
        );
        registry.register(
            "pod_checks",
            "Checks that agents reported, by when they ran and their outcome",
            checks.clone(),
        );
        registry.register(
            "pod_events",
            "Kubernetes events on pods, by whether they were written",
            events.clone(),
        );
        registry.register(
            "pod_requests",
            "Requests of applications that agents counted after a delivery, by how they ended",
            requests.clone(),
        );
    }
}

impl Metrics {
    /// Counts the report of an agent on a generation.
    pub(crate) fn generation_reported(&self, applied: bool) {
        if applied { &self.pods.applied } else { &self.pods.failed }.inc();
    }

    /// Counts a generation that an agent restored.
    pub(crate) fn generation_restored(&self) {
        self.pods.restored.inc();
    }

    /// Counts the outcome of a check in a pod.
    pub(crate) fn checked(&self, stage: CheckStage, outcome: CheckOutcome) {
        let labels = PodCheckLabels { stage: stage.as_str(), outcome: outcome.as_str() };
        self.pods.checks.get_or_create(&labels).inc();
    }

    /// Counts the requests of an application. What an agent says is no more than a number.
    pub(crate) fn pod_requests(&self, requests: u64, errors: u64) {
        let ok = requests.saturating_sub(errors);
        for (outcome, count) in [("failed", errors), ("ok", ok)] {
            self.pods.requests.get_or_create(&PodRequestLabels { outcome }).inc_by(count);
        }
    }

    /// Counts what became of an event on a pod.
    pub(crate) fn pod_event(&self, outcome: PodEventOutcome) {
        self.pods.events.get_or_create(&PodEventLabels { outcome }).inc();
    }
}
