//! A container of a pod, as far as admission reads it.

use contract::layout;
use serde::Deserialize;

use super::handler::{Lifecycle, ProbePort};
use super::{EnvVar, Handler, JsonStr, NamedObject, Pod, Requirements};

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Container<'a> {
    #[serde(borrow, default)]
    pub(crate) name: JsonStr<'a>,
    #[serde(borrow)]
    pub(crate) command: Option<Vec<JsonStr<'a>>>,
    #[serde(borrow)]
    pub(crate) args: Option<Vec<JsonStr<'a>>>,
    #[serde(borrow)]
    pub(crate) env: Option<Vec<EnvVar<'a>>>,
    #[serde(borrow)]
    pub(crate) env_from: Option<Vec<EnvFromSource<'a>>>,
    #[serde(borrow)]
    pub(crate) volume_mounts: Option<Vec<VolumeMount<'a>>>,
    #[serde(borrow)]
    security_context: Option<ContainerSecurityContext<'a>>,
    #[serde(borrow)]
    restart_policy: Option<JsonStr<'a>>,
    #[serde(borrow)]
    pub(crate) resources: Option<Requirements<'a>>,
    #[serde(borrow)]
    ports: Option<Vec<ContainerPort<'a>>>,
    #[serde(borrow)]
    liveness_probe: Option<Handler<'a>>,
    #[serde(borrow)]
    readiness_probe: Option<Handler<'a>>,
    #[serde(borrow)]
    startup_probe: Option<Handler<'a>>,
    #[serde(borrow)]
    lifecycle: Option<Lifecycle<'a>>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct ContainerSecurityContext<'a> {
    run_as_user: Option<i64>,
    #[serde(borrow)]
    se_linux_options: Option<SeLinuxOptions<'a>>,
}

#[derive(Debug, Deserialize)]
struct SeLinuxOptions<'a> {
    #[serde(borrow)]
    level: Option<JsonStr<'a>>,
}

/// An entry of `ports`.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct ContainerPort<'a> {
    #[serde(borrow)]
    name: Option<JsonStr<'a>>,
    container_port: Option<i64>,
    #[serde(borrow)]
    protocol: Option<JsonStr<'a>>,
}

/// An entry of `envFrom`.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct EnvFromSource<'a> {
    #[serde(borrow, default)]
    pub(crate) prefix: Option<JsonStr<'a>>,
    #[serde(borrow)]
    pub(crate) secret_ref: Option<NamedObject<'a>>,
}

/// An entry of `volumeMounts`.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct VolumeMount<'a> {
    #[serde(borrow, default)]
    pub(crate) name: JsonStr<'a>,
    #[serde(borrow, default)]
    pub(crate) mount_path: JsonStr<'a>,
    pub(crate) read_only: Option<bool>,
    #[serde(borrow)]
    pub(crate) sub_path: Option<JsonStr<'a>>,
    #[serde(borrow)]
    pub(crate) sub_path_expr: Option<JsonStr<'a>>,
    #[serde(borrow)]
    pub(crate) mount_propagation: Option<JsonStr<'a>>,
}

impl<'a> Container<'a> {
    /// The UID that the manifest sets for the container; `None` if the image decides.
    pub(crate) fn uid(&self, pod: &Pod<'_>) -> Option<i64> {
        let own = self.security_context.as_ref().and_then(|context| context.run_as_user);
        own.or_else(|| pod.spec.security_context.as_ref().and_then(|context| context.run_as_user))
            .filter(|uid| *uid >= 0)
    }

    /// The SELinux level that the manifest sets for this container alone.
    pub(crate) fn selinux_level(&self) -> Option<&str> {
        let context = self.security_context.as_ref()?;
        context.se_linux_options.as_ref()?.level.as_deref()
    }

    /// The probes and hooks, each with the fields that lead to it.
    pub(crate) fn handlers(&self) -> impl Iterator<Item = (&'static [&'static str], &Handler<'_>)> {
        let hooks = self.lifecycle.as_ref();
        [
            (&["livenessProbe"][..], self.liveness_probe.as_ref()),
            (&["readinessProbe"], self.readiness_probe.as_ref()),
            (&["startupProbe"], self.startup_probe.as_ref()),
            (&["lifecycle", "postStart"], hooks.and_then(Lifecycle::post_start)),
            (&["lifecycle", "preStop"], hooks.and_then(Lifecycle::pre_stop)),
        ]
        .into_iter()
        .filter_map(|(field, handler)| Some((field, handler?)))
    }

    /// The probe that says whether it may get requests.
    pub(crate) fn readiness_probe(&self) -> Option<&Handler<'a>> {
        self.readiness_probe.as_ref()
    }

    /// The number of a port of the container; `None` if it has none of that name.
    pub(crate) fn port_number(&self, port: &ProbePort<'_>) -> Option<i64> {
        match port {
            ProbePort::Number(number) => Some(*number),
            ProbePort::Name(name) => {
                let mut ports = self.ports.iter().flatten();
                ports.find(|port| port.name.as_ref() == Some(name))?.container_port
            }
        }
    }

    /// The field that says that the container listens on a TCP port: one of its ports, or else a
    /// probe or a hook.
    pub(crate) fn field_of_port(&self, port: i64) -> Option<String> {
        let is_tcp = |it: &ContainerPort<'_>| matches!(it.protocol.as_deref(), None | Some("TCP"));
        let mut ports = self.ports.iter().flatten();
        let declared = ports.position(|it| it.container_port == Some(port) && is_tcp(it));
        declared.map(|index| format!("ports[{index}]")).or_else(|| {
            let mut handlers = self.handlers();
            let goes_there = |handler: &Handler<'_>| {
                handler.port().and_then(|it| self.port_number(it)) == Some(port)
            };
            let (field, _) = handlers.find(|(_, handler)| goes_there(handler))?;
            Some(field.join("."))
        })
    }

    /// Whether it has the agent's name.
    pub(crate) fn is_agent(&self) -> bool {
        &*self.name == layout::AGENT_CONTAINER
    }

    /// The first entry of `env` with a name.
    pub(crate) fn variable(&self, name: &str) -> Option<&EnvVar<'a>> {
        self.env.iter().flatten().find(|variable| &*variable.name == name)
    }

    /// Whether an init container keeps running beside the application.
    pub(crate) fn is_sidecar(&self) -> bool {
        self.restart_policy.as_deref() == Some("Always")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_container_s_uid_overrides_the_pod_s() {
        let pod = Pod::parse(
            r#"{"spec":{"securityContext":{"runAsUser":1},"containers":[{"securityContext":{"runAsUser":2}},{"securityContext":{}},{}]}}"#,
        )
        .unwrap();
        let uids: Vec<_> = pod.containers().map(|(_, container)| container.uid(&pod)).collect();
        assert_eq!(uids, [Some(2), Some(1), Some(1)]);
    }
}
