//! The webhook's certificate and its registration, which a program of its own keeps.

use anyhow::Result;
use e2e::kubectl::{Namespace, apply, keep_logs, kubectl, object, rolled_out};
use e2e::wait;
use serde_json::json;

use crate::app::{pod, pod_spec, service_account};
use crate::harness::{
    Cluster, STEP_TIMEOUT, SYSTEM, exclusive, own_cluster_setting, project, shared, value,
};

/// Who the API server takes a service account of the system for.
fn account(name: &str) -> String {
    format!("system:serviceaccount:{SYSTEM}:{name}")
}

fn kubectl_as(name: &str, words: &[&str]) -> Result<String> {
    kubectl(&[&["--as", &account(name)][..], words].concat())
}

/// A namespace whose service `api` has the secret `API_TOKEN`.
fn namespace(cluster: &Cluster, name: &str) -> Namespace {
    let project = project(name);
    let labels = [("enclii.io/project", project.as_str()), ("enclii.io/environment", "prod")];
    let namespace = Namespace::create(&format!("{project}-prod"), &labels).unwrap();
    service_account(namespace.name(), "api").unwrap();
    let scope = format!("{project}.prod.api");
    cluster.set(&scope, "API_TOKEN", value(name).as_bytes()).unwrap();
    cluster.wait_for_bundle(namespace.name(), "api-prod", "API_TOKEN").unwrap();
    namespace
}

#[test]
fn the_webhook_cannot_change_its_registration() {
    let (_cluster, _guard) = shared();
    let registration = "mutatingwebhookconfigurations.admissionregistration.k8s.io/enclii-webhook";
    let patch = json!([{"op": "replace", "path": "/webhooks/0/failurePolicy", "value": "Ignore"}]);
    let refused = kubectl_as(
        "enclii-webhook",
        &["patch", registration, "--type=json", "-p", &patch.to_string(), "--dry-run=server"],
    );
    // kubectl reads what it patches, and not even that is allowed.
    let message = refused.unwrap_err().to_string();
    assert!(message.contains("Forbidden"), "{message}");

    let may = |who: &str, verb: &str, what: &str| {
        let answer = kubectl_as(who, &["auth", "can-i", verb, what, "-n", SYSTEM]);
        answer.is_ok_and(|it| it.trim() == "yes")
    };
    for verb in ["update", "patch", "delete", "create"] {
        for what in [registration, "secret/enclii-webhook-tls", "configmap/enclii-trust"] {
            assert!(!may("enclii-webhook", verb, what), "the webhook may {verb} {what}");
        }
    }
    assert!(!may("enclii-webhook", "get", "secret/enclii-webhook-ca"), "the CA's key");
    assert!(may("enclii-webhook", "get", "secret/enclii-webhook-tls"));
    for (verb, what) in [
        ("get", "secret/enclii-switchyard-tls"),
        ("get", "secret/enclii-bootstrap"),
        ("list", "secrets"),
        ("delete", "secret/enclii-webhook-tls"),
        ("list", "secretbundles.enclii.io"),
        ("create", "pods"),
    ] {
        assert!(!may("enclii-certificates", verb, what), "the keeper may {verb} {what}");
    }

    // The right to create a Secret is for the names in the role, and needs server-side apply.
    let create = |name: &str, words: &[&str]| {
        let secret = json!({
            "apiVersion": "v1", "kind": "Secret", "type": "Opaque",
            "metadata": {"name": name, "namespace": SYSTEM},
        });
        let file = tempfile::NamedTempFile::new().unwrap();
        std::io::Write::write_all(&mut &file, secret.to_string().as_bytes()).unwrap();
        let path = file.path().to_str().unwrap();
        kubectl_as("enclii-certificates", &[words, &["-f", path, "--dry-run=server"]].concat())
    };
    let apply = ["apply", "--server-side", "--field-manager=enclii-certs"];
    create("enclii-webhook-tls", &apply).unwrap();
    for (name, words) in
        [("somebody-elses", &apply[..]), ("enclii-webhook-tls", &["create"]), ("x", &["create"])]
    {
        let message = create(name, words).unwrap_err().to_string();
        assert!(message.contains("Forbidden"), "{name}: {message}");
    }
}

