//! Pods of every shape that must run: links, Jobs, the restricted standard, and pods that never
//! asked.

use e2e::kubectl::{Namespace, apply, kubectl, object, ready_pods};
use e2e::sample::sha256;
use e2e::wait;
use serde_json::json;

use crate::app::{admit, pod, pod_spec, service_account, state};
use crate::harness::{STEP_TIMEOUT, project, shared, value};

fn namespace(name: &str, labels: &[(&str, &str)]) -> Namespace {
    let project = &project(name);
    let mut all = vec![("enclii.io/project", project.as_str()), ("enclii.io/environment", "prod")];
    all.extend_from_slice(labels);
    let namespace = Namespace::create(&format!("{project}-prod"), &all).unwrap();
    service_account(namespace.name(), "api").unwrap();
    namespace
}

fn scope(name: &str) -> String {
    format!("{}.prod.api", project(name))
}

fn ready(namespace: &str, name: &str) {
    wait::until(&format!("pod {namespace}/{name}"), STEP_TIMEOUT, || {
        Ok(ready_pods(namespace, &format!("app={name}"))?.pop())
    })
    .unwrap_or_else(|error| panic!("{error}\n{}", e2e::kubectl::describe(namespace)));
}

/// `/var/run` is a link to `/run` in most images, so that the service-account token's mount point
/// lies in our read-only volume: the agent must have made it.
#[test]
fn an_image_that_links_var_run_to_run_starts_with_its_token_mounted() {
    let (cluster, _guard) = shared();
    let namespace = namespace("links", &[]);
    let secret = value("linked");
    cluster.set(&scope("links"), "API_TOKEN", secret.as_bytes()).unwrap();
    cluster.wait_for_bundle(namespace.name(), "api-prod", "API_TOKEN").unwrap();
    let mut spec = pod_spec(&[("API_TOKEN", "x")]);
    spec["containers"][0]["image"] = json!("enclii/sample-var-run:0.1.0");
    spec["automountServiceAccountToken"] = json!(true);
    admit(&pod(namespace.name(), "linked", spec).to_string()).unwrap();
    ready(namespace.name(), "linked");

    let found = object(namespace.name(), "pod", "linked").unwrap().unwrap();
    let mounts = found["spec"]["containers"][0]["volumeMounts"].as_array().unwrap();
    assert!(
        mounts.iter().any(|it| it["mountPath"] == "/var/run/secrets/kubernetes.io/serviceaccount"),
        "{mounts:?}"
    );
    assert!(
        mounts.iter().any(|it| it["mountPath"] == "/run/secrets" && it["readOnly"] == true),
        "{mounts:?}"
    );
    assert_eq!(
        state(namespace.name(), "linked").unwrap().digests["API_TOKEN"],
        sha256(secret.as_bytes())
    );
}

/// Cloud identities and meshes mount their tokens below `/var/run/secrets`, which is our read-only
/// volume in this image: the agent must have made each of those places, a directory or a file.
#[test]
fn volumes_of_others_are_mounted_below_the_secrets_directory() {
    let (cluster, _guard) = shared();
    let namespace = namespace("below", &[]);
    let secret = value("below");
    cluster.set(&scope("below"), "API_TOKEN", secret.as_bytes()).unwrap();
    cluster.wait_for_bundle(namespace.name(), "api-prod", "API_TOKEN").unwrap();
    let root = json!({
        "apiVersion": "v1", "kind": "ConfigMap",
        "metadata": {"name": "pki", "namespace": namespace.name()},
        "data": {"root.pem": "a certificate"}
    });
    apply(&root.to_string()).unwrap();
    let token = |audience: &str| {
        json!({"sources": [{"serviceAccountToken": {
            "audience": audience, "expirationSeconds": 3600, "path": "token"
        }}]})
    };
    let mut spec = pod_spec(&[
        ("API_TOKEN", "x"),
        ("ROOT_FILE", "/run/secrets/pki/root.pem"),
        ("IDENTITY_FILE", "/var/run/secrets/eks.amazonaws.com/serviceaccount/token"),
    ]);
    spec["containers"][0]["image"] = json!("enclii/sample-var-run:0.1.0");
    spec["automountServiceAccountToken"] = json!(true);
    spec["volumes"] = json!([
        {"name": "aws-iam-token", "projected": token("sts.amazonaws.com")},
        {"name": "azure-identity-token", "projected": token("api://AzureADTokenExchange")},
        {"name": "istio-token", "projected": token("istio-ca")},
        {"name": "pki", "configMap": {"name": "pki"}},
    ]);
    spec["containers"][0]["volumeMounts"] = json!([
        {
            "name": "aws-iam-token", "readOnly": true,
            "mountPath": "/var/run/secrets/eks.amazonaws.com/serviceaccount"
        },
        {"name": "azure-identity-token", "mountPath": "/var/run/secrets/azure/tokens"},
        {"name": "istio-token", "mountPath": "/var/run/secrets/tokens"},
        {"name": "pki", "mountPath": "/run/secrets/pki/root.pem", "subPath": "root.pem"},
    ]);
    admit(&pod(namespace.name(), "below", spec).to_string()).unwrap();
    ready(namespace.name(), "below");

    let digests = state(namespace.name(), "below").unwrap().digests;
    assert_eq!(digests["API_TOKEN"], sha256(secret.as_bytes()));
    assert_eq!(digests["ROOT"], sha256(b"a certificate"));
    assert!(digests.contains_key("IDENTITY"), "{digests:?}");
}

