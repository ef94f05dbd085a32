//! Pods whose agent is the first of the containers, but not as the webhook places it.

use serde_json::json;

use super::edit::{agent, app, init, list, place_first, remove};
use super::hostile::{BEFORE, Hostile, IDENTITY, NOT_A_SIDECAR, SECURITY, hostile};

const ENDS: &str = "a pod that ends with its application";

pub(super) const FIRST: &[Hostile] = &[
    hostile("the agent first in a pod that ends", ENDS, |pod| {
        place_first(pod);
        pod["spec"]["restartPolicy"] = json!("Never");
    }),
    hostile("the agent first where none stays", ENDS, |pod| {
        place_first(pod);
        pod["metadata"]["annotations"]["enclii.io/deliver"] = json!("init");
    }),
    hostile("the agent first, without its hook", NOT_A_SIDECAR, |pod| {
        place_first(pod);
        remove(agent(pod), "lifecycle");
    }),
    hostile("the agent first, with a command", NOT_A_SIDECAR, |pod| {
        place_first(pod);
        agent(pod)["command"] = json!(["/bin/sh"]);
    }),
    hostile("the agent first, with another image", "image is not the operator's", |pod| {
        place_first(pod);
        agent(pod)["image"] = json!("evil/agent:0.1.0");
    }),
    hostile("the agent first, with rights", SECURITY, |pod| {
        place_first(pod);
        agent(pod)["securityContext"]["capabilities"] =
            json!({"drop": ["ALL"], "add": ["SYS_PTRACE"]});
    }),
    hostile("an init container with secrets before an agent that is first", BEFORE, |pod| {
        place_first(pod);
        let mounts =
            json!([{"name": "enclii-secrets", "mountPath": "/run/secrets", "readOnly": true}]);
        init(pod, 0, json!({"volumeMounts": mounts}));
    }),
    hostile("the token beside an agent that is first", IDENTITY, |pod| {
        place_first(pod);
        list(&mut app(pod)["volumeMounts"])
            .push(json!({"name": "enclii-token", "mountPath": "/mine", "readOnly": true}));
    }),
];
