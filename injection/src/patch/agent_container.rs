//! The agent's container in its canonical form: with every field that the API server would default
//! and that a second pass compares. Fields are in the order of their names.

use contract::agent_config::AgentConfig;
use contract::rendered::Contents;
use contract::{AgentMetricsPort, Placement, layout};
use serde::Serialize;

use super::new_mount::NewMount;
use super::new_variable::NewVariable;
use super::secret_volumes::agent_mounts;
use crate::agent_resources::AgentRequirements;
use crate::agent_settings::AgentSettings;
use crate::config::InjectionConfig;
use crate::haproxy_socket::HaproxySocket;

/// The container.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct AgentContainer<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    args: Option<[&'static str; 1]>,
    env: [NewVariable; 2],
    image: &'a str,
    image_pull_policy: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    lifecycle: Option<AgentLifecycle>,
    name: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    ports: Option<[AgentPort; 1]>,
    resources: &'a AgentRequirements,
    #[serde(skip_serializing_if = "Option::is_none")]
    restart_policy: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    restart_policy_rules: Option<[RestartRule; 1]>,
    security_context: AgentSecurityContext<'a>,
    volume_mounts: Vec<NewMount<'a>>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct AgentLifecycle {
    post_start: CommandHook,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
enum CommandHook {
    Exec { command: [&'static str; 2] },
}

/// A port that opens nothing by itself: monitoring finds the agent by it.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct AgentPort {
    container_port: AgentMetricsPort,
    name: &'static str,
    protocol: &'static str,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct RestartRule {
    action: &'static str,
    exit_codes: ExitCodes,
}

#[derive(Serialize)]
struct ExitCodes {
    operator: &'static str,
    values: [u8; 1],
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct AgentSecurityContext<'a> {
    allow_privilege_escalation: bool,
    capabilities: DroppedCapabilities,
    read_only_root_filesystem: bool,
    run_as_non_root: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    run_as_user: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    se_linux_options: Option<AgentSeLinux<'a>>,
    seccomp_profile: SeccompProfile,
}

#[derive(Serialize)]
struct DroppedCapabilities {
    drop: [&'static str; 1],
}

#[derive(Serialize)]
struct AgentSeLinux<'a> {
    level: &'a str,
}

#[derive(Serialize)]
struct SeccompProfile {
    r#type: &'static str,
}

impl<'a> AgentContainer<'a> {
    /// The container of an agent with this configuration, and its text.
    pub(super) fn new(
        agent_config: &'a AgentConfig,
        config_value: String,
        settings: &'a AgentSettings<'_>,
        config: &'a InjectionConfig,
    ) -> Self {
        let stays = settings.placement.is_some();
        Self {
            args: (!stays).then_some(["init"]),
            env: [
                NewVariable::literal(layout::CONFIG_VARIABLE, config_value),
                NewVariable::pod_uid(),
            ],
            image: &config.agent_image,
            image_pull_policy: config.agent_image_pull_policy.as_str(),
            lifecycle: stays.then_some(AgentLifecycle {
                post_start: CommandHook::Exec { command: [layout::AGENT_PROGRAM, "wait"] },
            }),
            name: layout::AGENT_CONTAINER,
            ports: agent_config.agent_metrics.map(|container_port| {
                [AgentPort { container_port, name: layout::AGENT_METRICS_PORT, protocol: "TCP" }]
            }),
            resources: &settings.resources.requirements,
            restart_policy: (settings.placement == Some(Placement::Native)).then_some("Always"),
            restart_policy_rules: settings.restarts.then_some([RestartRule {
                action: "RestartAllContainers",
                exit_codes: ExitCodes { operator: "In", values: [layout::RESTART_EXIT_CODE] },
            }]),
            security_context: security_context(settings),
            volume_mounts: mounts(agent_config, settings),
        }
    }
}

fn security_context<'a>(settings: &'a AgentSettings<'_>) -> AgentSecurityContext<'a> {
    AgentSecurityContext {
        allow_privilege_escalation: false,
        capabilities: DroppedCapabilities { drop: ["ALL"] },
        read_only_root_filesystem: true,
        run_as_non_root: settings.uid != Some(0),
        run_as_user: settings.uid,
        se_linux_options: settings.selinux_level.map(|level| AgentSeLinux { level }),
        seccomp_profile: SeccompProfile { r#type: "RuntimeDefault" },
    }
}

fn mounts<'a>(agent_config: &'a AgentConfig, settings: &'a AgentSettings<'_>) -> Vec<NewMount<'a>> {
    let mut mounts = Vec::with_capacity(4);
    mounts.push(NewMount::writable(layout::SECRETS_VOLUME, layout::SECRETS_DIRECTORY));
    mounts.push(NewMount::read_only(layout::TOKEN_VOLUME, layout::TOKEN_DIRECTORY));
    if agent_config.program_directory.is_some() {
        mounts.push(NewMount::writable(layout::PROGRAM_VOLUME, layout::PROGRAM_DIRECTORY));
    }
    let mut rendered = agent_config.files.rendered.iter();
    if rendered.any(|it| matches!(it.contents, Contents::TemplateFile(_))) {
        mounts.push(NewMount::read_only(layout::TEMPLATE_VOLUME, layout::TEMPLATE_DIRECTORY));
    }
    mounts.extend(agent_mounts(&agent_config.files.volumes));
    mounts.extend(settings.haproxy.as_ref().map(socket_mount));
    mounts
}

/// The mount of HAProxy's socket. A socket can be connected to on a read-only mount.
fn socket_mount<'a>(socket: &'a HaproxySocket<'_>) -> NewMount<'a> {
    match socket.sub_path {
        Some(part) => NewMount::part(socket.volume, part, layout::SOCKET_DIRECTORY),
        None => NewMount::read_only(socket.volume, layout::SOCKET_DIRECTORY),
    }
}
