//! Whether a pod can have its agent's metrics on the port that it asks for:
//! `enclii.io/agent-metrics`.

use contract::check::CheckKind;
use contract::{AgentMetricsPort, Annotations, ReloadRequest, annotations};

use crate::agent_metrics_problem::AgentMetricsProblem;
use crate::app_container::AppContainer;
use crate::diagnostics::{Diagnostics, Violation};
use crate::pod::Pod;

/// Refuses a port where no agent stays, where it would be the node's, and one of which the pod says
/// that it is the application's: the agent starts first, and the application could not open it.
pub(crate) fn check(
    pod: &Pod<'_>,
    annotations: &Annotations,
    containers: &[AppContainer<'_>],
    diagnostics: &mut Diagnostics,
) {
    let Some(port) = annotations.agent_metrics else { return };
    let mut deny = |problem| diagnostics.deny(Violation::AgentMetrics { problem });
    if annotations.deliver.init_only {
        deny(AgentMetricsProblem::Init);
    }
    if pod.spec.host_network == Some(true) {
        deny(AgentMetricsProblem::HostNetwork);
    }
    let by = by_annotation(port, annotations).or_else(|| by_container(port, containers));
    if let Some(by) = by {
        deny(AgentMetricsProblem::Taken { port, by });
    }
}

/// The annotation by which the agent goes to the application on the port.
fn by_annotation(port: AgentMetricsPort, annotations: &Annotations) -> Option<String> {
    let port = port.get();
    let checks = annotations.verify.iter().flatten();
    let is_checked = checks.map(|check| &check.kind).any(|kind| match kind {
        CheckKind::Tls { port: checked, .. } => *checked == port,
        CheckKind::Http { url, .. } => url.port() == port,
        CheckKind::Login { .. } => false,
    });
    let is_told = matches!(&annotations.reload, ReloadRequest::Http(url) if url.port() == port);
    let is_counted = annotations.metrics.as_ref().is_some_and(|it| it.url().port() == port);
    let key = [
        (is_told, annotations::RELOAD),
        (is_checked, annotations::VERIFY),
        (is_counted, annotations::METRICS),
    ];
    key.iter().find(|(is_taken, _)| *is_taken).map(|(_, key)| format!("annotation {key}"))
}

/// The first field by which a container says that it listens on the port.
fn by_container(port: AgentMetricsPort, containers: &[AppContainer<'_>]) -> Option<String> {
    containers.iter().find_map(|app| {
        let field = app.container.field_of_port(port.get().into())?;
        Some(app.at(format_args!(".{field}")))
    })
}
