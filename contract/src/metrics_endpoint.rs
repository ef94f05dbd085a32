//! Where the application shows its metrics, in the text format of Prometheus.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::loopback_url::{LoopbackUrl, parse_port};

/// The path if none is named.
const DEFAULT_PATH: &str = "metrics";

/// `PORT/PATH` on the pod's loopback, as `enclii.io/metrics` names it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct MetricsEndpoint(LoopbackUrl);

/// A text is not a [`MetricsEndpoint`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("parse metrics {0:?}: must be PORT/PATH, as 9090/metrics, on the pod's loopback")]
pub struct MetricsEndpointError(String);

impl MetricsEndpoint {
    /// The address.
    #[must_use]
    pub fn url(&self) -> &LoopbackUrl {
        &self.0
    }
}

impl FromStr for MetricsEndpoint {
    type Err = MetricsEndpointError;

    fn from_str(text: &str) -> Result<Self, MetricsEndpointError> {
        let refuse = || MetricsEndpointError(text.chars().take(80).collect());
        let (port, path) = text.split_once('/').unwrap_or((text, DEFAULT_PATH));
        let port = parse_port(port).ok_or_else(refuse)?;
        let url = format!("http://localhost:{port}/{path}").parse().map_err(|_| refuse())?;
        Ok(Self(url))
    }
}

impl TryFrom<String> for MetricsEndpoint {
    type Error = MetricsEndpointError;

    fn try_from(text: String) -> Result<Self, MetricsEndpointError> {
        text.parse()
    }
}

impl From<MetricsEndpoint> for String {
    fn from(endpoint: MetricsEndpoint) -> Self {
        endpoint.to_string()
    }
}

impl fmt::Display for MetricsEndpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.0.port(), self.0.path())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_and_a_path() {
        for (text, canonical) in [
            ("9090", "9090/metrics"),
            ("9090/", "9090/"),
            ("9090/metrics", "9090/metrics"),
            ("15090/stats/prometheus?usedonly", "15090/stats/prometheus?usedonly"),
        ] {
            let endpoint: MetricsEndpoint = text.parse().unwrap();
            assert_eq!(endpoint.to_string(), canonical);
            assert_eq!(canonical.parse::<MetricsEndpoint>().unwrap(), endpoint);
        }
        for text in ["", "/metrics", "0/metrics", "+1/metrics", "65536", "http://h:1/", "80/a b"] {
            assert!(text.parse::<MetricsEndpoint>().is_err(), "{text:?}");
        }
    }
}
