//! Pods whose agent is the first of their containers, and those where it cannot be.

use e2e::kubectl::{Namespace, apply, describe, kubectl, object, objects, ready_pods, rejection};
use e2e::sample::sha256;
use e2e::wait;
use serde_json::{Value, json};

use crate::app::{admit, pod, pod_spec, service_account, state};
use crate::harness::{Cluster, STEP_TIMEOUT, exclusive, project, value};
use crate::webhook_setting::WebhookSetting;

/// A namespace whose bundle `api-prod` has the key `API_TOKEN`.
pub(crate) fn place(
    cluster: &Cluster,
    name: &str,
    token: &str,
    labels: &[(&str, &str)],
) -> Namespace {
    let project = project(name);
    let mut all = vec![("enclii.io/project", project.as_str()), ("enclii.io/environment", "prod")];
    all.extend_from_slice(labels);
    let namespace = Namespace::create(&format!("{project}-prod"), &all).unwrap();
    service_account(namespace.name(), "api").unwrap();
    cluster.set(&format!("{project}.prod.api"), "API_TOKEN", token.as_bytes()).unwrap();
    cluster.wait_for_bundle(namespace.name(), "api-prod", "API_TOKEN").unwrap();
    namespace
}

/// Waits until the application of a pod has its token, and returns the pod.
pub(crate) fn runs_with(namespace: &str, name: &str, token: &str) -> Value {
    wait::until(&format!("pod {namespace}/{name}"), STEP_TIMEOUT, || {
        Ok(ready_pods(namespace, &format!("app={name}"))?.pop())
    })
    .unwrap_or_else(|error| panic!("{error}\n{}", describe(namespace)));
    let digests = state(namespace, name).unwrap().digests;
    assert_eq!(digests["API_TOKEN"], sha256(token.as_bytes()));
    object(namespace, "pod", name).unwrap().unwrap()
}

fn status(pod: &Value) -> Value {
    let text = pod["metadata"]["annotations"]["enclii.io/status"].as_str().unwrap();
    serde_json::from_str(text).unwrap()
}

#[test]
fn an_agent_that_comes_first_among_the_containers_has_the_files_there_in_time() {
    let (cluster, _guard) = exclusive();
    let _first = WebhookSetting::new("ENCLII_AGENT_PLACEMENT", "first");
    let token = value("first");
    let namespace = place(cluster, "first", &token, &[]);
    let namespace = namespace.name();
    admit(&pod(namespace, "api", pod_spec(&[("API_TOKEN", "x")])).to_string()).unwrap();
    let found = runs_with(namespace, "api", &token);
    let agent = &found["spec"]["containers"][0];
    assert_eq!(agent["name"], "enclii-agent", "{agent}");
    assert!(agent["restartPolicy"].is_null() && found["spec"]["initContainers"].is_null());
    assert_eq!(status(&found)["agent"], "first");
    // What kubectl takes if nobody names a container.
    let log = kubectl(&["-n", namespace, "logs", "api"]).unwrap();
    let of_app = kubectl(&["-n", namespace, "logs", "api", "-c", "api"]).unwrap();
    assert_eq!(log, of_app);

    // The pod may ask for more, and a Job gets it, since it would not complete.
    let mut native = pod(namespace, "native", pod_spec(&[("API_TOKEN", "x")]));
    native["metadata"]["annotations"]["enclii.io/placement"] = json!("native");
    admit(&native.to_string()).unwrap();
    let found = runs_with(namespace, "native", &token);
    assert_eq!(found["spec"]["initContainers"][0]["name"], "enclii-agent");

    let mut spec = pod_spec(&[("API_TOKEN", "x")]);
    spec["restartPolicy"] = json!("OnFailure");
    spec["containers"][0]["args"] =
        json!(["once", "--expect", format!("API_TOKEN={}", sha256(token.as_bytes()))]);
    spec["containers"][0].as_object_mut().unwrap().remove("readinessProbe");
    let job = json!({
        "apiVersion": "batch/v1", "kind": "Job",
        "metadata": {"name": "migrate", "namespace": namespace},
        "spec": {"backoffLimit": 0, "template": {
            "metadata": {
                "labels": {"app": "migrate"}, "annotations": {"enclii.io/secrets": "api-prod"}
            },
            "spec": spec
        }}
    });
    apply(&job.to_string()).unwrap();
    let complete = ["wait", "--for=condition=complete", "job/migrate", "--timeout=120s"];
    kubectl(&[&["-n", namespace][..], &complete].concat())
        .unwrap_or_else(|error| panic!("{error}\n{}", describe(namespace)));
    let pods = objects(namespace, "pods", "app=migrate").unwrap();
    assert_eq!(status(&pods[0])["agent"], "native");
}

#[test]
fn a_pod_asks_for_the_first_place_where_the_operator_allows_it() {
    let (cluster, _guard) = exclusive();
    let token = value("asks");
    let namespace = place(cluster, "asks", &token, &[]);
    let name = namespace.name();
    admit(&pod(name, "known", pod_spec(&[("API_TOKEN", "x")])).to_string()).unwrap();
    let mut asks = pod(name, "api", pod_spec(&[("API_TOKEN", "x")]));
    asks["metadata"]["annotations"]["enclii.io/placement"] = json!("first");
    let refusal = rejection(&asks.to_string()).unwrap();
    assert!(refusal.contains("first is not allowed by the operator"), "{refusal}");

    let _either = WebhookSetting::new("ENCLII_AGENT_PLACEMENT", "either");
    admit(&asks.to_string()).unwrap();
    let found = runs_with(name, "api", &token);
    assert_eq!(found["spec"]["containers"][0]["name"], "enclii-agent");
}
