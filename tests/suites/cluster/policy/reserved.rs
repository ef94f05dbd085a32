//! Pods that do not ask for secrets, with what is the webhook's: the policy `reserved.enclii.io`.

use serde_json::json;

use super::edit::{app, init, list, own_volume};
use super::hostile::{Hostile, hostile};

/// Each is refused.
pub(super) const RESERVED: &[Hostile] = &[
    hostile("the agent's name", "enclii-agent is the name of the agent", |pod| {
        app(pod)["name"] = json!("enclii-agent");
    }),
    hostile("the agent's name among init containers", "enclii-agent is the name", |pod| {
        init(pod, 0, json!({"name": "enclii-agent"}));
    }),
    hostile("the secrets' volume", "are volumes of the agent", |pod| {
        own_volume(pod, "enclii-secrets");
    }),
    hostile("the token's volume", "are volumes of the agent", |pod| {
        own_volume(pod, "enclii-token");
    }),
    hostile("the program's volume", "are volumes of the agent", |pod| {
        own_volume(pod, "enclii-program");
    }),
    hostile("the templates' volume", "are volumes of the agent", |pod| {
        own_volume(pod, "enclii-templates");
    }),
    hostile("the agent's token", "a token for enclii.io is the agent's", |pod| {
        list(&mut pod["spec"]["volumes"]).push(json!({
            "name": "mine",
            "projected": {"sources": [
                {"configMap": {"name": "x"}},
                {"serviceAccountToken": {"audience": "enclii.io", "path": "token"}}
            ]}
        }));
    }),
    hostile("a status", "enclii.io/status is the webhook's", |pod| {
        pod["metadata"]["annotations"] = json!({"enclii.io/status": "injected"});
    }),
];
