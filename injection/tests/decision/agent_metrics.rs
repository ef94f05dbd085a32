//! The agent's own metrics: `enclii.io/agent-metrics`.

use serde_json::{Value, json};

use crate::support::{
    admitted, admitted_by, annotate, config, one, pod, refused, refused_by, vault_config, with_spec,
};

/// A pod that asks for the metrics on port 9876, with this in its only container.
fn asks(parts: Value) -> Value {
    annotate(one(parts), &[("agent-metrics", " 9876 ")])
}

fn agent(pod: &Value) -> Value {
    pod["spec"]["initContainers"][0].clone()
}

fn config_of(pod: &Value) -> Value {
    let text = agent(pod)["env"][0]["value"].as_str().unwrap().replace("$$", "$");
    serde_json::from_str(&text).unwrap()
}

fn expected() -> Value {
    json!([{ "containerPort": 9876, "name": "enclii-metrics", "protocol": "TCP" }])
}

#[test]
fn the_agent_gets_the_port_and_its_container_declares_it() {
    let (patched, warnings) = admitted(&asks(json!({})));
    assert_eq!(warnings, [""; 0]);
    assert_eq!(agent(&patched)["ports"], expected());
    assert_eq!(config_of(&patched)["agent_metrics"], 9876);
    assert_eq!(admitted(&patched).0, patched, "another pass");

    let (patched, _) = admitted(&one(json!({})));
    assert_eq!(agent(&patched)["ports"], Value::Null);
    assert_eq!(config_of(&patched)["agent_metrics"], Value::Null);
}

#[test]
fn it_goes_with_vault_too() {
    let (patched, _) = admitted_by(&asks(json!({})), &vault_config());
    assert_eq!(config_of(&patched)["source"]["type"], "vault");
    assert_eq!(
        (&agent(&patched)["ports"], config_of(&patched)["agent_metrics"].as_u64()),
        (&expected(), Some(9876))
    );
}

#[test]
fn a_second_pass_puts_the_port_back() {
    let (patched, _) = admitted(&asks(json!({})));
    let other = json!({ "containerPort": 1, "name": "other", "protocol": "TCP" });
    let mut on_host = expected();
    on_host[0]["hostPort"] = json!(9876);
    for ports in [json!(null), json!([]), json!([other]), on_host, json!([expected()[0], other])] {
        let mut between = patched.clone();
        between["spec"]["initContainers"][0]["ports"] = ports.clone();
        assert_eq!(admitted(&between).0, patched, "{ports}");
    }
    // Nor does another webhook give a port to an agent that has none.
    let (patched, _) = admitted(&one(json!({})));
    let mut between = patched.clone();
    between["spec"]["initContainers"][0]["ports"] = expected();
    assert_eq!(admitted(&between).0, patched);
}

#[test]
fn a_port_of_the_application_is_refused() {
    let taken = |by: &str| {
        format!(
            "annotation enclii.io/agent-metrics: port 9876 is the application's ({by}), and all \
             containers of a pod share their ports: name another one"
        )
    };
    let of_api = |field: &str| taken(&format!("spec.containers[0].{field} in container api"));
    let get = |port: Value| json!({ "httpGet": { "path": "/", "port": port } });
    for (container, field) in [
        (json!({ "ports": [{ "containerPort": 80 }, { "containerPort": 9876 }] }), "ports[1]"),
        (json!({ "ports": [{ "containerPort": 9876, "protocol": "TCP" }] }), "ports[0]"),
        (json!({ "livenessProbe": get(json!(9876)) }), "livenessProbe"),
        (json!({ "readinessProbe": { "tcpSocket": { "port": 9876 } } }), "readinessProbe"),
        (json!({ "startupProbe": { "grpc": { "port": 9876 } } }), "startupProbe"),
        (json!({ "lifecycle": { "preStop": get(json!(9876)) } }), "lifecycle.preStop"),
    ] {
        assert_eq!(refused(&asks(container)), of_api(field));
    }
    let sidecar = json!({ "initContainers": [{
        "name": "proxy", "restartPolicy": "Always", "ports": [{ "containerPort": 9876 }],
    }] });
    let by = "spec.initContainers[0].ports[0] in container proxy";
    assert_eq!(refused(&with_spec(asks(json!({})), sidecar)), taken(by));
    for (key, value) in [
        ("metrics", "9876/metrics"),
        ("verify", "postgres=DATABASE_URL;tls=9876"),
        ("verify", "http=http://127.0.0.1:9876/ready"),
        ("reload", "http=http://localhost:9876/reload"),
    ] {
        let pod = annotate(asks(json!({})), &[(key, value)]);
        assert_eq!(refused(&pod), taken(&format!("annotation enclii.io/{key}")), "{value}");
    }
}

#[test]
fn other_ports_are_no_obstacle() {
    for container in [
        json!({ "ports": [{ "containerPort": 9877 }, { "name": "x" }, {}] }),
        json!({ "ports": [{ "containerPort": 9876, "protocol": "UDP" }] }),
        json!({ "readinessProbe": { "httpGet": { "port": "http" } } }),
        json!({ "readinessProbe": { "httpGet": { "host": "db", "port": 9876 } } }),
        json!({ "readinessProbe": { "exec": { "command": ["9876"] } } }),
    ] {
        let (patched, _) = admitted(&asks(container.clone()));
        assert_eq!(agent(&patched)["ports"], expected(), "{container}");
    }
}

#[test]
fn a_pod_whose_agent_ends_or_whose_network_is_the_nodes_is_refused() {
    let once = annotate(asks(json!({})), &[("deliver", "init")]);
    assert_eq!(
        refused(&once),
        "annotation enclii.io/agent-metrics: the metrics need an agent beside the application, and \
         enclii.io/deliver: init leaves none: remove one of them"
    );
    let network = json!({ "hostNetwork": true, "dnsPolicy": "ClusterFirstWithHostNet" });
    assert_eq!(
        refused(&with_spec(asks(json!({})), network)),
        "annotation enclii.io/agent-metrics: spec.hostNetwork is true, so the port would be the \
         node's, open to everybody who reaches it: remove one of them"
    );
}

#[test]
fn what_is_no_such_port_is_refused() {
    for value in ["0", "443", "65536", "metrics", ""] {
        let pod = annotate(pod(json!([{ "name": "api" }])), &[("agent-metrics", value)]);
        assert_eq!(
            refused_by(&pod, &config()),
            format!(
                "annotation enclii.io/agent-metrics: parse port {value:?}: must be 1024 to 65535, \
                 as 9876"
            )
        );
    }
}
