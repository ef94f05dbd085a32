//! Edits of a pod's JSON.

use serde_json::{Value, json};

/// The agent.
pub(super) fn agent(pod: &mut Value) -> &mut Value {
    let all = pod["spec"]["initContainers"].as_array_mut().unwrap();
    all.iter_mut().find(|it| it["name"] == "enclii-agent").unwrap()
}

pub(super) fn app(pod: &mut Value) -> &mut Value {
    &mut pod["spec"]["containers"][0]
}

pub(super) fn list(of: &mut Value) -> &mut Vec<Value> {
    if of.is_null() {
        *of = json!([]);
    }
    of.as_array_mut().unwrap()
}

pub(super) fn remove(from: &mut Value, key: &str) {
    from.as_object_mut().unwrap().remove(key);
}

pub(super) fn volume<'p>(pod: &'p mut Value, name: &str) -> &'p mut Value {
    list(&mut pod["spec"]["volumes"]).iter_mut().find(|it| it["name"] == name).unwrap()
}

pub(super) fn token(pod: &mut Value) -> &mut Value {
    &mut volume(pod, "enclii-token")["projected"]["sources"][0]["serviceAccountToken"]
}

pub(super) fn mount<'p>(container: &'p mut Value, name: &str) -> &'p mut Value {
    list(&mut container["volumeMounts"]).iter_mut().find(|it| it["name"] == name).unwrap()
}

pub(super) fn variable(container: &mut Value, name: &str, value: &str) {
    list(&mut container["env"]).push(json!({"name": name, "value": value}));
}

pub(super) fn configuration(pod: &mut Value) -> &mut Value {
    let env = list(&mut agent(pod)["env"]);
    &mut env.iter_mut().find(|it| it["name"] == "ENCLII_AGENT_CONFIG").unwrap()["value"]
}

pub(super) fn replace_in_configuration(pod: &mut Value, from: &str, to: &str) {
    let text = configuration(pod).as_str().unwrap().replace(from, to);
    *configuration(pod) = json!(text);
}

pub(super) fn own_volume(pod: &mut Value, name: &str) {
    list(&mut pod["spec"]["volumes"]).push(json!({"name": name, "emptyDir": {}}));
}

pub(super) fn mount_in_agent(pod: &mut Value, path: &str) {
    own_volume(pod, "mine");
    list(&mut agent(pod)["volumeMounts"]).push(json!({"name": "mine", "mountPath": path}));
}

/// A memory volume that the agent fills, and that the application mounts.
pub(super) fn filled_volume(pod: &mut Value, read_only: bool) {
    mount_in_agent(pod, "/run/enclii/volumes/mine");
    volume(pod, "mine")["emptyDir"] = json!({"medium": "Memory", "sizeLimit": "32Mi"});
    let mount = json!({"name": "mine", "mountPath": "/mine", "readOnly": read_only});
    list(&mut app(pod)["volumeMounts"]).push(mount);
}

/// A second init container, before or after the agent.
pub(super) fn init(pod: &mut Value, at: usize, more: Value) {
    let mut container = json!({
        "name": "first", "image": "enclii/sample:0.1.0", "imagePullPolicy": "IfNotPresent"
    });
    container.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    list(&mut pod["spec"]["initContainers"]).insert(at, container);
}
