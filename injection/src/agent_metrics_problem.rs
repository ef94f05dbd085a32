//! Why a pod cannot have its agent's metrics on the port that it asks for.

use contract::{AgentMetricsPort, annotations};

/// Why the agent cannot open the port, or must not.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum AgentMetricsProblem {
    #[error(
        "the metrics need an agent beside the application, and {}: init leaves none: remove one of \
         them",
        annotations::DELIVER
    )]
    Init,
    #[error(
        "spec.hostNetwork is true, so the port would be the node's, open to everybody who reaches \
         it: remove one of them"
    )]
    HostNetwork,
    #[error(
        "port {port} is the application's ({by}), and all containers of a pod share their ports: \
         name another one"
    )]
    Taken { port: AgentMetricsPort, by: String },
}
