//! Beside the webhooks of clouds, meshes and tracers, called before ours and after it: the pods are
//! admitted and start, with their secret, with what the others added, and with our agent.

use std::collections::BTreeMap;
use std::path::PathBuf;

use anyhow::{Context, Result};
use e2e::api_server::ApiServer;
use e2e::kubectl::{Namespace, apply, describe, kubectl, object, ready_pods};
use e2e::other_webhook::{OtherWebhook, Signs, StandIns};
use e2e::sample::sha256;
use e2e::wait;
use serde_json::{Value, json};

use crate::app::{pod, pod_spec, service_account, state};
use crate::harness::{STEP_TIMEOUT, own_cluster_setting, project, shared, value};
use crate::webhook_server::{Reviewer, TlsStream, WebhookServer, allow, respond};

const SAMPLE: &str = "enclii/sample:0.1.0";

/// In this image `/var/run` is a link to `/run`, as in most.
const SAMPLE_WITH_LINK: &str = "enclii/sample-var-run:0.1.0";

/// The label that says which of them sees a pod.
const LABEL: &str = "test.enclii.io/other-webhook";

/// All of them, each at a path of its own.
struct OtherWebhooks {
    /// A directory of the node.
    directory: String,
}

impl Reviewer for OtherWebhooks {
    fn review(&self, path: &str, review: &Value, stream: &mut TlsStream) -> Result<bool> {
        let uid = review["request"]["uid"].as_str().context("uid")?;
        let name = path.trim_start_matches('/');
        let other = OtherWebhook::ALL.into_iter().find(|it| it.name() == name).context("path")?;
        let stand_ins = StandIns {
            image: SAMPLE,
            ends: &["once"],
            serves: &["--listen"],
            hook: &["/enclii-sample", "once"],
            node_directory: &self.directory,
        };
        let patch = other.patch(&review["request"]["object"], &stand_ins);
        let patch = (!patch.is_empty()).then(|| serde_json::to_string(&patch)).transpose()?;
        respond(stream, "200 OK", &allow(uid, "v1", patch.as_deref()))?;
        Ok(true)
    }
}

/// The registration of all of them for one namespace. Dropping it deletes it.
struct RegisteredOthers(String);

impl RegisteredOthers {
    /// The API server calls webhooks in the order of the names of their registrations.
    fn new(name: &str, namespace: &str, server: &WebhookServer) -> Result<Self> {
        let entry = |other: OtherWebhook| {
            let name = other.name();
            let policy = if other.is_reinvoked() { "IfNeeded" } else { "Never" };
            json!({
                "name": format!("{name}.test.enclii.io"),
                "admissionReviewVersions": ["v1"], "sideEffects": "None",
                "failurePolicy": "Fail", "reinvocationPolicy": policy, "timeoutSeconds": 10,
                "clientConfig": server.client_config(&format!("/{name}")),
                "rules": [{
                    "apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"],
                    "resources": ["pods"]
                }],
                "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": namespace}},
                "objectSelector": {"matchLabels": {LABEL: name}},
            })
        };
        let registration = json!({
            "apiVersion": "admissionregistration.k8s.io/v1",
            "kind": "MutatingWebhookConfiguration",
            "metadata": {"name": name},
            "webhooks": OtherWebhook::ALL.map(entry),
        });
        apply(&registration.to_string())?;
        Ok(Self(name.to_owned()))
    }
}

impl Drop for RegisteredOthers {
    fn drop(&mut self) {
        let words = ["delete", "mutatingwebhookconfiguration", &self.0, "--ignore-not-found"];
        let _ = kubectl(&words);
    }
}

/// A pod that one of them sees.
fn meeting(namespace: &str, other: OtherWebhook) -> Value {
    let mut spec = pod_spec(&[("API_TOKEN", "x")]);
    spec["containers"][0]["image"] = json!(SAMPLE_WITH_LINK);
    spec["automountServiceAccountToken"] = json!(true);
    let mut pod = pod(namespace, other.name(), spec);
    pod["metadata"]["labels"][LABEL] = json!(other.name());
    pod
}

fn agent(pod: &Value) -> &Value {
    let mut init = pod["spec"]["initContainers"].as_array().into_iter().flatten();
    init.find(|it| it["name"] == "enclii-agent").unwrap_or(&Value::Null)
}

