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

/// The numbers. Clones share them.
#[derive(Clone, Debug)]
pub(crate) struct Metrics {
    operations: Family<Labels, Counter>,
    agents: Gauge,
    delivery: Histogram,
    applied: Counter,
    failed: Counter,
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
        };
        let Self { operations, agents, delivery, applied, failed } = &metrics;
        registry.register("switchyard_operations", "Requests and deliveries, by how they ended", operations.clone());
        registry.register("switchyard_agents_connected", "Open streams of agents", agents.clone());
        registry.register("switchyard_delivery_seconds", "From the commit of a generation to its last byte on a stream", delivery.clone());
        registry.register("switchyard_generations_applied", "Generations that agents put into effect", applied.clone());
        registry.register("switchyard_generations_failed", "Generations that agents could not put into effect", failed.clone());
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