#[test]
fn a_deleted_certificate_comes_back_although_every_webhook_restarts() {
    let (cluster, _guard) = exclusive();
    let namespace = namespace(cluster, "healing");
    let asks = |name: &str| {
        let pod = pod(namespace.name(), name, pod_spec(&[("API_TOKEN", "x")])).to_string();
        wait::until("the pod that asks to be admitted", STEP_TIMEOUT, || Ok(apply(&pod).ok()))
    };
    for (round, secrets) in
        [&["enclii-webhook-tls"][..], &["enclii-webhook-ca", "enclii-webhook-tls"]]
            .into_iter()
            .enumerate()
    {
        keep_logs(SYSTEM);
        kubectl(&["-n", SYSTEM, "scale", "deployment/enclii-webhook", "--replicas=0"]).unwrap();
        if secrets.len() > 1 {
            // Nobody has the old CA in memory either.
            kubectl(&["-n", SYSTEM, "scale", "deployment/enclii-certificates", "--replicas=0"])
                .unwrap();
            wait::until("the keeper to end", STEP_TIMEOUT, || {
                let label = "app.kubernetes.io/name=enclii-certificates";
                Ok(e2e::kubectl::objects(SYSTEM, "pods", label)?.is_empty().then_some(()))
            })
            .unwrap();
        }
        kubectl(&[&["-n", SYSTEM, "delete", "secret"][..], secrets].concat()).unwrap();
        kubectl(&["-n", SYSTEM, "scale", "deployment/enclii-certificates", "--replicas=1"])
            .unwrap();
        kubectl(&["-n", SYSTEM, "scale", "deployment/enclii-webhook", "--replicas=2"]).unwrap();
        rolled_out(SYSTEM, "deployment/enclii-certificates", STEP_TIMEOUT).unwrap();
        rolled_out(SYSTEM, "deployment/enclii-webhook", STEP_TIMEOUT).unwrap();
        asks(&format!("asks-{round}"))
            .unwrap_or_else(|error| panic!("{error}\n{}", e2e::kubectl::describe(SYSTEM)));
        let found = object(SYSTEM, "secret", "enclii-webhook-tls").unwrap().unwrap();
        let data = found["data"].as_object().unwrap();
        assert!(data.contains_key("tls.crt") && !data.contains_key("ca.key"), "{:?}", data.keys());
    }
    keep_logs(SYSTEM);
}

/// Takes the webhook's changes back.
struct Undone;

impl Drop for Undone {
    fn drop(&mut self) {
        keep_logs(SYSTEM);
        let _ = kubectl(&["-n", SYSTEM, "rollout", "undo", "deployment/enclii-webhook"]);
        let _ = rolled_out(SYSTEM, "deployment/enclii-webhook", STEP_TIMEOUT);
    }
}

#[test]
fn with_a_client_ca_the_webhook_answers_the_api_server_alone() {
    let Some(client_ca) = own_cluster_setting("ADMISSION_CLIENT_CA") else { return };
    let (cluster, _guard) = exclusive();
    let namespace = namespace(cluster, "callers");
    let mut spec = pod_spec(&[]);
    spec["containers"][0]["envFrom"] = json!([{"secretRef": {"name": "api-prod"}}]);
    let sources = pod(namespace.name(), "sources", spec).to_string();
    let message = e2e::kubectl::rejection(&sources).unwrap();
    assert!(
        message.contains("lists a bundle's keys to the API server alone")
            && !message.contains("API_TOKEN"),
        "{message}"
    );

    let ca = std::fs::read_to_string(client_ca).unwrap();
    let map = json!({
        "apiVersion": "v1", "kind": "ConfigMap",
        "metadata": {"name": "enclii-client-ca", "namespace": SYSTEM}, "data": {"ca.crt": ca},
    });
    apply(&map.to_string()).unwrap();
    let undone = Undone;
    let patch = json!({"spec": {"template": {"spec": {
        "containers": [{
            "name": "webhook",
            "env": [
                {"name": "ENCLII_CLIENT_CA_FILE", "value": "/etc/enclii/client-ca/ca.crt"},
                {"name": "ENCLII_CLIENT_NAME", "value": "kube-apiserver"},
            ],
            "volumeMounts": [{"name": "client-ca", "mountPath": "/etc/enclii/client-ca"}],
        }],
        "volumes": [{"name": "client-ca", "configMap": {"name": "enclii-client-ca"}}],
    }}}});
    let patch = patch.to_string();
    kubectl(&["-n", SYSTEM, "patch", "deployment", "enclii-webhook", "-p", &patch]).unwrap();
    rolled_out(SYSTEM, "deployment/enclii-webhook", STEP_TIMEOUT).unwrap();
    // The API server has its certificate, so it is answered, with every name.
    wait::until("the pod with every key", STEP_TIMEOUT, || Ok(apply(&sources).ok())).unwrap();
    let found = object(namespace.name(), "pod", "sources").unwrap().unwrap();
    let env = found["spec"]["containers"][0]["env"].as_array().unwrap();
    assert!(env.iter().any(|it| it["name"] == "API_TOKEN_FILE"), "{env:?}");
    drop(undone);
}
