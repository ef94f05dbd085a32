//! Applications whose command the agent's program starts, and files that the agent renders.

use std::path::PathBuf;

use e2e::kubectl::{Namespace, apply, describe, kubectl, object, ready_pods, rejection};
use e2e::leaks::LeakSearch;
use e2e::sample::{AppState, sha256};
use e2e::wait;
use serde_json::{Value, json};

use crate::app::{admit, pod, pod_spec, service_account, state};
use crate::harness::{Cluster, STEP_TIMEOUT, own_cluster_setting, project, shared, value};

/// A namespace whose bundle `api-prod` has the key `API_TOKEN`, and its scope.
fn set_up(cluster: &Cluster, name: &str, token: &str) -> (Namespace, String) {
    let project = project(name);
    let labels = [("enclii.io/project", project.as_str()), ("enclii.io/environment", "prod")];
    let namespace = Namespace::create(&format!("{project}-prod"), &labels).unwrap();
    service_account(namespace.name(), "api").unwrap();
    let scope = format!("{project}.prod.api");
    cluster.set(&scope, "API_TOKEN", token.as_bytes()).unwrap();
    cluster.wait_for_bundle(namespace.name(), "api-prod", "API_TOKEN").unwrap();
    (namespace, scope)
}

/// A pod of the sample application with these annotations.
fn api(namespace: &str, annotations: &[(&str, &str)]) -> Value {
    let mut spec = pod_spec(&[("API_TOKEN", "x")]);
    spec["containers"][0]["command"] = json!(["/enclii-sample"]);
    let mut manifest = pod(namespace, "api", spec);
    for (key, value) in annotations {
        manifest["metadata"]["annotations"][format!("enclii.io/{key}")] = json!(value);
    }
    manifest
}

fn ready(namespace: &str) {
    wait::until(&format!("pod {namespace}/api"), STEP_TIMEOUT, || {
        Ok(ready_pods(namespace, "app=api")?.pop())
    })
    .unwrap_or_else(|error| panic!("{error}\n{}", describe(namespace)));
}

/// Waits until the application works with this value of its variable.
fn works_with(namespace: &str, token: &str) -> AppState {
    let digest = sha256(token.as_bytes());
    wait::until(&format!("the application of {namespace} to get its token"), STEP_TIMEOUT, || {
        let state = state(namespace, "api").ok();
        Ok(state.filter(|it| it.variables.get("API_TOKEN") == Some(&digest)))
    })
    .unwrap_or_else(|error| panic!("{error}\n{}", describe(namespace)))
}

/// The value is in the process alone: neither in the runtime's state nor in what `kubectl exec`
/// gets. For a new value the command starts again, in the container that goes on.
#[test]
fn a_command_gets_its_variables_and_starts_again_for_a_new_value() {
    let (cluster, _guard) = shared();
    let first = value("first");
    let (namespace, scope) = set_up(cluster, "command", &first);
    let name = namespace.name();
    admit(&api(name, &[("deliver", "exec"), ("reload", "restart")]).to_string()).unwrap();
    ready(name);
    let before = works_with(name, &first);
    assert!(!before.variables.contains_key("ENCLII_EXEC"), "{before:?}");
    if let Some(folder) = own_cluster_setting("CLUSTER_DIR").map(PathBuf::from) {
        let mut search = LeakSearch::new(&first).unwrap();
        for (path, bytes) in crate::leaks::runtime_state(&folder) {
            search.text("the runtime's state", &path.display().to_string(), &bytes);
        }
        search.finish(&["the runtime's state"]).unwrap();
    }

    let second = value("second");
    cluster.set(&scope, "API_TOKEN", second.as_bytes()).unwrap();
    let after = works_with(name, &second);
    assert!(after.started_at > before.started_at);
    let found = object(name, "pod", "api").unwrap().unwrap();
    let status = &found["status"]["containerStatuses"][0];
    assert_eq!(status["restartCount"], 0, "the container goes on: {status}");
    let log = kubectl(&["-n", name, "logs", "api", "-c", "api"]).unwrap();
    assert!(log.contains("the secrets changed: the command starts again"), "{log}");

    // The program passes the stop on, and ends with the status of the command.
    kubectl(&["-n", name, "delete", "pod", "api", "--wait=true", "--timeout=20s"]).unwrap();
}