/// The fields of the agent that only the webhook decides on.
fn fixed_fields(pod: &Value) -> BTreeMap<&'static str, &Value> {
    let fields = [
        "image",
        "command",
        "args",
        "lifecycle",
        "securityContext",
        "restartPolicy",
        "restartPolicyRules",
        "startupProbe",
        "livenessProbe",
        "readinessProbe",
        "terminationMessagePath",
    ];
    fields.into_iter().map(|field| (field, &agent(pod)[field])).collect()
}

/// Whether this cluster can run what it adds: it has no such CSI driver.
fn can_start(other: OtherWebhook) -> bool {
    other != OtherWebhook::DatadogCsi
}

/// Admits a pod for each of them, waits for those that can start, and looks at all of them.
fn meet_all(name: &str, registration: &str) {
    let Some(cluster_directory) = own_cluster_setting("CLUSTER_DIR").map(PathBuf::from) else {
        return;
    };
    let (cluster, _guard) = shared();
    let project = project(name);
    let labels = [("enclii.io/project", project.as_str()), ("enclii.io/environment", "prod")];
    let namespace = Namespace::create(&format!("{project}-prod"), &labels).unwrap();
    let namespace = namespace.name();
    service_account(namespace, "api").unwrap();
    let secret = value(name);
    cluster.set(&format!("{project}.prod.api"), "API_TOKEN", secret.as_bytes()).unwrap();
    cluster.wait_for_bundle(namespace, "api-prod", "API_TOKEN").unwrap();

    let directory = cluster_directory.join("others-sockets").to_string_lossy().into_owned();
    let server = WebhookServer::start(OtherWebhooks { directory }, true).unwrap();
    let _registration = RegisteredOthers::new(registration, namespace, &server).unwrap();
    let api = ApiServer::connect().unwrap();
    let create = |pod: &Value, query: &str| {
        api.create(&format!("/api/v1/namespaces/{namespace}/pods"), query, pod)
    };
    let last = OtherWebhook::ALL[OtherWebhook::ALL.len() - 1];
    wait::until("the API server to know both webhooks", STEP_TIMEOUT, || {
        let answer = create(&meeting(namespace, last), "dryRun=All")?;
        let missing = Signs::of(last).missing(&answer.body, "api");
        Ok((answer.is_admitted() && missing.is_empty()).then_some(()))
    })
    .unwrap();
    let mut alone = meeting(namespace, last);
    alone["metadata"]["labels"] = json!({});
    let alone = create(&alone, "dryRun=All").unwrap().body;
    assert_eq!(agent(&alone)["name"], "enclii-agent");

    for other in OtherWebhook::ALL {
        let query = if can_start(other) { "" } else { "dryRun=All" };
        let answer = create(&meeting(namespace, other), query).unwrap();
        assert!(answer.is_admitted(), "{name}, {other:?}: {}", answer.message());
        let pod = &answer.body;
        let missing = Signs::of(other).missing(pod, "api");
        assert!(missing.is_empty(), "{name}, {other:?}: without {missing:?}");
        assert_eq!(fixed_fields(pod), fixed_fields(&alone), "{name}, {other:?}");
    }
    for other in OtherWebhook::ALL.into_iter().filter(|it| can_start(*it)) {
        let pod = other.name();
        wait::until(&format!("pod {namespace}/{pod}"), STEP_TIMEOUT, || {
            Ok(ready_pods(namespace, &format!("app={pod}"))?.pop())
        })
        .unwrap_or_else(|error| panic!("{name}, {other:?}: {error}\n{}", describe(namespace)));
        let digests = state(namespace, pod).unwrap().digests;
        assert_eq!(digests["API_TOKEN"], sha256(secret.as_bytes()), "{name}, {other:?}");
        let stored = object(namespace, "pod", pod).unwrap().unwrap();
        assert_eq!(fixed_fields(&stored), fixed_fields(&alone), "{name}, {other:?}");
        // What it mounts below our volume is there, and the application can read it.
        for variable in Signs::of(other).variables {
            if let Some(secret) = variable.strip_suffix("_FILE") {
                assert!(digests.contains_key(secret), "{name}, {other:?}: {digests:?}");
            }
        }
    }
    println!("{name}: {} pods", OtherWebhook::ALL.len());
}

#[test]
fn pods_start_that_other_webhooks_have_changed_before_ours() {
    meet_all("metbefore", "a-other-webhooks");
}

#[test]
fn pods_start_that_other_webhooks_change_after_ours() {
    meet_all("metafter", "z-other-webhooks");
}
