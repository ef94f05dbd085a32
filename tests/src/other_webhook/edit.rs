//! Edits of a pod's JSON, as the API server sends it: lists may be absent.

use serde_json::{Value, json};

use super::StandIns;

/// The two lists of containers.
pub(super) const LISTS: [&str; 2] = ["initContainers", "containers"];

/// A list, made where it is absent.
pub(super) fn list<'p>(of: &'p mut Value, key: &str) -> &'p mut Vec<Value> {
    let found = &mut of[key];
    if !found.is_array() {
        *found = json!([]);
    }
    match found {
        Value::Array(elements) => elements,
        _ => unreachable!("it was made an array"),
    }
}

/// Whether a list has an element with this name.
pub(super) fn has(of: &Value, key: &str, name: &str) -> bool {
    of[key].as_array().into_iter().flatten().any(|it| it["name"] == name)
}

/// Does something to every container and init container.
pub(super) fn each_container(pod: &mut Value, mut act: impl FnMut(&mut Value)) {
    for key in LISTS {
        if let Some(containers) = pod["spec"][key].as_array_mut() {
            containers.iter_mut().for_each(&mut act);
        }
    }
}

/// Appends a variable, unless it is there.
pub(super) fn append_variable(container: &mut Value, variable: Value) {
    if !has(container, "env", variable["name"].as_str().unwrap_or_default()) {
        list(container, "env").push(variable);
    }
}

/// Appends a mount, unless one of its volume is there.
pub(super) fn append_mount(container: &mut Value, mount: Value) {
    if !has(container, "volumeMounts", mount["name"].as_str().unwrap_or_default()) {
        list(container, "volumeMounts").push(mount);
    }
}

/// Appends a volume, unless it is there.
pub(super) fn append_volume(pod: &mut Value, volume: Value) {
    if !has(&pod["spec"], "volumes", volume["name"].as_str().unwrap_or_default()) {
        list(&mut pod["spec"], "volumes").push(volume);
    }
}

pub(super) fn variable(name: &str, value: &str) -> Value {
    json!({"name": name, "value": value})
}

/// A projected token.
pub(super) fn token_volume(name: &str, audience: &str, seconds: u32, path: &str) -> Value {
    json!({
        "name": name,
        "projected": {"sources": [{"serviceAccountToken": {
            "audience": audience, "expirationSeconds": seconds, "path": path
        }}]}
    })
}

pub(super) fn mount(name: &str, path: &str) -> Value {
    json!({"name": name, "mountPath": path, "readOnly": true})
}

pub(super) fn annotate(pod: &mut Value, key: &str, value: &str) {
    pod["metadata"]["annotations"][key] = json!(value);
}

pub(super) fn label(pod: &mut Value, key: &str, value: &str) {
    pod["metadata"]["labels"][key] = json!(value);
}

/// What becomes of containers that go through types which are older than the cluster: fields that
/// they do not know are gone.
pub(super) fn round_trip_through_old_types(pod: &mut Value) {
    each_container(pod, |container| {
        if let Some(container) = container.as_object_mut() {
            container.remove("restartPolicyRules");
        }
    });
}

/// A container that ends.
pub(super) fn ending(name: &str, stand_ins: &StandIns<'_>, more: &Value) -> Value {
    container(name, (stand_ins, stand_ins.ends), more)
}

/// A container that serves on this address.
pub(super) fn serving(name: &str, address: &str, stand_ins: &StandIns<'_>, more: &Value) -> Value {
    let words = [stand_ins.serves, &[address]].concat();
    container(name, (stand_ins, &*words), more)
}

fn container(name: &str, (stand_ins, args): (&StandIns<'_>, &[&str]), more: &Value) -> Value {
    let mut container = json!({
        "name": name, "image": stand_ins.image, "imagePullPolicy": "IfNotPresent", "args": args,
    });
    for (key, value) in more.as_object().into_iter().flatten() {
        container[key] = value.clone();
    }
    container
}
