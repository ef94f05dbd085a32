//! The agent's container: a native sidecar that stands first, so that it is started first and stops
//! last, and whose `postStart` hook ends when every file is there.

use contract::agent_config::{self, AgentConfig, Files, Source};
use contract::{Annotations, layout};
use serde_json::{Value, json};

use super::{Operation, append, env, shape};
use crate::config::InjectionConfig;
use crate::findings::{Findings, Refusal};
use crate::place::List;
use crate::pod::Pod;
use crate::target::Owner;

/// Adds the operations that bring the agent, or that make the one an earlier pass brought fit the
/// containers that came since.
pub(crate) fn patch(
    pod: &Pod<'_>,
    annotations: &Annotations,
    owner: &Owner<'_>,
    config: &InjectionConfig,
    findings: &mut Findings,
    patch: &mut Vec<Operation>,
) {
    let wanted = agent_config(annotations, owner, config);
    let container = container(&wanted, owner.uid, config);
    let mut is_there = false;
    for (place, _) in pod.containers().filter(|(_, found)| &*found.name == layout::AGENT_CONTAINER)
    {
        let outcome = match place.list {
            List::Containers => Err("it is no init container".to_owned()),
            List::InitContainers if is_there => Err("there are two".to_owned()),
            List::InitContainers => {
                is_there = true;
                shape::init_container(pod, place.index)
                    .ok_or_else(|| "it cannot be read".to_owned())
                    .and_then(|found| shape::agent(&container, &wanted, &found, place))
            }
        };
        match outcome {
            Ok(operations) => patch.extend(operations),
            Err(difference) => {
                findings.refuse(Refusal::AgentTaken { at: place.to_string(), difference })
            }
        }
    }
    if is_there {
        return;
    }
    match pod.spec.init_containers {
        Some(_) => patch
            .push(Operation::Add { path: "/spec/initContainers/0".to_owned(), value: container }),
        None => append("/spec/initContainers", false, vec![container], patch),
    }
}

fn agent_config(
    annotations: &Annotations,
    owner: &Owner<'_>,
    config: &InjectionConfig,
) -> AgentConfig {
    AgentConfig {
        version: agent_config::VERSION,
        source: Source::Switchyard {
            address: config.switchyard.clone(),
            ca: config.trust.clone(),
            token_file: format!("{}/{}", layout::TOKEN_DIRECTORY, layout::TOKEN_FILE),
        },
        bundles: annotations.bundles.clone(),
        files: Files { directory: layout::SECRETS_DIRECTORY.to_owned(), mode: owner.mode },
        // A signal without a container has been refused already.
        reload: annotations
            .reload
            .clone()
            .resolve(owner.signalled.map(str::to_owned))
            .unwrap_or_default(),
    }
}

/// Whatever the API server would default to is written out where a second pass compares it.
fn container(wanted: &AgentConfig, uid: i64, config: &InjectionConfig) -> Value {
    let InjectionConfig { agent_image, agent_image_pull_policy, resources, .. } = config;
    json!({
        "name": layout::AGENT_CONTAINER,
        "image": agent_image,
        "imagePullPolicy": agent_image_pull_policy.as_str(),
        "restartPolicy": "Always",
        "env": [{ "name": layout::CONFIG_VARIABLE, "value": variable_text(wanted) }, env::pod_uid()],
        "lifecycle": { "postStart": { "exec": { "command": [layout::AGENT_PROGRAM, "wait"] } } },
        "volumeMounts": [
            { "name": layout::SECRETS_VOLUME, "mountPath": layout::SECRETS_DIRECTORY },
            { "name": layout::TOKEN_VOLUME, "mountPath": layout::TOKEN_DIRECTORY, "readOnly": true },
        ],
        "resources": {
            "requests": { "cpu": resources.cpu_request.as_str(), "memory": resources.memory_request.as_str() },
            "limits": { "cpu": resources.cpu_limit.as_str(), "memory": resources.memory_limit.as_str() },
        },
        "securityContext": {
            "runAsUser": uid,
            "runAsNonRoot": uid != 0,
            "allowPrivilegeEscalation": false,
            "readOnlyRootFilesystem": true,
            "capabilities": { "drop": ["ALL"] },
            "seccompProfile": { "type": "RuntimeDefault" },
        },
    })
}

/// The configuration as the value of a variable: kubelet reads `$$` there as a dollar, and would
/// put a variable in the place of `$(NAME)`.
pub(super) fn variable_text(config: &AgentConfig) -> String {
    #[expect(
        clippy::expect_used,
        reason = "the type has no map with keys that are no strings, and no failing serialiser"
    )]
    let json = config.to_json().expect("a configuration is JSON");
    if json.contains('$') { json.replace('$', "$$") } else { json }
}

/// Reads what [`variable_text`] wrote.
pub(super) fn from_variable_text(text: &str) -> Option<AgentConfig> {
    AgentConfig::from_json(&text.replace("$$", "$")).ok()
}
