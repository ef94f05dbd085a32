//! Whether what bears one of our names is ours: the canonical shape, and besides it only what the
//! API server itself adds.
//!
//! A second pass (reinvocation) finds the work of the first. A pod whose author wrote something
//! else under our names must not get away with it: the agent holds the pod's identity.

use contract::agent_config::Source;
use contract::{AgentConfig, layout};
use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;

use super::Operation;
use super::agent::{from_variable_text, variable_text};
use crate::place::Place;
use crate::pod::Pod;

/// Every field of a volume.
pub(super) fn volume(pod: &Pod<'_>, index: usize) -> Option<Value> {
    element(whole(pod)?.volumes, index)
}

/// Every field of an init container.
pub(super) fn init_container(pod: &Pod<'_>, index: usize) -> Option<Value> {
    element(whole(pod)?.init_containers, index)
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Whole<'a> {
    #[serde(borrow)]
    volumes: Option<Vec<&'a RawValue>>,
    #[serde(borrow)]
    init_containers: Option<Vec<&'a RawValue>>,
}

fn whole<'a>(pod: &Pod<'a>) -> Option<Whole<'a>> {
    #[derive(Deserialize)]
    struct Outer<'a> {
        #[serde(borrow)]
        spec: Whole<'a>,
    }
    serde_json::from_str::<Outer<'a>>(pod.json).ok().map(|outer| outer.spec)
}

fn element(list: Option<Vec<&RawValue>>, index: usize) -> Option<Value> {
    serde_json::from_str(list?.get(index)?.get()).ok()
}

/// Whether a volume is the canonical one. The size is the operator's and may have been another when
/// the first pass ran.
pub(super) fn is_volume(canonical: &Value, found: &Value) -> bool {
    let mut found = found.clone();
    if let (Some(size), Some(limit)) =
        (canonical.pointer("/emptyDir/sizeLimit"), found.pointer_mut("/emptyDir/sizeLimit"))
    {
        limit.clone_from(size);
    }
    *canonical == found
}

/// What makes the found agent the canonical one; or else what of it is not the agent's.
pub(super) fn agent(
    canonical: &Value,
    wanted: &AgentConfig,
    found: &Value,
    place: Place,
) -> Result<Vec<Operation>, String> {
    let (Value::Object(canonical), Value::Object(found)) = (canonical, found) else {
        return Err("it is no object".to_owned());
    };
    let mut operations = Vec::new();
    for key in found.keys().filter(|key| !canonical.contains_key(*key)) {
        // Defaults of the API server, and nothing that changes what runs.
        if !matches!(key.as_str(), "terminationMessagePath" | "terminationMessagePolicy") {
            return Err(format!("it has {}", crate::findings::shown(key)));
        }
    }
    for (key, value) in canonical {
        let of_found = found.get(key).unwrap_or(&Value::Null);
        let same = match key.as_str() {
            // Set to Always by an admission plugin of the cluster; and the operator's to choose.
            "imagePullPolicy" => true,
            // Quotas, limit ranges and autoscalers change these, and quantities are re-written.
            "resources" => of_found.is_object(),
            "volumeMounts" => has_mounts(value, of_found),
            "env" => {
                operations.extend(config_operation(value, wanted, of_found, place)?);
                true
            }
            "securityContext" => {
                operations.extend(user_operations(value, of_found, place)?);
                true
            }
            _ => value == of_found,
        };
        if !same {
            return Err(another(key));
        }
    }
    Ok(operations)
}

fn another(part: &str) -> String {
    format!("its {part} is another")
}

/// The canonical mounts, and at most that of the service-account token, which a plugin of the API
/// server adds to every container.
fn has_mounts(canonical: &Value, found: &Value) -> bool {
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

/// The agent's configuration may differ in two things: the mode of the files, since a container
/// that came after the first pass may run as another user; and switchyard's CA, since the replica
/// that made the first pass may know of a turnover that this one has not seen yet, or the other way
/// round.
fn config_operation(
    canonical: &Value,
    wanted: &AgentConfig,
    found: &Value,
    place: Place,
) -> Result<Option<Operation>, String> {
    if canonical == found {
        return Ok(None);
    }
    let text = found.pointer("/0/value").and_then(Value::as_str);
    let mut config = text.and_then(from_variable_text).ok_or_else(|| another("env"))?;
    let mut rest = found.clone();
    if let (Some(value), Some(of_canonical)) =
        (rest.pointer_mut("/0/value"), canonical.pointer("/0/value"))
    {
        value.clone_from(of_canonical);
    }
    if rest != *canonical {
        return Err(another("env"));
    }
    config.files.mode = wanted.files.mode;
    let (Source::Switchyard { ca, .. }, Source::Switchyard { ca: wanted_ca, .. }) =
        (&mut config.source, &wanted.source);
    ca.clone_from(wanted_ca);
    if config != *wanted {
        return Err(another(layout::CONFIG_VARIABLE));
    }
    let value = Value::String(variable_text(wanted));
    Ok(Some(Operation::Replace { path: place.pointer(format_args!("/env/0/value")), value }))
}

/// The agent's user follows the application's.
fn user_operations(
    canonical: &Value,
    found: &Value,
    place: Place,
) -> Result<Vec<Operation>, String> {
    let without_user = |context: &Value| {
        let mut context = context.as_object().cloned().unwrap_or_default();
        (context.remove("runAsUser"), context.remove("runAsNonRoot"), context)
    };
    let (wanted_user, wanted_root, wanted_rest) = without_user(canonical);
    let (found_user, found_root, found_rest) = without_user(found);
    if wanted_rest != found_rest {
        return Err(another("securityContext"));
    }
    let pairs = [("runAsUser", wanted_user, found_user), ("runAsNonRoot", wanted_root, found_root)];
    let differing = pairs.into_iter().filter(|(_, wanted, found)| wanted != found);
    let add = |(name, wanted, _): (&str, Option<Value>, Option<Value>)| Operation::Add {
        path: place.pointer(format_args!("/securityContext/{name}")),
        value: wanted.unwrap_or_default(),
    };
    Ok(differing.map(add).collect())
}
