//! Recognizes the work of an earlier pass when the API server invokes the webhook again.
//!
//! What has one of our names must have the canonical form, apart from what the API server itself
//! adds. Anything else is refused: the agent holds the pod's identity.

use contract::agent_config::Source;
use contract::{AgentConfig, layout};
use json_patch::PatchOperation;
use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;

use super::agent_env::{config_value, parse_config_value};
use super::{add, replace};
use crate::container_path::ContainerPath;
use crate::diagnostics::printable;
use crate::pod::Pod;

/// A volume with all of its fields.
pub(super) fn volume(pod: &Pod<'_>, index: usize) -> Option<Value> {
    element(raw_spec(pod)?.volumes, index)
}

/// An init container with all of its fields.
pub(super) fn init_container(pod: &Pod<'_>, index: usize) -> Option<Value> {
    element(raw_spec(pod)?.init_containers, index)
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RawSpec<'a> {
    #[serde(borrow)]
    volumes: Option<Vec<&'a RawValue>>,
    #[serde(borrow)]
    init_containers: Option<Vec<&'a RawValue>>,
}

fn raw_spec<'a>(pod: &Pod<'a>) -> Option<RawSpec<'a>> {
    #[derive(Deserialize)]
    struct PodWithRawSpec<'a> {
        #[serde(borrow)]
        spec: RawSpec<'a>,
    }
    serde_json::from_str::<PodWithRawSpec<'a>>(pod.json).ok().map(|pod| pod.spec)
}

fn element(list: Option<Vec<&RawValue>>, index: usize) -> Option<Value> {
    serde_json::from_str(list?.get(index)?.get()).ok()
}

/// Whether a volume is the canonical one. Ignores the size, which the operator may have changed
/// since the first pass.
pub(super) fn is_canonical_volume(canonical: &Value, found: &Value) -> bool {
    let mut found = found.clone();
    if let (Some(size), Some(limit)) =
        (canonical.pointer("/emptyDir/sizeLimit"), found.pointer_mut("/emptyDir/sizeLimit"))
    {
        limit.clone_from(size);
    }
    *canonical == found
}

/// The operations that turn the agent that was found into the canonical one. Fails with the
/// difference if it is not the agent.
pub(super) fn agent(
    canonical: &Value,
    config: &AgentConfig,
    found: &Value,
    path: ContainerPath,
) -> Result<Vec<PatchOperation>, String> {
    let (Value::Object(canonical), Value::Object(found)) = (canonical, found) else {
        return Err("it is not an object".to_owned());
    };
    let mut operations = Vec::new();
    for key in found.keys().filter(|key| !canonical.contains_key(*key)) {
        // The API server defaults these, and they do not change what runs.
        if !matches!(key.as_str(), "terminationMessagePath" | "terminationMessagePolicy") {
            return Err(format!("it has {}", printable(key)));
        }
    }
    for (key, value) in canonical {
        let found_value = found.get(key).unwrap_or(&Value::Null);
        let is_same = match key.as_str() {
            // The operator's choice, and an admission plugin may set it to Always.
            "imagePullPolicy" => true,
            // Quotas, limit ranges and autoscalers change these, and quantities are rewritten.
            "resources" => found_value.is_object(),
            "volumeMounts" => has_canonical_mounts(value, found_value),
            "env" => {
                operations.extend(config_operation(value, config, found_value, path)?);
                true
            }
            "securityContext" => {
                operations.extend(user_operations(value, found_value, path)?);
                true
            }
            _ => value == found_value,
        };
        if !is_same {
            return Err(differs(key));
        }
    }
    Ok(operations)
}

fn differs(field: &str) -> String {
    format!("its {field} differs")
}

/// Whether the mounts are the canonical ones. Allows the mount of the service-account token, which
/// a plugin of the API server adds to every container.
fn has_canonical_mounts(canonical: &Value, found: &Value) -> bool {
    let (Some(canonical), Some(found)) = (canonical.as_array(), found.as_array()) else {
        return false;
    };
    let is_token = |mount: &Value| {
        let path = mount.get("mountPath").and_then(Value::as_str);
        path == Some("/var/run/secrets/kubernetes.io/serviceaccount")
            && mount.get("readOnly") == Some(&Value::Bool(true))
    };
    canonical.iter().all(|mount| found.contains(mount))
        && found.iter().all(|mount| canonical.contains(mount) || is_token(mount))
}

/// The agent's configuration may differ in two ways. The mode of the files: a container that was
/// added after the first pass may run as another user. Switchyard's CA: of two replicas, one may
/// learn of a CA rotation before the other.
fn config_operation(
    canonical: &Value,
    config: &AgentConfig,
    found: &Value,
    path: ContainerPath,
) -> Result<Option<PatchOperation>, String> {
    if canonical == found {
        return Ok(None);
    }
    let text = found.pointer("/0/value").and_then(Value::as_str);
    let mut found_config = text.and_then(parse_config_value).ok_or_else(|| differs("env"))?;
    let mut rest = found.clone();
    if let (Some(value), Some(canonical_value)) =
        (rest.pointer_mut("/0/value"), canonical.pointer("/0/value"))
    {
        value.clone_from(canonical_value);
    }
    if rest != *canonical {
        return Err(differs("env"));
    }
    found_config.files.mode = config.files.mode;
    let (Source::Switchyard { ca: found_ca, .. }, Source::Switchyard { ca, .. }) =
        (&mut found_config.source, &config.source);
    found_ca.clone_from(ca);
    if found_config != *config {
        return Err(differs(layout::CONFIG_VARIABLE));
    }
    let value_path = path.field("env").with_trailing_token(0usize).with_trailing_token("value");
    Ok(Some(replace(value_path, Value::String(config_value(config)))))
}

/// The agent runs as the application's user, which may have changed.
fn user_operations(
    canonical: &Value,
    found: &Value,
    path: ContainerPath,
) -> Result<Vec<PatchOperation>, String> {
    let split_user = |context: &Value| {
        let mut context = context.as_object().cloned().unwrap_or_default();
        (context.remove("runAsUser"), context.remove("runAsNonRoot"), context)
    };
    let (user, non_root, rest) = split_user(canonical);
    let (found_user, found_non_root, found_rest) = split_user(found);
    if rest != found_rest {
        return Err(differs("securityContext"));
    }
    let fields = [("runAsUser", user, found_user), ("runAsNonRoot", non_root, found_non_root)];
    let changed = fields.into_iter().filter(|(_, value, found)| value != found);
    let security_context = path.field("securityContext");
    Ok(changed
        .map(|(name, value, _)| {
            add(security_context.with_trailing_token(name), value.unwrap_or_default())
        })
        .collect())
}
