//! Changes of running pods, which the webhook never sees.

use serde_json::{Value, json};

/// One change of a running pod, by a strategic merge patch.
pub(super) struct Change {
    pub(super) name: &'static str,
    /// Below the pod's path.
    pub(super) subresource: &'static str,
    pub(super) patch: Value,
    /// A part of the policy's message; none where it is admitted.
    pub(super) says: Option<&'static str>,
}

fn annotations(value: Value) -> Value {
    json!({"metadata": {"annotations": value}})
}

fn debugger(more: Value) -> Value {
    let mut container = json!({"name": "debug", "image": "enclii/sample:0.1.0"});
    container.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    json!({"spec": {"ephemeralContainers": [container]}})
}

/// Changes of a pod with an agent, and of one that does not ask.
pub(super) fn changes() -> (Vec<Change>, Vec<Change>) {
    let change = |name, patch, says| Change { name, subresource: "", patch, says };
    let debug = |name, more, says| Change {
        name,
        subresource: "/ephemeralcontainers",
        patch: debugger(more),
        says,
    };
    let mounts = |volume: &str| {
        let mount = json!({"name": volume, "mountPath": "/mine", "readOnly": true});
        json!({"volumeMounts": [mount]})
    };
    let asks = Some("takes effect when a pod is created");
    let images = |name: &str, image: &str| {
        let container = json!({"name": name, "image": image});
        json!({"spec": {"initContainers": [container]}})
    };
    let of_injected = vec![
        change("no longer asks", annotations(json!({"enclii.io/secrets": null})), asks),
        change("asks for another", annotations(json!({"enclii.io/secrets": "x-prod"})), asks),
        change("asks for nothing", annotations(json!({"enclii.io/secrets": ""})), asks),
        change(
            "another agent",
            images("enclii-agent", "evil/agent:1"),
            Some("image is not the operator's"),
        ),
        change(
            "another status",
            annotations(json!({"enclii.io/status": "x"})),
            Some("stays as it was"),
        ),
        debug("the token", mounts("enclii-token"), Some("which is the agent's identity")),
        debug("the secrets", mounts("enclii-secrets"), Some("cannot mount the secrets")),
        debug(
            "the agent's processes",
            json!({"targetContainerName": "enclii-agent"}),
            Some("cannot share the agent's processes"),
        ),
        debug("a debugger", json!({"targetContainerName": "api"}), None),
        change("a label", json!({"metadata": {"labels": {"a": "b"}}}), None),
        change("another annotation", annotations(json!({"a": "b"})), None),
        change(
            "a new image",
            json!({"spec": {"containers": [{"name": "api", "image": "x"}]}}),
            None,
        ),
        change("the same agent", images("enclii-agent", "enclii/agent:0.1.0"), None),
    ];
    let of_plain = vec![
        change("asks later", annotations(json!({"enclii.io/secrets": "api-prod"})), asks),
        change("a status", annotations(json!({"enclii.io/status": "x"})), Some("the webhook's")),
        debug("the agent's name", json!({"name": "enclii-agent"}), Some("the name of the agent")),
        debug("a debugger", json!({}), None),
        change("a label", json!({"metadata": {"labels": {"a": "b"}}}), None),
    ];
    (of_injected, of_plain)
}
