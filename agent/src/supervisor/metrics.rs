//! What the metrics' port shows of the event loop.

use contract::AgentMetricsPort;
use runtime::tasks::Tasks;
use tokio::sync::watch;

use super::Supervisor;
use crate::error::error_chain;
use crate::metrics::{self, AgentMetrics};

/// Starts the task of the port that a pod asks for. A port that cannot be opened never holds up the
/// files. It is not tried again: the application may have it only for as long as it runs, and would
/// not get it back.
pub(super) fn start(
    port: Option<AgentMetricsPort>,
    tasks: &Tasks,
) -> Option<watch::Sender<AgentMetrics>> {
    match metrics::open(port?) {
        Ok(listener) => {
            let (sender, receiver) = watch::channel(AgentMetrics::default());
            let stopping = tasks.stopping();
            let stopped = async move { stopping.cancelled().await };
            tasks.spawn("metrics", metrics::serve(listener, receiver, stopped));
            Some(sender)
        }
        Err(error) => {
            tracing::error!(error = error_chain(&error), "no metrics, files are not affected");
            None
        }
    }
}

impl Supervisor {
    /// Shows the port what is true now.
    pub(super) fn publish_metrics(&self) {
        if let Some(metrics) = &self.metrics {
            metrics.send_replace(self.status.metrics(self.refused.borrow().as_slice()));
        }
    }
}
