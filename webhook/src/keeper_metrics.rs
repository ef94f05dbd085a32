//! The metrics of the certificate keeper.

use std::sync::Arc;
use std::time::SystemTime;

use certs::resolver::CertResolver;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::Registry;

/// The metrics. Clones share them.
#[derive(Clone, Debug)]
pub struct KeeperMetrics {
    repairs: Counter,
}

impl KeeperMetrics {
    /// Registers the metrics. `resolver` has the certificate that the keeper made last.
    #[must_use]
    pub fn register(registry: &mut Registry, resolver: Arc<CertResolver>) -> Self {
        let registry = registry.sub_registry_with_prefix("enclii_certificates");
        let repairs = Counter::default();
        registry.register(
            "registration_repairs",
            "Writes of caBundle to a registration of the webhook",
            repairs.clone(),
        );
        registry.register_collector(Box::new(ExpiryCollector(resolver)));
        Self { repairs }
    }

    /// Counts a repair of the registration.
    pub fn record_registration_repair(&self) {
        self.repairs.inc();
    }
}

/// Reads the expiry at each scrape.
#[derive(Debug)]
struct ExpiryCollector(Arc<CertResolver>);

impl Collector for ExpiryCollector {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), std::fmt::Error> {
        let expiry = self.0.certificate().map(|certificate| certificate.validity().not_after);
        let since = expiry.and_then(|expiry| expiry.duration_since(SystemTime::UNIX_EPOCH).ok());
        let Some(since) = since else { return Ok(()) };
        let gauge = ConstGauge::new(since.as_secs_f64());
        gauge.encode(encoder.encode_descriptor(
            "expiry_timestamp_seconds",
            "Expiry of the webhook's certificate that was made last, in seconds since the Unix \
             epoch",
            None,
            gauge.metric_type(),
        )?)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

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
        let _metrics = KeeperMetrics::register(&mut registry, resolver);
        let mut exposition = String::new();
        encode(&mut exposition, &registry).unwrap();
        e2e::metrics::assert_documented(&exposition, &["enclii_certificates_", "process_"]);
    }
}
