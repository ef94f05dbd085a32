//! The webhook's metrics. Labels are enums, so their cardinality is fixed.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use certs::resolver::CertResolver;
use injection::PlaintextMode;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{
    DescriptorEncoder, EncodeLabelSet, EncodeLabelValue, EncodeMetric, LabelValueEncoder,
};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

use crate::catalog::Catalog;
use crate::operator_config::FileIsUsed;
use crate::review::{Outcome, PlaintextOutcome};

/// The metrics. Clones share them.
#[derive(Clone, Debug)]
pub struct Metrics {
    /// One per [`Outcome`], in the order of [`Outcome::ALL`], so that counting takes no lock.
    reviews: Arc<[Counter]>,
    duration: Histogram,
    warnings: Counter,
    rejected: Family<RejectLabels, Counter>,
    plaintext: Family<PlaintextLabels, Counter>,
}

/// Why a request was rejected before its review was parsed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum RejectReason {
    /// The body is over the limit.
    BodyTooLarge,
    /// The body did not arrive in time.
    BodyTimeout,
    /// Too many large bodies at one time.
    TooManyLargeBodies,
    /// The connection was lost.
    ConnectionLost,
    /// The caller is not the API server.
    UnknownCaller,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ReviewLabels {
    outcome: Outcome,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RejectLabels {
    reason: RejectReason,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct PlaintextLabels {
    mode: ModeLabel,
    outcome: PlaintextOutcome,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct ModeLabel(PlaintextMode);

impl EncodeLabelValue for ModeLabel {
    fn encode(&self, encoder: &mut LabelValueEncoder<'_>) -> Result<(), std::fmt::Error> {
        self.0.as_str().encode(encoder)
    }
}

impl EncodeLabelValue for PlaintextOutcome {
    fn encode(&self, encoder: &mut LabelValueEncoder<'_>) -> Result<(), std::fmt::Error> {
        self.as_str().encode(encoder)
    }
}

impl EncodeLabelValue for Outcome {
    fn encode(&self, encoder: &mut LabelValueEncoder<'_>) -> Result<(), std::fmt::Error> {
        self.as_str().encode(encoder)
    }
}

impl EncodeLabelValue for RejectReason {
    fn encode(&self, encoder: &mut LabelValueEncoder<'_>) -> Result<(), std::fmt::Error> {
        let text = match self {
            Self::BodyTooLarge => "body_too_large",
            Self::BodyTimeout => "body_timeout",
            Self::TooManyLargeBodies => "too_many_large_bodies",
            Self::ConnectionLost => "connection_lost",
            Self::UnknownCaller => "unknown_caller",
        };
        text.encode(encoder)
    }
}

impl Metrics {
    /// Registers the metrics.
    #[must_use]
    pub fn register(
        registry: &mut Registry,
        (catalog, resolver, is_used): (Catalog, Arc<CertResolver>, FileIsUsed),
    ) -> Self {
        let registry = registry.sub_registry_with_prefix("enclii_webhook");
        let reviews = Family::<ReviewLabels, Counter>::default();
        registry.register("reviews", "Admission reviews, by outcome", reviews.clone());
        // A review takes tens of microseconds; the API server times out after seconds.
        let duration =
            Histogram::new([10e-6, 25e-6, 50e-6, 100e-6, 250e-6, 1e-3, 5e-3, 25e-3, 0.1, 1.0]);
        registry.register(
            "review_duration_seconds",
            "Time from the last byte of a review to its response",
            duration.clone(),
        );
        let warnings = Counter::default();
        registry.register("review_warnings", "Warnings in responses to reviews", warnings.clone());
        let rejected = Family::default();
        registry.register(
            "rejected_requests",
            "Requests rejected before their review was parsed, by reason",
            rejected.clone(),
        );
        let plaintext = Family::<PlaintextLabels, Counter>::default();
        registry.register(
            "plaintext_reviews",
            "Reviews of namespaces with the label enclii.io/plaintext, by its value and outcome",
            plaintext.clone(),
        );
        for mode in PlaintextMode::ALL {
            for outcome in PlaintextOutcome::ALL {
                drop(plaintext.get_or_create(&PlaintextLabels { mode: ModeLabel(mode), outcome }));
            }
        }
        registry.register_collector(Box::new(StateCollector { catalog, resolver, is_used }));
        let reviews = Outcome::ALL
            .iter()
            .map(|outcome| reviews.get_or_create_owned(&ReviewLabels { outcome: *outcome }))
            .collect();
        Self { reviews, duration, warnings, rejected, plaintext }
    }

    /// Counts a review.
    pub fn record_review(&self, outcome: Outcome, warnings: usize, duration: Duration) {
        if let Some(counter) =
            Outcome::ALL.iter().position(|one| *one == outcome).and_then(|at| self.reviews.get(at))
        {
            counter.inc();
        }
        self.warnings.inc_by(warnings as u64);
        self.duration.observe(duration.as_secs_f64());
    }

    /// Counts a review of a namespace with a policy for plaintext.
    pub fn record_plaintext_review(&self, mode: PlaintextMode, outcome: PlaintextOutcome) {
        self.plaintext.get_or_create(&PlaintextLabels { mode: ModeLabel(mode), outcome }).inc();
    }

    /// Counts a rejected request.
    pub fn record_rejected(&self, reason: RejectReason) {
        self.rejected.get_or_create(&RejectLabels { reason }).inc();
    }
}

/// Gauges that are computed at each scrape.
#[derive(Debug)]
struct StateCollector {
    catalog: Catalog,
    resolver: Arc<CertResolver>,
    is_used: FileIsUsed,
}

impl Collector for StateCollector {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), std::fmt::Error> {
        let mut gauge = |name, help, value: f64| {
            let gauge = ConstGauge::new(value);
            gauge.encode(encoder.encode_descriptor(name, help, None, gauge.metric_type())?)
        };
        let bundles = u32::try_from(self.catalog.len()).unwrap_or(u32::MAX);
        gauge("bundles", "Known bundles", f64::from(bundles))?;
        gauge(
            "configuration_up_to_date",
            "1 if the newest configuration file is in force, 0 if it cannot be used",
            f64::from(u8::from(self.is_used.get())),
        )?;
        let expiry =
            self.resolver.certificate().map(|certificate| certificate.validity().not_after);
        match expiry.and_then(|expiry| expiry.duration_since(SystemTime::UNIX_EPOCH).ok()) {
            Some(expiry) => gauge(
                "certificate_expiry_timestamp_seconds",
                "Expiry of the served certificate, in seconds since the Unix epoch",
                expiry.as_secs_f64(),
            ),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use certs::issue::create_ca;
    use prometheus_client::encoding::text::encode;

    use super::*;

    #[test]
    fn every_metric_is_documented() {
        let mut registry = Registry::default();
        runtime::metrics::register_process(&mut registry, SystemTime::now());
        let resolver = CertResolver::new();
        let hour = Duration::from_secs(3600);
        resolver.swap(&create_ca("webhook", SystemTime::now(), hour).unwrap()).unwrap();
        let metrics =
            Metrics::register(&mut registry, (Catalog::default(), resolver, FileIsUsed::default()));
        metrics.record_rejected(RejectReason::BodyTimeout);
        let mut exposition = String::new();
        encode(&mut exposition, &registry).unwrap();
        e2e::metrics::assert_documented(&exposition, &["enclii_webhook_", "process_"]);
    }
}
