//! Namespaces and pods that bound what a container may have: limit ranges, resources of the whole
//! pod, user namespaces, assigned users.

use e2e::api_server::ApiServer;
use e2e::kubectl::{apply, kubectl, rejection};
use serde_json::{Value, json};

use crate::app::{admit, pod, pod_spec};
use crate::harness::{exclusive, kubernetes_minor, shared, value};
use crate::placement::{place, runs_with};
use crate::policy::DRY;
use crate::webhook_setting::WebhookSetting;

/// Kubernetes 1.34 has resources of a whole pod by default, and 1.33 user namespaces.
const POD_RESOURCES: u32 = 34;
const USER_NAMESPACES: u32 = 33;

fn agent(pod: &Value) -> &Value {
    &pod["spec"]["initContainers"][0]
}

#[test]
fn a_pod_fits_into_a_limit_range_of_32_mebibytes() {
    let (cluster, _guard) = shared();
    let token = value("range");
    let namespace = place(cluster, "range", &token, &[]);
    let namespace = namespace.name();
    let range = json!({
        "apiVersion": "v1", "kind": "LimitRange",
        "metadata": {"name": "small", "namespace": namespace},
        "spec": {"limits": [{
            "type": "Container", "max": {"memory": "32Mi", "cpu": "500m"},
            "min": {"memory": "4Mi"}, "maxLimitRequestRatio": {"memory": "4"}
        }]}
    });
    apply(&range.to_string()).unwrap();
    let mut spec = pod_spec(&[("API_TOKEN", "x")]);
    spec["containers"][0]["resources"] =
        json!({"requests": {"memory": "16Mi", "cpu": "5m"}, "limits": {"memory": "32Mi"}});
    let mut manifest = pod(namespace, "api", spec);
    let known = pod(namespace, "known", pod_spec(&[("API_TOKEN", "x")]));
    let refusal = admit(&known.to_string()).unwrap_err().to_string();
    assert!(refusal.contains("maximum memory usage per Container is 32Mi"), "{refusal}");
    let refusal = rejection(&manifest.to_string()).unwrap();
    assert!(refusal.contains("maximum memory usage per Container is 32Mi"), "{refusal}");

    manifest["metadata"]["annotations"]["enclii.io/agent-resources"] = json!("limits.memory=32Mi");
    admit(&manifest.to_string()).unwrap();
    let found = runs_with(namespace, "api", &token);
    assert_eq!(agent(&found)["resources"]["limits"]["memory"], "32Mi");
    assert_eq!(agent(&found)["resources"]["limits"]["cpu"], "500m", "LimitRanger's default");
    let agent = &found["status"]["initContainerStatuses"][0];
    assert_eq!(agent["restartCount"], 0, "{agent}");
}

/// The least that may be asked for starts too.
#[test]
fn an_agent_runs_in_16_mebibytes() {
    let (cluster, _guard) = shared();
    let token = value("least");
    let namespace = place(cluster, "least", &token, &[]);
    let mut manifest = pod(namespace.name(), "api", pod_spec(&[("API_TOKEN", "x")]));
    manifest["metadata"]["annotations"]["enclii.io/agent-resources"] = json!("limits.memory=16Mi");
    admit(&manifest.to_string()).unwrap();
    let found = runs_with(namespace.name(), "api", &token);
    let agent = &found["status"]["initContainerStatuses"][0];
    assert_eq!(agent["restartCount"], 0, "{agent}");
}

#[test]
fn a_pod_with_resources_of_its_own_is_admitted_and_keeps_its_class() {
    if kubernetes_minor() < POD_RESOURCES {
        println!("skipped: resources of a pod need Kubernetes 1.{POD_RESOURCES}");
        return;
    }
    let (cluster, _guard) = shared();
    let token = value("pod-level");
    let namespace = place(cluster, "podlevel", &token, &[]);
    let namespace = namespace.name();
    let limits = json!({"cpu": "500m", "memory": "128Mi"});
    for (name, of_pod, of_container, class) in [
        ("guaranteed", json!({"limits": limits}), json!({}), "Guaranteed"),
        (
            "full",
            json!({"limits": limits, "requests": limits}),
            json!({"requests": limits}),
            "Guaranteed",
        ),
        (
            "requests",
            json!({"requests": {"cpu": "10m", "memory": "32Mi"}}),
            json!({"requests": {"cpu": "10m", "memory": "32Mi"}}),
            "Burstable",
        ),
    ] {
        let mut spec = pod_spec(&[("API_TOKEN", "x")]);
        spec["resources"] = of_pod;
        spec["containers"][0]["resources"] = of_container;
        admit(&pod(namespace, name, spec).to_string()).unwrap_or_else(|error| {
            panic!("{name}: {error}");
        });
        let found = runs_with(namespace, name, &token);
        assert_eq!(found["status"]["qosClass"], class, "{name}");
    }
}

#[test]
fn a_pod_in_a_user_namespace_gets_its_files() {
    if kubernetes_minor() < USER_NAMESPACES {
        println!("skipped: user namespaces need Kubernetes 1.{USER_NAMESPACES}");
        return;
    }
    let (cluster, _guard) = shared();
    let token = value("userns");
    let namespace = place(cluster, "userns", &token, &[]);
    let mut spec = pod_spec(&[("API_TOKEN", "x")]);
    spec["hostUsers"] = json!(false);
    let manifest = pod(namespace.name(), "api", spec);
    admit(&manifest.to_string()).unwrap();
    // The node's container runtime has to know them.
    let nodes = kubectl(&["get", "nodes", "-o", "jsonpath={.items[*].status.runtimeHandlers}"]);
    if nodes.unwrap().contains("\"userNamespaces\":true") {
        let found = runs_with(namespace.name(), "api", &token);
        assert_eq!(found["spec"]["hostUsers"], false);
    } else {
        println!("skipped: the container runtime has no user namespaces, so the pod cannot start");
    }
}

/// As OpenShift's admission does: it sets a user from the namespace's range in every container that
/// has none, before and after the webhook, and refuses another.
#[test]
fn a_pod_runs_as_the_user_that_its_namespace_assigns() {
    const ASSIGNED: u32 = 1_000_680_000;
    let (cluster, _guard) = exclusive();
    let _namespace = WebhookSetting::new("ENCLII_AGENT_USER", "namespace");
    let token = value("assigned");
    let namespace = place(cluster, "assigned", &token, &[]);
    let namespace = namespace.name();
    let mut spec = pod_spec(&[("API_TOKEN", "x")]);
    spec["securityContext"] = json!({"runAsNonRoot": true});
    admit(&pod(namespace, "known", spec.clone()).to_string()).unwrap();

    let api = ApiServer::connect().unwrap();
    let path = format!("/api/v1/namespaces/{namespace}/pods");
    let answer = api.create(&path, DRY, &pod(namespace, "api", spec)).unwrap();
    assert!(answer.is_admitted(), "{}", answer.message());
    let context = &agent(&answer.body)["securityContext"];
    assert!(context["runAsUser"].is_null() && context["runAsNonRoot"] == true, "{context}");

    let mut assigned = pod(namespace, "api", answer.body["spec"].clone());
    for list in ["containers", "initContainers"] {
        for container in assigned["spec"][list].as_array_mut().unwrap() {
            container["securityContext"]["runAsUser"] = json!(ASSIGNED);
        }
    }
    let answer = api.create(&path, "", &assigned).unwrap();
    assert!(answer.is_admitted(), "{}", answer.message());
    let found = runs_with(namespace, "api", &token);
    assert_eq!(agent(&found)["securityContext"]["runAsUser"], ASSIGNED);
}
