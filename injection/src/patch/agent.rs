//! The agent's container: a native sidecar. It comes first among the init containers, so that it
//! starts first and stops last, and its `postStart` hook ends when every file is written. Only the
//! proxy of a mesh may come before it. In a pod that asks for its secrets once, it is an ordinary
//! init container.

use contract::agent_config::{self, AgentConfig, Files, Source};
use contract::rendered::Contents;
use contract::{Annotations, ReloadRequest, layout};
use json_patch::PatchOperation;
use json_patch::jsonptr::Pointer;
use serde_json::{Value, json};

use super::agent_env::{config_value, pod_uid};
use super::secret_volumes::agent_mounts;
use super::{add, append, reinvocation};
use crate::agent_settings::AgentSettings;
use crate::app_container::AppContainer;
use crate::config::{InjectionConfig, Quantity, Resources};
use crate::container_path::ContainerList;
use crate::diagnostics::{Diagnostics, Violation};
use crate::pod::Pod;

const INIT_CONTAINERS: &Pointer = Pointer::from_static("/spec/initContainers");

/// Adds the operations that insert the agent. If an earlier pass has inserted it, adapts it to the
/// containers that were added since.
pub(crate) fn patch(
    (pod, containers): (&Pod<'_>, &[AppContainer<'_>]),
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
        Some(_) => {
            let place = place(containers, config);
            patch.push(add(INIT_CONTAINERS.with_trailing_token(place), container));
        }
        None => append(INIT_CONTAINERS.to_buf(), false, vec![container], patch),
    }
}

/// The agent's index among the init containers: 0, or after the sidecars of other webhooks that
/// stand first. Where a mesh redirects a pod's connections from the start, as with its CNI plugin,
/// nothing can be reached before its proxy runs.
fn place(containers: &[AppContainer<'_>], config: &InjectionConfig) -> usize {
    let is_others = |app: &&AppContainer<'_>| {
        !app.gets_secrets && config.left_out_containers.contains(&*app.container.name)
    };
    let init = containers.iter().filter(|app| app.path.list == ContainerList::InitContainers);
    let sidecars = init.take_while(is_others).filter(|app| app.container.is_sidecar());
    sidecars.last().map_or(0, |last| last.path.index + 1)
}

/// What the agent does in a pod with these annotations.
pub(crate) fn config(
    annotations: &Annotations,
    settings: &AgentSettings<'_>,
    (files, has_program): (Files, bool),
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
        files,
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
    if let Some(Value::Array(mounts)) = container.get_mut("volumeMounts") {
        mounts.extend(agent_mounts(&agent_config.files.volumes));
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
