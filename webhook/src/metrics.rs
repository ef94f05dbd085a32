//! What the webhook counts. Labels are enums, so their number is fixed.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use certs::resolver::CertResolver;
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
use crate::review::Outcome;

/// The counters. Clones share them.
#[derive(Clone, Debug)]
pub struct Metrics {
    /// One per [`Outcome`], in the order of [`Outcome::ALL`]: a review takes no lock to be counted.
    reviews: Arc<[Counter]>,
    seconds: Histogram,
    warnings: Counter,
    turned_away: Family<Turned, Counter>,
    repairs: Counter,
}

/// Why a request never became a review.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum TurnedAway {
    /// The body is over the limit.
    TooLarge,
    /// The body did not come in time.
    TooSlow,
    /// Too many large bodies at one time.
    Busy,
    /// The connection broke.
    Broken,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Reviewed {
    outcome: Outcome,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Turned {
    reason: TurnedAway,
}

impl EncodeLabelValue for Outcome {
    fn encode(&self, encoder: &mut LabelValueEncoder<'_>) -> Result<(), std::fmt::Error> {
        self.as_str().encode(encoder)
    }
}

impl EncodeLabelValue for TurnedAway {
    fn encode(&self, encoder: &mut LabelValueEncoder<'_>) -> Result<(), std::fmt::Error> {
        let text = match self {
            Self::TooLarge => "too_large",
            Self::TooSlow => "too_slow",
            Self::Busy => "busy",
            Self::Broken => "broken",
        };
        text.encode(encoder)
    }
}

impl Metrics {
    /// Registers everything that is counted.
    #[must_use]
    pub fn register(
        registry: &mut Registry,
        catalog: Catalog,
        resolver: Arc<CertResolver>,
    ) -> Self {
        let registry = registry.sub_registry_with_prefix("enclii_webhook");
        let reviews = Family::<Reviewed, Counter>::default();
        registry.register("reviews", "Admission reviews by outcome", reviews.clone());
        // A review takes some tens of microseconds; the API server gives up after seconds.
        let seconds =
            Histogram::new([10e-6, 25e-6, 50e-6, 100e-6, 250e-6, 1e-3, 5e-3, 25e-3, 0.1, 1.0]);
        registry.register(
            "review_seconds",
            "Time from a review's last byte to its answer",
            seconds.clone(),
        );
        let (warnings, repairs) = (Counter::default(), Counter::default());
        registry.register("warnings", "Warnings in answers", warnings.clone());
        registry.register(
            "registration_repairs",
            "Times that caBundle was written",
            repairs.clone(),
        );
        let turned_away = Family::default();
        registry.register(
            "turned_away",
            "Requests that never became a review, by reason",
            turned_away.clone(),
        );
        registry.register_collector(Box::new(State { catalog, resolver }));
        let reviews = Outcome::ALL
            .iter()
            .map(|outcome| reviews.get_or_create_owned(&Reviewed { outcome: *outcome }))
            .collect();
        Self { reviews, seconds, warnings, turned_away, repairs }
    }

    /// Counts a review.
    pub fn reviewed(&self, outcome: Outcome, warnings: usize, took: Duration) {
        if let Some(counter) =
            Outcome::ALL.iter().position(|one| *one == outcome).and_then(|at| self.reviews.get(at))
        {
            counter.inc();
        }
        self.warnings.inc_by(warnings as u64);
        self.seconds.observe(took.as_secs_f64());
    }

    /// Counts a request that never became a review.
    pub fn turned_away(&self, reason: TurnedAway) {
        self.turned_away.get_or_create(&Turned { reason }).inc();
    }

    /// Counts a repair of the registration.
    pub fn registration_repaired(&self) {
        self.repairs.inc();
    }
}

/// What is looked up at each scrape.
#[derive(Debug)]
struct State {
    catalog: Catalog,
    resolver: Arc<CertResolver>,
}

impl Collector for State {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), std::fmt::Error> {
        let mut gauge = |name, help, value: f64| {
            let gauge = ConstGauge::new(value);
            gauge.encode(encoder.encode_descriptor(name, help, None, gauge.metric_type())?)
        };
        let bundles = u32::try_from(self.catalog.len()).unwrap_or(u32::MAX);
        gauge("bundles", "Bundles that are known", f64::from(bundles))?;
        let ends = self.resolver.certificate().map(|certificate| certificate.validity().not_after);
        match ends.and_then(|ends| ends.duration_since(SystemTime::UNIX_EPOCH).ok()) {
            Some(ends) => gauge(
                "certificate_end_seconds",
                "End of the served certificate, seconds since 1970",
                ends.as_secs_f64(),
            ),
            None => Ok(()),
        }
    }
}
