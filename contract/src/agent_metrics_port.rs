//! Where an agent shows its own metrics.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::loopback_url::parse_port;

/// The lowest port that a process without privileges may open on every kernel.
const MIN_PORT: u16 = 1024;

/// The port of the agent's metrics, as `enclii.io/agent-metrics` names it: in digits, without a
/// leading zero, so that a policy can compare the text with the container's port.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "u16", into = "u16")]
pub struct AgentMetricsPort(u16);

/// A text is not an [`AgentMetricsPort`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("parse port {0:?}: must be {MIN_PORT} to 65535, as 9876")]
pub struct AgentMetricsPortError(String);

impl AgentMetricsPort {
    /// The number.
    #[must_use]
    pub fn get(self) -> u16 {
        self.0
    }
}

impl TryFrom<u16> for AgentMetricsPort {
    type Error = AgentMetricsPortError;

    fn try_from(port: u16) -> Result<Self, AgentMetricsPortError> {
        if port >= MIN_PORT { Ok(Self(port)) } else { Err(AgentMetricsPortError(port.to_string())) }
    }
}

impl From<AgentMetricsPort> for u16 {
    fn from(port: AgentMetricsPort) -> Self {
        port.0
    }
}

impl FromStr for AgentMetricsPort {
    type Err = AgentMetricsPortError;

    fn from_str(text: &str) -> Result<Self, AgentMetricsPortError> {
        let refuse = || AgentMetricsPortError(text.chars().take(80).collect());
        let port = parse_port(text).filter(|_| !text.starts_with('0')).ok_or_else(refuse)?;
        Self::try_from(port).map_err(|_| refuse())
    }
}

impl fmt::Display for AgentMetricsPort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_that_needs_no_privilege() {
        for (text, expected) in [
            ("1024", Some(1024)),
            ("9876", Some(9876)),
            ("65535", Some(65535)),
            ("0", None),
            ("80", None),
            ("1023", None),
            ("65536", None),
            ("09876", None),
            ("+9876", None),
            ("-1", None),
            ("9876/metrics", None),
            ("metrics", None),
            ("", None),
        ] {
            let found = text.parse::<AgentMetricsPort>();
            assert_eq!(found.as_ref().ok().map(|port| port.get()), expected, "{text:?}");
            match found {
                Ok(port) => assert_eq!(port.to_string(), text),
                Err(error) => assert_eq!(
                    error.to_string(),
                    format!("parse port {text:?}: must be 1024 to 65535, as 9876")
                ),
            }
        }
    }

    #[test]
    fn in_json_it_is_a_number() {
        let port: AgentMetricsPort = serde_json::from_str("9876").unwrap();
        assert_eq!(serde_json::to_string(&port).unwrap(), "9876");
        for json in ["0", "1023", "65536", "\"9876\""] {
            assert!(serde_json::from_str::<AgentMetricsPort>(json).is_err(), "{json}");
        }
    }
}