#[test]
fn a_job_completes() {
    let (cluster, _guard) = shared();
    let namespace = namespace("jobs", &[]);
    let secret = value("job");
    cluster.set(&scope("jobs"), "API_TOKEN", secret.as_bytes()).unwrap();
    cluster.wait_for_bundle(namespace.name(), "api-prod", "API_TOKEN").unwrap();
    let mut spec = pod_spec(&[("API_TOKEN", "x")]);
    spec["restartPolicy"] = json!("Never");
    spec["containers"][0]["args"] =
        json!(["once", "--expect", format!("API_TOKEN={}", sha256(secret.as_bytes()))]);
    spec["containers"][0].as_object_mut().unwrap().remove("readinessProbe");
    let job = json!({
        "apiVersion": "batch/v1", "kind": "Job",
        "metadata": {"name": "migrate", "namespace": namespace.name()},
        "spec": {
            "completions": 3, "parallelism": 3, "backoffLimit": 0,
            "template": {
                "metadata": {"annotations": {"enclii.io/secrets": "api-prod"}}, "spec": spec
            }
        }
    });
    apply(&job.to_string()).unwrap();
    kubectl(&[
        "-n",
        namespace.name(),
        "wait",
        "--for=condition=complete",
        "job/migrate",
        "--timeout=120s",
    ])
    .unwrap_or_else(|error| panic!("{error}\n{}", e2e::kubectl::describe(namespace.name())));
}

#[test]
fn a_namespace_that_enforces_the_restricted_standard_takes_the_pod() {
    let (cluster, _guard) = shared();
    let namespace = namespace("strict", &[("pod-security.kubernetes.io/enforce", "restricted")]);
    let secret = value("strict");
    cluster.set(&scope("strict"), "API_TOKEN", secret.as_bytes()).unwrap();
    cluster.wait_for_bundle(namespace.name(), "api-prod", "API_TOKEN").unwrap();
    let mut spec = pod_spec(&[("API_TOKEN", "x")]);
    spec["securityContext"]["seccompProfile"] = json!({"type": "RuntimeDefault"});
    spec["containers"][0]["securityContext"] = json!({
        "allowPrivilegeEscalation": false, "capabilities": {"drop": ["ALL"]},
        "readOnlyRootFilesystem": true
    });
    admit(&pod(namespace.name(), "strict", spec).to_string()).unwrap();
    ready(namespace.name(), "strict");
    assert_eq!(
        state(namespace.name(), "strict").unwrap().digests["API_TOKEN"],
        sha256(secret.as_bytes())
    );
}

/// An init container sees the files, and a container that is not named does not.
#[test]
fn init_containers_get_the_files_and_containers_that_are_not_named_do_not() {
    let (cluster, _guard) = shared();
    let namespace = namespace("chosen", &[]);
    let secret = value("chosen");
    cluster.set(&scope("chosen"), "API_TOKEN", secret.as_bytes()).unwrap();
    cluster.wait_for_bundle(namespace.name(), "api-prod", "API_TOKEN").unwrap();
    let mut spec = pod_spec(&[("API_TOKEN", "x")]);
    let mut init = spec["containers"][0].clone();
    init["name"] = json!("migrate");
    init["args"] = json!(["once", "--expect", format!("API_TOKEN={}", sha256(secret.as_bytes()))]);
    init.as_object_mut().unwrap().remove("readinessProbe");
    spec["initContainers"] = json!([init]);
    let mut other = spec["containers"][0].clone();
    other["name"] = json!("other");
    other["env"] = json!([]);
    other["args"] = json!(["--listen", "0.0.0.0:8081"]);
    other.as_object_mut().unwrap().remove("readinessProbe");
    spec["containers"].as_array_mut().unwrap().push(other);
    let mut manifest = pod(namespace.name(), "chosen", spec);
    manifest["metadata"]["annotations"]["enclii.io/containers"] = json!("api,migrate");
    admit(&manifest.to_string()).unwrap();
    ready(namespace.name(), "chosen");
    let found = object(namespace.name(), "pod", "chosen").unwrap().unwrap();
    let mounts = |container: &serde_json::Value| container["volumeMounts"].to_string();
    assert!(mounts(&found["spec"]["containers"][0]).contains("/run/secrets\""));
    assert!(!mounts(&found["spec"]["containers"][1]).contains("/run/secrets\""));
}

#[test]
fn a_pod_that_did_not_ask_is_untouched() {
    let (_cluster, _guard) = shared();
    let namespace = namespace("plain", &[]);
    let mut manifest = pod(namespace.name(), "plain", pod_spec(&[("DATABASE_PASSWORD", "stays")]));
    manifest["metadata"]["annotations"] = json!({"enclii.io/reload": "none"});
    apply(&manifest.to_string()).unwrap();
    let found = object(namespace.name(), "pod", "plain").unwrap().unwrap();
    assert_eq!(found["spec"]["containers"][0]["env"], manifest["spec"]["containers"][0]["env"]);
    assert!(found["spec"]["initContainers"].is_null());
}
