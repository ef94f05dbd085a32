//! Applications that read no files: variables that kubelet reads from the agent's, restarts for a
//! new value, and pods that want their values once.

use std::path::{Path, PathBuf};
use std::time::Duration;

use e2e::kubectl::{Namespace, apply, describe, kubectl, object, ready_pods, rejection};
use e2e::leaks::LeakSearch;
use e2e::sample::{AppState, sha256};
use e2e::wait;
use serde_json::{Value, json};

use crate::app::{admit, pod, pod_spec, service_account, state};
use crate::harness::{
    Cluster, STEP_TIMEOUT, env_value, kubernetes_minor, own_cluster_setting, project, shared, value,
};

/// Kubernetes 1.35 reads variables from files, and 1.36 restarts all containers.
const FILE_KEYS: u32 = 35;
const RESTARTS: u32 = 36;

struct Setup {
    cluster: &'static Cluster,
    namespace: Namespace,
    scope: String,
}

/// A namespace whose bundle `api-prod` has the key `API_TOKEN`.
fn set_up(cluster: &'static Cluster, name: &str, token: &[u8]) -> Setup {
    let project = project(name);
    let labels = [("enclii.io/project", project.as_str()), ("enclii.io/environment", "prod")];
    let namespace = Namespace::create(&format!("{project}-prod"), &labels).unwrap();
    service_account(namespace.name(), "api").unwrap();
    let scope = format!("{project}.prod.api");
    cluster.set(&scope, "API_TOKEN", token).unwrap();
    cluster.wait_for_bundle(namespace.name(), "api-prod", "API_TOKEN").unwrap();
    Setup { cluster, namespace, scope }
}

