//! The application's own readiness probe, which the agent runs where a pod names no check.

use serde::{Deserialize, Serialize};

/// A probe of the loopback, as the pod's spec has it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "type")]
pub enum Readiness {
    /// A GET is answered with a status from 200 to 399.
    Http {
        /// The port.
        port: u16,
        /// The path with its query, from the leading slash on.
        path: String,
        /// Whether it is asked over TLS. As kubelet does, without a look at the certificate.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        tls: bool,
    },
    /// A connection is accepted.
    Tcp {
        /// The port.
        port: u16,
    },
}
