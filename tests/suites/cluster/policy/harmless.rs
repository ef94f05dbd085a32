//! Edits of an injected pod that the policies accept.

use serde_json::json;

use super::edit::{
    agent, app, filled_volume, init, list, mark, metrics, metrics_port, mount_in_agent,
    place_first, remove, status, variable,
};
use super::hostile::Edit;

/// What does no harm, although the webhook did not do it: other webhooks do.
pub(super) const HARMLESS: &[(&str, Edit)] = &[
    ("nothing", |_| {}),
    ("an agent that is first", place_first),
    ("a container of a mesh before an agent that is first", |pod| {
        place_first(pod);
        let mesh = json!({
            "name": "istio-proxy", "image": "enclii/sample:0.1.0",
            "imagePullPolicy": "IfNotPresent"
        });
        list(&mut pod["spec"]["containers"]).insert(0, mesh);
    }),
    ("a variable for every container", |pod| variable(agent(pod), "AWS_REGION", "eu-1")),
    ("certificates for every container", |pod| mount_in_agent(pod, "/etc/ssl/certs")),
    ("an identity for every container", |pod| mount_in_agent(pod, "/var/run/secrets/x")),
    ("a sidecar before the agent", |pod| init(pod, 0, json!({"restartPolicy": "Always"}))),
    ("resources", |pod| agent(pod)["resources"] = json!({"limits": {"memory": "128Mi"}})),
    ("a pull policy", |pod| agent(pod)["imagePullPolicy"] = json!("Always")),
    ("the agent's metrics", |pod| metrics(pod, json!([metrics_port(9876)]))),
    ("the agent's metrics, without the port by which they are found", |pod| {
        metrics(pod, json!([]));
    }),
    ("a Secret of another name", |pod| {
        list(&mut app(pod)["env"]).push(json!({
            "name": "X", "valueFrom": {"secretKeyRef": {"name": "other", "key": "X"}}
        }));
    }),
    ("a volume of another Secret", |pod| {
        let secret = json!({"name": "mine", "secret": {"secretName": "other"}});
        list(&mut pod["spec"]["volumes"]).push(secret);
    }),
    ("a volume that the agent fills", |pod| filled_volume(pod, true)),
    ("the mark of a container that is signalled", |pod| {
        mark(pod);
    }),
    ("another token", |pod| {
        list(&mut pod["spec"]["volumes"]).push(json!({
            "name": "mine",
            "projected": {"sources": [
                {"serviceAccountToken": {"audience": "vault", "path": "token"}}
            ]}
        }));
    }),
    ("a file variable", |pod| {
        pod["metadata"]["annotations"]["enclii.io/deliver"] = json!("env");
        list(&mut app(pod)["volumeMounts"]).retain(|it| it["name"] != "enclii-secrets");
    }),
    ("an agent that ends", |pod| {
        pod["metadata"]["annotations"]["enclii.io/deliver"] = json!("files, init");
        remove(agent(pod), "restartPolicy");
        remove(agent(pod), "lifecycle");
        agent(pod)["args"] = json!(["init"]);
        status(pod, "init");
    }),
    ("a program from the agent", |pod| {
        pod["metadata"]["annotations"]["enclii.io/deliver"] = json!("exec");
        let memory = json!({"medium": "Memory", "sizeLimit": "8Mi"});
        list(&mut pod["spec"]["volumes"])
            .push(json!({"name": "enclii-program", "emptyDir": memory}));
        let at = |read_only: bool| {
            json!({
                "name": "enclii-program", "mountPath": "/run/enclii/bin", "readOnly": read_only
            })
        };
        list(&mut agent(pod)["volumeMounts"]).push(at(false));
        list(&mut app(pod)["volumeMounts"]).push(at(true));
        app(pod)["command"] = json!(["/run/enclii/bin/enclii-agent", "exec", "--", "/x"]);
    }),
];