/// The agent signals the application, and not the program that stands in for it.
#[test]
fn a_signal_reaches_the_application_behind_the_program() {
    let (cluster, _guard) = shared();
    let (first, second) = (value("first"), value("second"));
    let (namespace, scope) = set_up(cluster, "behind", &first);
    let name = namespace.name();
    let mut manifest = api(name, &[("deliver", "API_TOKEN=exec"), ("reload", "signal=SIGHUP")]);
    let other = json!({"name": "OTHER_FILE", "value": "/run/secrets/API_TOKEN"});
    manifest["spec"]["containers"][0]["env"].as_array_mut().unwrap().push(other);
    admit(&manifest.to_string()).unwrap();
    ready(name);
    let before = works_with(name, &first);
    assert_eq!(before.digests["OTHER"], sha256(first.as_bytes()));
    cluster.set(&scope, "API_TOKEN", second.as_bytes()).unwrap();
    let digest = sha256(second.as_bytes());
    let after = wait::until("the application to reload", STEP_TIMEOUT, || {
        let state = state(name, "api").ok();
        Ok(state.filter(|it| it.digests.get("OTHER") == Some(&digest)))
    })
    .unwrap_or_else(|error| panic!("{error}\n{}", describe(name)));
    assert_eq!(after.started_at, before.started_at);
}

#[test]
fn a_pod_without_a_command_is_refused_with_the_ways_out() {
    let (cluster, _guard) = shared();
    let (namespace, _) = set_up(cluster, "nocommand", &value("token"));
    let mut manifest = api(namespace.name(), &[("deliver", "exec")]);
    manifest["spec"]["containers"][0].as_object_mut().unwrap().remove("command");
    let message = wait::until("the webhook to know the bundle", STEP_TIMEOUT, || {
        let message = rejection(&manifest.to_string())?;
        Ok(Some(message).filter(|it| !it.contains("does not exist")))
    })
    .unwrap();
    assert!(message.contains("has no command") && message.contains("crane config"), "{message}");
}

#[test]
fn files_are_rendered_with_each_generation() {
    let (cluster, _guard) = shared();
    let (first, second) = (value("first"), value("second"));
    let (namespace, scope) = set_up(cluster, "rendered", &first);
    let name = namespace.name();
    let map = json!({
        "apiVersion": "v1", "kind": "ConfigMap",
        "metadata": {"name": "web", "namespace": name},
        "data": {"conf": "token = {{ API_TOKEN | json }}\n"}
    });
    apply(&map.to_string()).unwrap();
    let mut manifest = api(
        name,
        &[
            ("reload", "signal=SIGHUP"),
            ("format-app.env", "dotenv"),
            ("template-db.ini", "[db]\nurl = db://{{ API_TOKEN }}@h\n"),
            ("template-web.conf", "configmap=web/conf"),
        ],
    );
    let files = ["app.env", "db.ini", "web.conf"];
    let variables = files.iter().enumerate().map(|(at, file)| {
        json!({"name": format!("F{at}_FILE"), "value": format!("/run/secrets/{file}")})
    });
    manifest["spec"]["containers"][0]["env"].as_array_mut().unwrap().extend(variables);
    admit(&manifest.to_string()).unwrap();
    ready(name);
    let expected = |token: &str| {
        [
            format!("API_TOKEN='{token}'\n"),
            format!("[db]\nurl = db://{token}@h\n"),
            format!("token = \"{token}\"\n"),
        ]
        .map(|text| sha256(text.as_bytes()))
    };
    let found = || {
        let digests = state(name, "api").ok()?.digests;
        Some(["F0", "F1", "F2"].map(|name| digests.get(name).cloned().unwrap_or_default()))
    };
    assert_eq!(found(), Some(expected(&first)));
    cluster.set(&scope, "API_TOKEN", second.as_bytes()).unwrap();
    wait::until("the files of the second value", STEP_TIMEOUT, || {
        Ok(found().filter(|it| *it == expected(&second)))
    })
    .unwrap_or_else(|error| panic!("{error}\n{}", describe(name)));
}
