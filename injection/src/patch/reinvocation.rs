//! Recognizes the work of an earlier pass when the API server invokes the webhook again, and puts
//! back what another webhook, or the pod's author, made of the agent.
//!
//! The agent holds the pod's identity, so what runs in it and what it can see is the canonical
//! form. What changes neither stays: the API server, quotas and other webhooks add to every
//! container.

use contract::layout;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use serde_json::{Map, Value};

use crate::config::InjectionConfig;
use crate::container_path::{ContainerList, ContainerPath};
use crate::pod::Pod;
use crate::pod_patch::PodPatch;
use crate::pod_pointer::PodPointer;

/// Where a mount may be that another webhook added. The agent reads nothing there.
const HARMLESS_MOUNTS: [&str; 3] = ["/var/run/secrets/", "/etc/ssl/", "/etc/pki/"];

/// The beginnings of variables that change what a program does before or as it starts.
const REFUSED_VARIABLES: [&str; 5] = ["ENCLII_", "LD_", "GLIBC_", "MALLOC_", "RUST_"];

/// A volume with all of its fields.
pub(super) fn volume(pod: &Pod<'_>, index: usize) -> Option<Value> {
    element(raw_spec(pod)?.volumes, index)
}

/// The text of each volume, to look at several.
pub(super) fn volumes<'a>(pod: &Pod<'a>) -> Vec<&'a RawValue> {
    raw_spec(pod).and_then(|spec| spec.volumes).unwrap_or_default()
}

/// A container with all of its fields.
pub(super) fn container(pod: &Pod<'_>, path: ContainerPath) -> Option<Value> {
    let spec = raw_spec(pod)?;
    let list = match path.list {
        ContainerList::Containers => spec.containers,
        ContainerList::InitContainers => spec.init_containers,
    };
    element(list, path.index)
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RawSpec<'a> {
    #[serde(borrow)]
    volumes: Option<Vec<&'a RawValue>>,
    #[serde(borrow)]
    containers: Option<Vec<&'a RawValue>>,
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
pub(super) fn is_canonical_volume(canonical: &impl Serialize, found: &Value) -> bool {
    let Ok(canonical) = serde_json::to_value(canonical) else { return false };
    let mut found = found.clone();
    if let (Some(size), Some(limit)) =
        (canonical.pointer("/emptyDir/sizeLimit"), found.pointer_mut("/emptyDir/sizeLimit"))
    {
        limit.clone_from(size);
    }
    canonical == found
}

/// Adds the operations that turn the agent that was found into the canonical one.
pub(super) fn agent(
    canonical: &Map<String, Value>,
    found: &Map<String, Value>,
    path: ContainerPath,
    config: &InjectionConfig,
    patch: &mut PodPatch,
) {
    for (key, value) in found.iter().filter(|(key, _)| !canonical.contains_key(*key)) {
        if !is_default(key, value) {
            patch.remove(&path.field(key));
        }
    }
    for (key, value) in canonical {
        let found_value = found.get(key).unwrap_or(&Value::Null);
        match (key.as_str(), found_value) {
            ("image", Value::String(image)) if config.is_mirrored_agent(image) => {}
            // The operator's choice, and an admission plugin may set it to Always.
            ("imagePullPolicy", Value::String(_)) => {}
            // Quotas, limit ranges and autoscalers change these, and quantities are rewritten.
            ("resources", Value::Object(_)) => {}
            ("volumeMounts", Value::Array(mounts)) => {
                list(&path.field(key), (value, mounts), is_harmless_mount, patch);
            }
            ("env", Value::Array(variables)) => {
                list(&path.field(key), (value, variables), is_harmless_variable, patch);
            }
            ("securityContext", Value::Object(found)) if is_harmless_context(value, found) => {}
            _ if value == found_value => {}
            _ => patch.add(&path.field(key), value),
        }
    }
}

/// Whether a security context is the canonical one, but for what gives the agent nothing: what a
/// namespace assigns where the canonical one leaves it open (a user other than root, an SELinux
/// level), and `privileged: false`.
fn is_harmless_context(canonical: &Value, found: &Map<String, Value>) -> bool {
    let is_open = |key: &str| canonical.get(key).is_none();
    let is_assigned = |(key, value): (&String, &Value)| match key.as_str() {
        "runAsUser" => is_open(key) && value.as_i64().is_some_and(|uid| uid > 0),
        "seLinuxOptions" => {
            is_open(key) && value.as_object().is_some_and(|it| it.keys().all(|key| key == "level"))
        }
        "privileged" => *value == Value::Bool(false),
        _ => false,
    };
    let others = found.iter().filter(|it| !is_assigned(*it));
    let others: Map<_, _> = others.map(|(key, value)| (key.clone(), value.clone())).collect();
    canonical.as_object() == Some(&others)
}

/// Whether the API server sets a field to this by itself.
fn is_default(key: &str, value: &Value) -> bool {
    match key {
        "terminationMessagePath" => value == "/dev/termination-log",
        "terminationMessagePolicy" => value == "File" || value == "FallbackToLogsOnError",
        _ => false,
    }
}

/// Adds the operations that leave each canonical element in a list once, and of the others those
/// that are harmless.
fn list(
    path: &PodPointer,
    (canonical, found): (&Value, &[Value]),
    is_harmless: fn(&Value) -> bool,
    patch: &mut PodPatch,
) {
    let name = |element: &Value| element.get("name").and_then(Value::as_str).map(str::to_owned);
    let mut missing: Vec<&Value> = canonical.as_array().into_iter().flatten().collect();
    let mut removed = Vec::new();
    for (index, element) in found.iter().enumerate() {
        let at = path.element(index);
        if let Some(same) = missing.iter().position(|it| *it == element) {
            missing.remove(same);
        } else if let Some(named) = missing.iter().position(|it| name(it) == name(element)) {
            // Our own, changed: it stays where it was, so that what refers to it comes later.
            patch.replace(&at, missing.remove(named));
        } else if !is_harmless(element) {
            removed.push(at);
        }
    }
    patch.append(path, true, missing);
    // From the end, so that no removal shifts the index of another.
    removed.into_iter().rev().for_each(|at| patch.remove(&at));
}

fn is_harmless_variable(variable: &Value) -> bool {
    let name = variable.get("name").and_then(Value::as_str).unwrap_or_default();
    !REFUSED_VARIABLES.iter().any(|refused| name.starts_with(refused))
}

/// Whether a mount hides nothing of the agent's and shows it nothing that it uses.
fn is_harmless_mount(mount: &Value) -> bool {
    let text = |key| mount.get(key).and_then(Value::as_str).unwrap_or_default();
    let (name, path) = (text("name"), text("mountPath"));
    !layout::VOLUMES.contains(&name)
        && !path.split('/').any(|component| component == "..")
        && HARMLESS_MOUNTS.iter().any(|harmless| path.starts_with(harmless))
}
