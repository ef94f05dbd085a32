//! What switchyard counts. Labels are enums, so that no name of a secret or a pod becomes one.

use std::time::Duration;

use prometheus_client::encoding::{EncodeLabelSet, EncodeLabelValue};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::Registry;

/// A request's way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, EncodeLabelValue)]
pub(crate) enum Operation {
    /// Deleting a secret.
    Delete,
    /// A generation for a pod.
    Deliver,
    /// Destroying versions.
    Destroy,
    /// Opening a stream.
    Login,
    /// Reading a value.
    Read,
    /// Going back to an older version.
    Rollback,
    /// Rotating a secret.
    Rotate,
    /// Bringing a deleted secret back.
    Undelete,
    /// Writing values.
    Write,
}

/// How it ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, EncodeLabelValue)]
pub(crate) enum Ending {
    /// The rules, or the lack of a valid credential.
    Denied,
    /// Something of ours.
    Failed,
    /// As asked.
    Ok,
    /// The request was wrong.
    Refused,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Labels {
    operation: Operation,
    ending: Ending,
}

/// A sink of the audit trail; the operator names them in a file, so there are few.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Sink {
    sink: String,
}

/// What becomes of the audit trail outside of the database.
#[derive(Clone, Debug, Default)]
struct Outside {
    exported: Family<Sink, Counter>,
    failures: Family<Sink, Counter>,
    waiting: Family<Sink, Gauge>,
    age: Family<Sink, Gauge>,
    signed: Gauge,
    broken: Gauge,
}

impl Outside {
    fn register(&self, registry: &mut Registry) {
        let Self { exported, failures, waiting, age, signed, broken } = self;
        registry.register(
            "switchyard_audit_exported",
            "Audit events that a sink has confirmed",
            exported.clone(),
        );
        registry.register(
            "switchyard_audit_export_failures",
            "Batches of audit events that did not arrive",
            failures.clone(),
        );
        registry.register(
            "switchyard_audit_export_waiting",
            "Audit events that a sink does not have yet",
            waiting.clone(),
        );
        registry.register(
            "switchyard_audit_export_age_seconds",
            "Age of the oldest audit event that a sink does not have yet",
            age.clone(),
        );
        registry.register(
            "switchyard_audit_checkpoint_sequence",
            "The last audit event that a checkpoint was signed for",
            signed.clone(),
        );
        registry.register(
            "switchyard_audit_trail_broken",
            "1 where the trail does not lead on from what was signed",
            broken.clone(),
        );
    }
}

/// The numbers. Clones share them.
#[derive(Clone, Debug)]
pub(crate) struct Metrics {
    operations: Family<Labels, Counter>,
    agents: Gauge,
    delivery: Histogram,
    applied: Counter,
    failed: Counter,
    outside: Outside,
}

impl Metrics {
    pub(crate) fn new(registry: &mut Registry) -> Self {
        let metrics = Self {
            operations: Family::default(),
            agents: Gauge::default(),
            // 1 ms to 32 s.
            delivery: Histogram::new(exponential_buckets(0.001, 2.0, 16)),
            applied: Counter::default(),
            failed: Counter::default(),
            outside: Outside::default(),
        };
        let Self { operations, agents, delivery, applied, failed, outside } = &metrics;
        outside.register(registry);
        registry.register(
            "switchyard_operations",
            "Requests and deliveries, by how they ended",
            operations.clone(),
        );
        registry.register("switchyard_agents_connected", "Open streams of agents", agents.clone());
        registry.register(
            "switchyard_delivery_seconds",
            "From the commit of a generation to its last byte on a stream",
            delivery.clone(),
        );
        registry.register(
            "switchyard_generations_applied",
            "Generations that agents put into effect",
            applied.clone(),
        );
        registry.register(
            "switchyard_generations_failed",
            "Generations that agents could not put into effect",
            failed.clone(),
        );
        metrics
    }

    pub(crate) fn count(&self, operation: Operation, ending: Ending) {
        self.operations.get_or_create(&Labels { operation, ending }).inc();
    }

    pub(crate) fn delivered(&self, took: Duration) {
        self.delivery.observe(took.as_secs_f64());
    }

    pub(crate) fn reported(&self, worked: bool) {
        if worked { &self.applied } else { &self.failed }.inc();
    }

    /// A sink has confirmed events.
    pub(crate) fn exported(&self, sink: &str, events: usize) {
        self.outside.exported.get_or_create(&Sink { sink: sink.to_owned() }).inc_by(events as u64);
    }

    /// A batch did not arrive.
    pub(crate) fn export_failed(&self, sink: &str) {
        self.outside.failures.get_or_create(&Sink { sink: sink.to_owned() }).inc();
    }

    /// How many events a sink does not have yet, and the age of the oldest in seconds.
    pub(crate) fn export_lag(&self, sink: &str, events: u64, seconds: i64) {
        let labels = Sink { sink: sink.to_owned() };
        self.outside.waiting.get_or_create(&labels).set(i64::try_from(events).unwrap_or(i64::MAX));
        self.outside.age.get_or_create(&labels).set(seconds);
    }

    /// A checkpoint is where it belongs.
    pub(crate) fn signed(&self, sequence: u64) {
        self.outside.signed.set(i64::try_from(sequence).unwrap_or(i64::MAX));
    }

    /// Whether the trail does not lead on from what was signed.
    pub(crate) fn trail_broken(&self, broken: bool) {
        self.outside.broken.set(broken.into());
    }

    /// Counts an open stream until it is dropped.
    pub(crate) fn connected(&self) -> Connected {
        self.agents.inc();
        Connected(self.agents.clone())
    }
}

/// One open stream.
#[derive(Debug)]
pub(crate) struct Connected(Gauge);

impl Drop for Connected {
    fn drop(&mut self) {
        self.0.dec();
    }
}
