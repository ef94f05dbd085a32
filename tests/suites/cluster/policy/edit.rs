//! Edits of a pod's JSON.

use serde_json::{Value, json};

/// The agent, wherever it is.
pub(super) fn agent(pod: &mut Value) -> &mut Value {
    let spec = pod["spec"].as_object_mut().unwrap();
    let lists = spec.iter_mut().filter(|(key, _)| key.to_lowercase().ends_with("containers"));
    let mut all = lists.flat_map(|(_, list)| list.as_array_mut().into_iter().flatten());
    all.find(|it| it["name"] == "enclii-agent").unwrap()
}

/// Makes the agent the first of the containers, as the webhook does where the operator has it so.
pub(super) fn place_first(pod: &mut Value) {
    let mut it = agent(pod).clone();
    remove(&mut it, "restartPolicy");
    list(&mut pod["spec"]["initContainers"]).retain(|it| it["name"] != "enclii-agent");
    list(&mut pod["spec"]["containers"]).insert(0, it);
    status(pod, "first");
}

/// What the webhook says of a pod whose agent is there.
pub(super) fn status(pod: &mut Value, agent: &str) {
    let text = format!(r#"{{"agent":"{agent}","configuration":"x","version":"0.1.0"}}"#);
    pod["metadata"]["annotations"]["enclii.io/status"] = json!(text);
}

/// Asks for the agent's metrics on port 9876, and gives the agent these ports.
pub(super) fn metrics(pod: &mut Value, ports: Value) {
    pod["metadata"]["annotations"]["enclii.io/agent-metrics"] = json!("9876");
    agent(pod)["ports"] = ports;
}

/// The port of the agent that the webhook writes then, but for its number.
pub(super) fn metrics_port(number: u16) -> Value {
    json!({"containerPort": number, "name": "enclii-metrics", "protocol": "TCP"})
}

/// The agent's ports, if they are not what the webhook writes. A pod that runs keeps what it has.
pub(super) fn other_ports(pod: &mut Value, is_new: bool) -> Option<String> {
    let asks = pod["metadata"]["annotations"]["enclii.io/agent-metrics"] == "9876";
    let ports = &agent(pod)["ports"];
    let is_expected = match ports {
        Value::Null => !asks || !is_new,
        ports => asks && *ports == json!([metrics_port(9876)]),
    };
    (!is_expected).then(|| format!("the agent's ports {ports}"))
}

pub(super) fn app(pod: &mut Value) -> &mut Value {
    let all = pod["spec"]["containers"].as_array_mut().unwrap();
    all.iter_mut().find(|it| it["name"] != "enclii-agent").unwrap()
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

/// The mark of the application's container, which gets one as if it were signalled.
pub(super) fn mark(pod: &mut Value) -> &mut Value {
    let application = app(pod);
    let part = format!(".container/{}", application["name"].as_str().unwrap());
    let mounts = list(&mut application["volumeMounts"]);
    mounts.push(json!({
        "name": "enclii-secrets", "mountPath": "/run/enclii/container", "subPath": part,
        "readOnly": true
    }));
    mounts.last_mut().unwrap()
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

/// The source of an agent that gets the secrets from Vault, and what comes after it.
const FROM_VAULT: &str = concat!(
    r#"{"version":1,"source":{"type":"vault","address":"https://vault.vault.svc:8200","#,
    r#""ca":"-----BEGIN","auth_mount":"kubernetes","role":"api","#,
    r#""token_file":"/run/enclii/identity/token","poll_seconds":30,"secrets":{}},"bundles""#,
);

/// Makes the agent one that gets the secrets from Vault, as the webhook does where that is the
/// source.
pub(super) fn from_vault(pod: &mut Value) {
    let text = configuration(pod).as_str().unwrap().to_owned();
    let (_, rest) = text.split_once(r#"},"bundles""#).unwrap();
    *configuration(pod) = json!(format!("{FROM_VAULT}{rest}"));
    token(pod)["audience"] = json!("vault");
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
