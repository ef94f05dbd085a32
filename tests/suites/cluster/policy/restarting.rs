//! Rules by which containers restart. The agent has one in a pod with `enclii.io/reload: restart`.

use serde_json::{Value, json};

use super::edit::agent;
use super::hostile::{Hostile, hostile};

const RULES: &str = "restarts in another way";

fn rules(pod: &mut Value, rules: Value) {
    agent(pod)["restartPolicyRules"] = rules;
}

/// Rules by which containers restart, for Kubernetes 1.36 and newer.
pub(super) const RESTARTING: &[Hostile] = &[
    hostile("a restart of the agent alone", RULES, |pod| {
        let codes = json!({"operator": "In", "values": [88]});
        rules(pod, json!([{"action": "Restart", "exitCodes": codes}]));
    }),
    hostile("a restart of all for another code", RULES, |pod| {
        let codes = json!({"operator": "In", "values": [1]});
        rules(pod, json!([{"action": "RestartAllContainers", "exitCodes": codes}]));
    }),
    hostile("a restart of all for more codes", RULES, |pod| {
        let codes = json!({"operator": "In", "values": [88, 1]});
        rules(pod, json!([{"action": "RestartAllContainers", "exitCodes": codes}]));
    }),
    hostile("a restart of all for every other code", RULES, |pod| {
        let codes = json!({"operator": "NotIn", "values": [88]});
        rules(pod, json!([{"action": "RestartAllContainers", "exitCodes": codes}]));
    }),
    hostile("a rule beside the webhook's", RULES, |pod| {
        let codes = |code: u8| json!({"operator": "In", "values": [code]});
        rules(
            pod,
            json!([
                {"action": "RestartAllContainers", "exitCodes": codes(88)},
                {"action": "Restart", "exitCodes": codes(1)},
            ]),
        );
    }),
];

/// What the webhook writes in a pod with `enclii.io/reload: restart`.
pub(super) fn restarts_all(pod: &mut Value) {
    let codes = json!({"operator": "In", "values": [88]});
    rules(pod, json!([{"action": "RestartAllContainers", "exitCodes": codes}]));
}