/// A pod of the sample application, which has its token in a variable.
fn api(namespace: &str, deliver: &str, reload: &str) -> Value {
    let mut manifest = pod(namespace, "api", pod_spec(&[("API_TOKEN", "x")]));
    let annotations = &mut manifest["metadata"]["annotations"];
    annotations["enclii.io/deliver"] = json!(deliver);
    annotations["enclii.io/reload"] = json!(reload);
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

fn uid(namespace: &str) -> String {
    let found = object(namespace, "pod", "api").unwrap().unwrap();
    found["metadata"]["uid"].as_str().unwrap().to_owned()
}

/// Whether this cluster has the feature; if not, says so.
fn has(minor: u32, feature: &str) -> bool {
    let found = kubernetes_minor();
    if found < minor {
        println!("skipped on Kubernetes 1.{found}: {feature} needs 1.{minor}");
    }
    found >= minor
}

#[test]
fn an_application_that_reads_variables_is_restarted_in_place_for_a_new_value() {
    if !has(RESTARTS, "the restart of all containers") {
        return;
    }
    let (cluster, _guard) = shared();
    let first = env_value("first");
    let setup = set_up(cluster, "variables", first.as_bytes());
    let namespace = setup.namespace.name();
    admit(&api(namespace, "env", "restart").to_string()).unwrap();
    ready(namespace);
    let before = works_with(namespace, &first);
    let (pod_uid, found) = (uid(namespace), object(namespace, "pod", "api").unwrap().unwrap());
    let container = &found["spec"]["containers"][0];
    assert!(
        container["volumeMounts"].as_array().is_none_or(Vec::is_empty)
            || !container["volumeMounts"].to_string().contains("/run/secrets\"")
    );
    assert!(!before.variables.contains_key("API_TOKEN_FILE"), "{before:?}");

    let second = env_value("second");
    setup.cluster.set(&setup.scope, "API_TOKEN", second.as_bytes()).unwrap();
    let after = works_with(namespace, &second);
    assert!(after.started_at > before.started_at);
    assert_eq!(uid(namespace), pod_uid, "the pod was replaced");

    // The agent that came back does not restart them again.
    std::thread::sleep(Duration::from_secs(45));
    let later = works_with(namespace, &second);
    assert_eq!(later.started_at, after.started_at, "{}", describe(namespace));
    let log = kubectl(&["-n", namespace, "logs", "api", "-c", "enclii-agent"]).unwrap();
    assert!(log.contains("all containers were restarted with the current files"), "{log}");
}

/// The price of a variable: the value lies in the container runtime's state on the node.
#[test]
fn a_variable_lies_in_the_runtimes_state_on_the_node_and_a_file_does_not() {
    let Some(folder) = own_cluster_setting("CLUSTER_DIR").map(PathBuf::from) else { return };
    let (cluster, _guard) = shared();
    for (name, deliver) in [("statefiles", "files"), ("statevars", "env")] {
        if deliver == "env" && !has(FILE_KEYS, "a variable from a file") {
            return;
        }
        let token = env_value(deliver);
        let setup = set_up(cluster, name, token.as_bytes());
        let namespace = setup.namespace.name();
        admit(&api(namespace, deliver, "none").to_string()).unwrap();
        ready(namespace);
        let found = found_in_runtime_state(&token, &folder);
        assert_eq!(found.contains("meta.db"), deliver == "env", "{deliver}: {found}");
        assert_eq!(found.contains("config.json"), deliver == "env", "{deliver}: {found}");
    }
}

/// The files of containerd's state that hold the text.
fn found_in_runtime_state(text: &str, folder: &Path) -> String {
    let mut search = LeakSearch::new(text).unwrap();
    for (path, bytes) in crate::leaks::runtime_state(folder) {
        search.text("the runtime's state", &path.display().to_string(), &bytes);
    }
    search.finish(&["the runtime's state"]).err().map(|error| error.to_string()).unwrap_or_default()
}

#[test]
fn a_value_that_cannot_be_a_variable_is_named_where_people_look() {
    if !has(FILE_KEYS, "a variable from a file") {
        return;
    }
    let (cluster, _guard) = shared();
    let quoted = format!("{}'s", env_value("quoted"));
    let setup = set_up(cluster, "quoted", quoted.as_bytes());
    let namespace = setup.namespace.name();
    admit(&api(namespace, "env", "none").to_string()).unwrap();
    let message = wait::until("the agent's last state", STEP_TIMEOUT, || {
        let pod = object(namespace, "pod", "api")?.unwrap_or_default();
        let agent = &pod["status"]["initContainerStatuses"][0];
        let messages = ["state", "lastState"]
            .map(|state| agent[state]["terminated"]["message"].as_str().map(str::to_owned));
        Ok(messages.into_iter().flatten().find(|it| it.contains("API_TOKEN")))
    })
    .unwrap_or_else(|error| panic!("{error}\n{}", describe(namespace)));
    assert!(message.contains("API_TOKEN has a single quote"), "{message}");
    assert!(message.contains("enclii.io/deliver: API_TOKEN=exec or API_TOKEN=files"), "{message}");
    assert!(!message.contains(&quoted));
    // A value that can be one starts it.
    let plain = env_value("plain");
    setup.cluster.set(&setup.scope, "API_TOKEN", plain.as_bytes()).unwrap();
    ready(namespace);
    works_with(namespace, &plain);
}

#[test]
fn a_job_that_wants_its_values_once_completes_without_a_sidecar() {
    let (cluster, _guard) = shared();
    for (name, deliver) in [("initfiles", "init"), ("initvars", "init,env")] {
        if deliver != "init" && !has(FILE_KEYS, "a variable from a file") {
            return;
        }
        let token = if deliver == "init" { value("once") } else { env_value("once") };
        let setup = set_up(cluster, name, token.as_bytes());
        let namespace = setup.namespace.name();
        let mut spec = pod_spec(&[("API_TOKEN", "x")]);
        spec["restartPolicy"] = json!("Never");
        spec["containers"][0]["args"] =
            json!(["once", "--expect", format!("API_TOKEN={}", sha256(token.as_bytes()))]);
        spec["containers"][0].as_object_mut().unwrap().remove("readinessProbe");
        let annotations = json!({"enclii.io/secrets": "api-prod", "enclii.io/deliver": deliver});
        let job = json!({
            "apiVersion": "batch/v1", "kind": "Job",
            "metadata": {"name": "migrate", "namespace": namespace},
            "spec": {
                "backoffLimit": 0,
                "template": {
                    "metadata": {"labels": {"app": "migrate"}, "annotations": annotations},
                    "spec": spec
                }
            }
        });
        apply(&job.to_string()).unwrap();
        kubectl(&[
            "-n",
            namespace,
            "wait",
            "--for=condition=complete",
            "job/migrate",
            "--timeout=120s",
        ])
        .unwrap_or_else(|error| panic!("{error}\n{}", describe(namespace)));
        let pods = e2e::kubectl::objects(namespace, "pods", "app=migrate").unwrap();
        let agent = &pods[0]["spec"]["initContainers"][0];
        assert!(agent["restartPolicy"].is_null() && agent["args"] == json!(["init"]), "{agent}");
        let ended = &pods[0]["status"]["initContainerStatuses"][0]["state"]["terminated"];
        assert_eq!(ended["exitCode"], 0, "{ended}");
    }
}

#[test]
fn what_the_cluster_cannot_do_is_refused_or_said() {
    let (cluster, _guard) = shared();
    let setup = set_up(cluster, "older", value("older").as_bytes());
    let namespace = setup.namespace.name();
    admit(&pod(namespace, "known", pod_spec(&[("API_TOKEN", "x")])).to_string()).unwrap();
    let refusal = rejection(&api(namespace, "init", "restart").to_string()).unwrap();
    assert!(refusal.contains("restart needs an agent beside the application"), "{refusal}");
    if kubernetes_minor() < FILE_KEYS {
        let refusal = rejection(&api(namespace, "env", "none").to_string()).unwrap();
        assert!(refusal.contains("env needs Kubernetes 1.35, and the cluster has 1."), "{refusal}");
    }
    if kubernetes_minor() < RESTARTS {
        apply(&api(namespace, "files", "restart").to_string()).unwrap();
        let found = object(namespace, "pod", "api").unwrap().unwrap();
        assert!(found["spec"]["initContainers"][0]["restartPolicyRules"].is_null(), "{found}");
    }
}
