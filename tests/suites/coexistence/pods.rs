//! Pods that ask for secrets, each in another way.

use serde_json::{Value, json};

fn pod(annotations: &[(&str, &str)], spec: Value) -> Value {
    let mut pod = json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {"name": "api", "annotations": {"enclii.io/secrets": "api-prod"}},
        "spec": {"serviceAccountName": "api", "securityContext": {"runAsUser": 1000}}
    });
    for (key, value) in annotations {
        pod["metadata"]["annotations"][format!("enclii.io/{key}")] = json!(value);
    }
    pod["spec"].as_object_mut().unwrap().extend(spec.as_object().unwrap().clone());
    pod
}

fn api() -> Value {
    json!({
        "name": "api", "image": "shop/api:1", "command": ["/api"],
        "env": [
            {"name": "DATABASE_URL", "value": "x"},
            {"name": "STRIPE_API_KEY", "value": "y"},
            {"name": "LOG_LEVEL", "value": "info"},
        ],
        "livenessProbe": {"exec": {"command": ["/api", "check"]}},
    })
}

/// With the name of each.
pub(crate) fn pods() -> Vec<(&'static str, Value)> {
    let one = || json!({"containers": [api()]});
    let mut migrate = api();
    migrate["name"] = json!("migrate");
    migrate.as_object_mut().unwrap().remove("livenessProbe");
    let logs = json!({"name": "logs", "image": "logs:1", "restartPolicy": "Always"});
    let many = json!({
        "containers": [api(), {"name": "helper", "image": "helper:1"}],
        "initContainers": [migrate, logs],
        "volumes": [{"name": "cache", "emptyDir": {}}],
    });
    let mut from_secret = api();
    from_secret["env"][0] = json!({
        "name": "DATABASE_URL",
        "valueFrom": {"secretKeyRef": {"name": "api-prod", "key": "DATABASE_URL"}}
    });
    let mut sourced = api();
    sourced["env"] = json!([]);
    sourced["envFrom"] = json!([{"secretRef": {"name": "api-prod"}}]);
    vec![
        ("files", pod(&[], one())),
        ("many containers", pod(&[("file-mode", "0440")], many.clone())),
        ("some of many", pod(&[("containers", "api,migrate")], many.clone())),
        ("signal", pod(&[("reload", "signal=SIGHUP"), ("reload-container", "api")], many)),
        ("signal of the only one", pod(&[("reload", "signal=SIGHUP")], one())),
        ("variables", pod(&[("deliver", "env")], one())),
        ("restarts", pod(&[("deliver", "env"), ("reload", "restart")], one())),
        ("a program", pod(&[("deliver", "exec"), ("reload", "restart")], one())),
        ("once", pod(&[("deliver", "files,init")], one())),
        ("a template", pod(&[("template-app.conf", "key={{ DATABASE_URL }}")], one())),
        ("a Secret", pod(&[], json!({"containers": [from_secret]}))),
        ("a source", pod(&[("deliver", "env")], json!({"containers": [sourced]}))),
    ]
}
