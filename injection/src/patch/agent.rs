//! The agent's container: a native sidecar. It comes first among the init containers, so that it
//! starts first and stops last, and its `postStart` hook ends when every file is written. In a pod
//! that asks for its secrets once, it is an ordinary init container.

use contract::agent_config::{self, AgentConfig, Files, MountPoint, Source};
use contract::rendered::Contents;
use contract::{Annotations, Quantity, ReloadRequest, SecretName, layout};
use json_patch::PatchOperation;
use json_patch::jsonptr::Pointer;
use serde_json::{Value, json};

use super::agent_env::{config_value, pod_uid};
use super::{add, append, reinvocation, templates};
use crate::agent_settings::AgentSettings;
use crate::config::{InjectionConfig, Resources};
use crate::container_path::ContainerList;
use crate::diagnostics::{Diagnostics, Violation};
use crate::pod::Pod;

const INIT_CONTAINERS: &Pointer = Pointer::from_static("/spec/initContainers");

/// Adds the operations that insert the agent. If an earlier pass has inserted it, adapts it to the
/// containers that were added since.
pub(crate) fn patch(
    pod: &Pod<'_>,
    agent_config: &AgentConfig,
    settings: &AgentSettings<'_>,
    config: &InjectionConfig,
    diagnostics: &mut Diagnostics,
    patch: &mut Vec<PatchOperation>,
) {
    let container = container(agent_config, settings, config);
    let mut is_present = false;
    for (path, _) in pod.containers().filter(|(_, found)| &*found.name == layout::AGENT_CONTAINER) {
        let outcome = match path.list {
            ContainerList::Containers => Err("it is not an init container".to_owned()),
            ContainerList::InitContainers if is_present => Err("there are two".to_owned()),
            ContainerList::InitContainers => {
                is_present = true;
                let found = reinvocation::init_container(pod, path.index);
                match (&container, found) {
                    (Value::Object(canonical), Some(Value::Object(found))) => {
                        Ok(reinvocation::agent(canonical, &found, path, config))
                    }
                    _ => Err("it is not an object".to_owned()),
                }
            }
        };
        match outcome {
            Ok(operations) => patch.extend(operations),
            Err(difference) => {
                diagnostics.deny(Violation::AgentNameTaken { at: path.to_string(), difference });
            }
        }
    }
    if is_present {
        return;
    }
    match pod.spec.init_containers {
        Some(_) => patch.push(add(INIT_CONTAINERS.with_trailing_token(0usize), container)),
        None => append(INIT_CONTAINERS.to_buf(), false, vec![container], patch),
    }
}

/// What the agent does in a pod with these annotations.
pub(crate) fn config(
    annotations: &Annotations,
    settings: &AgentSettings<'_>,
    (mount_points, env, has_program): (Vec<MountPoint>, Vec<SecretName>, bool),
    config: &InjectionConfig,
) -> AgentConfig {
    let reload = match &annotations.reload {
        ReloadRequest::Restart if !settings.restarts => ReloadRequest::None,
        reload => reload.clone(),
    };
    AgentConfig {
        version: agent_config::VERSION,
        source: Source::Switchyard {
            address: config.switchyard.clone(),
            ca: config.trust.clone(),
            token_file: format!("{}/{}", layout::TOKEN_DIRECTORY, layout::TOKEN_FILE),
        },
        bundles: annotations.bundles.clone(),
        files: Files {
            directory: layout::SECRETS_DIRECTORY.to_owned(),
            mode: settings.mode,
            mount_points,
            env,
            rendered: templates::files(annotations),
        },
        program_directory: has_program.then(|| layout::PROGRAM_DIRECTORY.to_owned()),
        // A signal without a container has been refused already.
        reload: reload.resolve(settings.signalled.map(str::to_owned)).unwrap_or_default(),
    }
}

/// The canonical container. Sets every field that the API server would default and that
/// [`reinvocation::agent`] compares.
fn container(
    agent_config: &AgentConfig,
    settings: &AgentSettings<'_>,
    config: &InjectionConfig,
) -> Value {
    let uid = settings.uid;
    let InjectionConfig { agent_image, agent_image_pull_policy, resources, .. } = config;
    let mut container = json!({
        "name": layout::AGENT_CONTAINER,
        "image": agent_image,
        "imagePullPolicy": agent_image_pull_policy.as_str(),
        "env": [
            { "name": layout::CONFIG_VARIABLE, "value": config_value(agent_config) },
            pod_uid(),
        ],
        "volumeMounts": [
            { "name": layout::SECRETS_VOLUME, "mountPath": layout::SECRETS_DIRECTORY },
            {
                "name": layout::TOKEN_VOLUME,
                "mountPath": layout::TOKEN_DIRECTORY,
                "readOnly": true,
            },
        ],
        "resources": requests_and_limits(resources, settings.is_guaranteed),
        "securityContext": {
            "runAsUser": uid,
            "runAsNonRoot": uid != 0,
            "allowPrivilegeEscalation": false,
            "readOnlyRootFilesystem": true,
            "capabilities": { "drop": ["ALL"] },
            "seccompProfile": { "type": "RuntimeDefault" },
        },
    });
    if agent_config.program_directory.is_some()
        && let Some(Value::Array(mounts)) = container.get_mut("volumeMounts")
    {
        let (name, path) = (layout::PROGRAM_VOLUME, layout::PROGRAM_DIRECTORY);
        mounts.push(json!({ "name": name, "mountPath": path }));
    }
    let has_templates = agent_config
        .files
        .rendered
        .iter()
        .any(|it| matches!(it.contents, Contents::TemplateFile(_)));
    if has_templates && let Some(Value::Array(mounts)) = container.get_mut("volumeMounts") {
        let (name, path) = (layout::TEMPLATE_VOLUME, layout::TEMPLATE_DIRECTORY);
        mounts.push(json!({ "name": name, "mountPath": path, "readOnly": true }));
    }
    if settings.init_only {
        container["args"] = json!(["init"]);
    } else {
        container["restartPolicy"] = json!("Always");
        let hook = json!({ "exec": { "command": [layout::AGENT_PROGRAM, "wait"] } });
        container["lifecycle"] = json!({ "postStart": hook });
    }
    if settings.restarts {
        container["restartPolicyRules"] = json!([{
            "action": "RestartAllContainers",
            "exitCodes": { "operator": "In", "values": [layout::RESTART_EXIT_CODE] },
        }]);
    }
    container
}

fn requests_and_limits(resources: &Resources, is_guaranteed: bool) -> Value {
    let Resources { cpu_request, memory_request, cpu_limit, memory_limit, guaranteed_cpu } =
        resources;
    let list = |cpu: Option<&Quantity>, memory: &Quantity| match cpu {
        Some(cpu) => json!({ "cpu": cpu.as_str(), "memory": memory.as_str() }),
        None => json!({ "memory": memory.as_str() }),
    };
    let (requests, limits) = if is_guaranteed {
        let both = list(Some(guaranteed_cpu), memory_limit);
        (both.clone(), both)
    } else {
        (list(Some(cpu_request), memory_request), list(cpu_limit.as_ref(), memory_limit))
    };
    json!({ "requests": requests, "limits": limits })
}
