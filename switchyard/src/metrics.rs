//! The metrics of switchyard. Label values are enums or names from the operator's configuration, so
//! that the name of a secret or a pod never becomes a label.

mod pods;

use std::time::Duration;

use prometheus_client::encoding::{EncodeLabelSet, EncodeLabelValue};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::Registry;

pub(crate) use pods::PodEventOutcome;
use pods::PodMetrics;

/// What a request or a stream does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, EncodeLabelValue)]
pub(crate) enum Operation {
    /// Changing what is written beside a value.
    Annotate,
    /// Deleting a secret.
    Delete,
    /// Delivering a generation to a pod.
    Deliver,
    /// Destroying versions.
    Destroy,
    /// Opening a stream.
    Login,
    /// Reading a value.
    Read,
    /// Rolling back to an older version.
    Rollback,
    /// Rotating a secret.
    Rotate,
    /// Restoring a deleted secret.
    Undelete,
    /// Writing values.
    Write,
}

/// How an operation ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, EncodeLabelValue)]
pub(crate) enum OperationOutcome {
    /// By a rule, or for lack of a valid credential.
    Denied,
    /// By a fault of the server.
    Failed,
    /// With success.
    Ok,
    /// By a mistake in the request.
    Refused,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OperationLabels {
    operation: Operation,
    outcome: OperationOutcome,
}

/// A sink of the audit log. The operator names the sinks in a file, so there are few.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct SinkLabels {
    sink: String,
}

/// How a refusal gets into the audit log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, EncodeLabelValue)]
enum RefusalRecord {
    /// In the count of another event.
    Counted,
    /// As an event.
    Event,
}

