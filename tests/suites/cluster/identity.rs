//! The annotation asks, the identity decides: a pod that may not read a bundle gets nothing, and
//! the refusal can be found: in the agent's log, in the container's last state and in the audit
//! log.

use std::time::Duration;

use e2e::kubectl::{Namespace, apply, kubectl, object, rejection};
use e2e::wait;
use serde_json::{Value, json};

use crate::app::{admit, pod, pod_spec, service_account};
use crate::harness::{Cluster, STEP_TIMEOUT, project, shared, value};

fn namespace(name: &str, environment: &str) -> Namespace {
    let project = &project(name);
    let namespace = Namespace::create(
        &format!("{project}-{environment}"),
        &[("enclii.io/project", project), ("enclii.io/environment", environment)],
    )
    .unwrap();
    service_account(namespace.name(), "api").unwrap();
    namespace
}

/// Creates the SecretBundle by hand, as a user with write access to a namespace can: the webhook
/// then lets the pod in, and the pod's identity alone decides.
fn announce_by_hand(namespace: &str) {
    let object = json!({
        "apiVersion": "enclii.io/v1", "kind": "SecretBundle",
        "metadata": {"name": "api-prod", "namespace": namespace}, "spec": {"keys": ["API_TOKEN"]}
    });
    apply(&object.to_string()).unwrap();
}

/// The agent's log and last state say who was refused what, the audit log has it, the application
/// never worked, and the pod can be deleted.
fn is_refused(cluster: &Cluster, namespace: &str, name: &str, account: &str) {
    let log = wait::until_every(
        Duration::from_millis(500),
        &format!("the agent of {namespace}/{name} to say that it was refused"),
        STEP_TIMEOUT,
        || {
            let log =
                kubectl(&["-n", namespace, "logs", name, "-c", "enclii-agent"]).unwrap_or_default();
            Ok(Some(log).filter(|it| it.contains("may not read")))
        },
    )
    .unwrap_or_else(|error| panic!("{error}\n{}", e2e::kubectl::describe(namespace)));
    assert!(log.contains("api-prod") && log.contains(namespace) && log.contains(account), "{log}");

    let events = cluster.get("/v1/audit?action=denied&limit=1000").unwrap();
    let found = events["events"].as_array().unwrap().iter().any(|it| {
        let text = it.to_string();
        text.contains(namespace) && text.contains(name) && text.contains("api-prod")
    });
    assert!(found, "the audit log lacks the refusal of {namespace}/{name}: {events}");

    let pod = object(namespace, "pod", name).unwrap().unwrap();
    // On a busy node kubelet may start it in the moment between the agent's end and its restart; it
    // finds no file then, and ends with an error.
    let worked = |it: &Value| it["ready"] == true || it["state"]["terminated"]["exitCode"] == 0;
    assert!(
        !pod["status"]["containerStatuses"].as_array().into_iter().flatten().any(worked),
        "the application worked: {}",
        pod["status"]
    );
}

#[test]
fn another_service_account_gets_nothing() {
    let (cluster, _guard) = shared();
    let namespace = namespace("mine", "prod");
    service_account(namespace.name(), "web").unwrap();
    cluster
        .set(&format!("{}.prod.api", project("mine")), "API_TOKEN", value("mine").as_bytes())
        .unwrap();
    cluster.wait_for_bundle(namespace.name(), "api-prod", "API_TOKEN").unwrap();
    let mut spec = pod_spec(&[("API_TOKEN", "x")]);
    spec["serviceAccountName"] = json!("web");
    admit(&pod(namespace.name(), "thief", spec).to_string()).unwrap();
    is_refused(cluster, namespace.name(), "thief", "web");
}

#[test]
fn another_namespace_gets_nothing() {
    let (cluster, _guard) = shared();
    let _owner = namespace("yours", "prod");
    cluster
        .set(&format!("{}.prod.api", project("yours")), "API_TOKEN", value("yours").as_bytes())
        .unwrap();
    let stranger = Namespace::create(&project("stranger"), &[]).unwrap();
    service_account(stranger.name(), "api").unwrap();

    let message =
        rejection(&pod(stranger.name(), "thief", pod_spec(&[("API_TOKEN", "x")])).to_string())
            .unwrap();
    assert!(message.contains("api-prod") && message.contains("stranger"), "{message}");

    announce_by_hand(stranger.name());
    let pod = pod(stranger.name(), "thief", pod_spec(&[("API_TOKEN", "x")])).to_string();
    admit(&pod).unwrap();
    is_refused(cluster, stranger.name(), "thief", "api");
}

#[test]
fn a_dev_namespace_never_gets_a_prod_bundle() {
    let (cluster, _guard) = shared();
    let _prod = namespace("ours", "prod");
    let dev = namespace("ours", "dev");
    cluster
        .set(&format!("{}.prod.api", project("ours")), "API_TOKEN", value("prod").as_bytes())
        .unwrap();
    cluster
        .set(&format!("{}.dev.api", project("ours")), "API_TOKEN", value("dev").as_bytes())
        .unwrap();
    cluster.wait_for_bundle(dev.name(), "api-dev", "API_TOKEN").unwrap();
    assert!(
        object(dev.name(), "secretbundle", "api-prod").unwrap().is_none(),
        "a prod bundle is announced in dev"
    );

    announce_by_hand(dev.name());
    let pod = pod(dev.name(), "thief", pod_spec(&[("API_TOKEN", "x")])).to_string();
    admit(&pod).unwrap();
    is_refused(cluster, dev.name(), "thief", "api");
}