/// How near its end a credential is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, EncodeLabelValue)]
enum ExpiryState {
    /// It ended.
    Ended,
    /// It ends within `--expiry-warning`.
    Soon,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ExpiryLabels {
    state: ExpiryState,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RefusalLabels {
    record: RefusalRecord,
}

/// The metrics of checkpoints and exports of the audit log.
#[derive(Clone, Debug, Default)]
struct AuditMetrics {
    exported: Family<SinkLabels, Counter>,
    export_failures: Family<SinkLabels, Counter>,
    export_pending: Family<SinkLabels, Gauge>,
    export_lag: Family<SinkLabels, Gauge>,
    checkpoint_sequence: Gauge,
    broken: Gauge,
    refusals: Family<RefusalLabels, Counter>,
}

impl AuditMetrics {
    fn register(&self, registry: &mut Registry) {
        let Self {
            exported,
            export_failures,
            export_pending,
            export_lag,
            checkpoint_sequence,
            broken,
            refusals,
        } = self;
        registry.register(
            "audit_exported_events",
            "Audit events that a sink has confirmed",
            exported.clone(),
        );
        registry.register(
            "audit_export_failures",
            "Batches of audit events that a sink did not confirm",
            export_failures.clone(),
        );
        registry.register(
            "audit_export_pending_events",
            "Audit events that a sink has not confirmed yet",
            export_pending.clone(),
        );
        registry.register(
            "audit_export_lag_seconds",
            "Age of the oldest audit event that a sink has not confirmed yet",
            export_lag.clone(),
        );
        registry.register(
            "audit_checkpoint_sequence",
            "Number of the last audit event that a signed checkpoint covers",
            checkpoint_sequence.clone(),
        );
        registry.register(
            "audit_log_broken",
            "1 if the audit log does not continue from the last signed checkpoint, else 0",
            broken.clone(),
        );
        registry.register(
            "audit_refusals",
            "Refusals, by whether they are audit events of their own or in the count of one",
            refusals.clone(),
        );
    }
}

/// The metrics. Clones share them.
#[derive(Clone, Debug)]
pub(crate) struct Metrics {
    operations: Family<OperationLabels, Counter>,
    open_streams: Gauge,
    delivery_duration: Histogram,
    pods: PodMetrics,
    data_size: Gauge,
    data_free: Gauge,
    expiring: Family<ExpiryLabels, Gauge>,
    forgeries: Counter,
    audit: AuditMetrics,
}

impl Metrics {
    pub(crate) fn new(registry: &mut Registry) -> Self {
        let metrics = Self {
            operations: Family::default(),
            open_streams: Gauge::default(),
            // 1 ms to 32 s.
            delivery_duration: Histogram::new(exponential_buckets(0.001, 2.0, 16)),
            pods: PodMetrics::default(),
            data_size: Gauge::default(),
            data_free: Gauge::default(),
            expiring: Family::default(),
            forgeries: Counter::default(),
            audit: AuditMetrics::default(),
        };
        let Self {
            operations,
            open_streams,
            delivery_duration,
            pods,
            data_size,
            data_free,
            expiring,
            forgeries,
            audit,
        } = &metrics;
        let registry = registry.sub_registry_with_prefix("enclii_switchyard");
        audit.register(registry);
        pods.register(registry);
        registry.register(
            "operations",
            "Requests and deliveries by operation and outcome",
            operations.clone(),
        );
        registry.register("agent_streams", "Open streams of agents", open_streams.clone());
        registry.register(
            "delivery_duration_seconds",
            "From the commit of a generation to its last byte on an open stream",
            delivery_duration.clone(),
        );
        registry.register(
            "ledger_forgeries",
            "Times that something in the ledger was not as switchyard wrote it, and was refused",
            forgeries.clone(),
        );
        registry.register(
            "data_volume_size_bytes",
            "Size of the volume of the SQLite database; 0 with PostgreSQL",
            data_size.clone(),
        );
        registry.register(
            "data_volume_free_bytes",
            "Free space of the volume of the SQLite database; 0 with PostgreSQL",
            data_free.clone(),
        );
        registry.register(
            "expiring_credentials",
            "Secrets whose credential ended at its issuer, or ends soon",
            expiring.clone(),
        );
        metrics
    }

    pub(crate) fn count(&self, operation: Operation, outcome: OperationOutcome) {
        self.operations.get_or_create(&OperationLabels { operation, outcome }).inc();
    }

    pub(crate) fn delivered(&self, duration: Duration) {
        self.delivery_duration.observe(duration.as_secs_f64());
    }

    /// A sink has confirmed events.
    pub(crate) fn exported(&self, sink: &str, events: usize) {
        let labels = SinkLabels { sink: sink.to_owned() };
        self.audit.exported.get_or_create(&labels).inc_by(events as u64);
    }

    /// A sink did not confirm a batch.
    pub(crate) fn export_failed(&self, sink: &str) {
        self.audit.export_failures.get_or_create(&SinkLabels { sink: sink.to_owned() }).inc();
    }

    /// How many events a sink has not confirmed, and the age of the oldest in seconds.
    pub(crate) fn export_lag(&self, sink: &str, events: u64, seconds: i64) {
        let labels = SinkLabels { sink: sink.to_owned() };
        let events = i64::try_from(events).unwrap_or(i64::MAX);
        self.audit.export_pending.get_or_create(&labels).set(events);
        self.audit.export_lag.get_or_create(&labels).set(seconds);
    }

    /// A checkpoint was signed and stored.
    pub(crate) fn checkpoint_signed(&self, sequence: u64) {
        self.audit.checkpoint_sequence.set(i64::try_from(sequence).unwrap_or(i64::MAX));
    }

    /// Whether the audit log does not continue from the last signed checkpoint.
    pub(crate) fn audit_log_broken(&self, broken: bool) {
        self.audit.broken.set(broken.into());
    }

    /// Something in the ledger was not as switchyard wrote it.
    pub(crate) fn found_forgery(&self) {
        self.forgeries.inc();
    }

    /// Counts a refusal, which is in the count of an audit event or an event of its own.
    pub(crate) fn refused(&self, counted: bool) {
        let record = if counted { RefusalRecord::Counted } else { RefusalRecord::Event };
        self.audit.refusals.get_or_create(&RefusalLabels { record }).inc();
    }

    /// The size and the free space of the data volume, in bytes.
    pub(crate) fn data_volume(&self, size: u64, free: u64) {
        let clamp = |bytes| i64::try_from(bytes).unwrap_or(i64::MAX);
        self.data_size.set(clamp(size));
        self.data_free.set(clamp(free));
    }

    /// How many credentials ended, and how many end soon.
    pub(crate) fn credentials_expiring(&self, ended: u64, soon: u64) {
        for (state, count) in [(ExpiryState::Ended, ended), (ExpiryState::Soon, soon)] {
            let count = i64::try_from(count).unwrap_or(i64::MAX);
            self.expiring.get_or_create(&ExpiryLabels { state }).set(count);
        }
    }

    /// Counts an open stream until the result is dropped.
    pub(crate) fn stream_opened(&self) -> OpenStream {
        self.open_streams.inc();
        OpenStream(self.open_streams.clone())
    }
}

/// Counts one open stream.
#[derive(Debug)]
pub(crate) struct OpenStream(Gauge);

impl Drop for OpenStream {
    fn drop(&mut self) {
        self.0.dec();
    }
}

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use contract::stream::{CheckOutcome, CheckStage};
    use prometheus_client::encoding::text::encode;

    use super::*;

    #[test]
    fn every_metric_is_documented() {
        let mut registry = Registry::default();
        runtime::metrics::register_process(&mut registry, SystemTime::now());
        let metrics = Metrics::new(&mut registry);
        metrics.count(Operation::Read, OperationOutcome::Ok);
        metrics.exported("siem", 1);
        metrics.export_failed("siem");
        metrics.export_lag("siem", 1, 1);
        metrics.refused(true);
        metrics.checked(CheckStage::After, CheckOutcome::Passed);
        metrics.pod_event(PodEventOutcome::Ok);
        metrics.pod_requests(2, 1);
        metrics.credentials_expiring(1, 2);
        let mut exposition = String::new();
        encode(&mut exposition, &registry).unwrap();
        e2e::metrics::assert_documented(&exposition, &["enclii_switchyard_", "process_"]);
    }
}
