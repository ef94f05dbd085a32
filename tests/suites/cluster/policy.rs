//! The policies inside the API server: pods that ask for secrets are as the webhook makes them, or
//! are not at all, with the webhook and without it.

mod changes;
mod edit;
mod first;
mod harmless;
mod hostile;
mod reserved;
mod restarting;
mod vault;

use std::collections::BTreeSet;

use e2e::api_server::{ApiAnswer, ApiServer};
use e2e::kubectl::{Namespace, apply, kubectl, object};
use e2e::wait;
use serde_json::{Value, json};

use crate::app::{pod, pod_spec, service_account};
use crate::harness::{STEP_TIMEOUT, exclusive, kubernetes_minor, project, shared};
use changes::{Change, changes};
use edit::{agent, other_ports};
use first::FIRST;
use harmless::HARMLESS;
use hostile::{HOSTILE, Hostile};
use reserved::RESERVED;
use restarting::{RESTARTING, restarts_all};
use vault::VAULT;

pub(crate) const DRY: &str = "dryRun=All";
const POLICIES: [&str; 2] = ["pods.enclii.io", "reserved.enclii.io"];

/// A namespace with a bundle that somebody wrote by hand, and a pod as the webhook makes it.
pub(crate) struct Place {
    pub(crate) api: ApiServer,
    pub(crate) namespace: Namespace,
    pub(crate) injected: Value,
}

impl Place {
    pub(crate) fn new(name: &str) -> Self {
        let namespace = Namespace::create(&project(name), &[]).unwrap();
        service_account(namespace.name(), "api").unwrap();
        let bundle = json!({
            "apiVersion": "enclii.io/v1", "kind": "SecretBundle",
            "metadata": {"name": "api-prod", "namespace": namespace.name()},
            "spec": {"keys": ["API_TOKEN"]}
        });
        apply(&bundle.to_string()).unwrap();
        let place = Self { api: ApiServer::connect().unwrap(), namespace, injected: json!({}) };
        let asks = pod(place.namespace.name(), "asks", pod_spec(&[("API_TOKEN", "x")]));
        let injected = wait::until("the webhook to know the bundle", STEP_TIMEOUT, || {
            let answer = place.create(&asks)?;
            Ok(answer.is_admitted().then_some(answer.body))
        })
        .unwrap();
        Self { injected: manifest(&injected), ..place }
    }

    pub(crate) fn pods(&self) -> String {
        format!("/api/v1/namespaces/{}/pods", self.namespace.name())
    }

    pub(crate) fn create(&self, pod: &Value) -> anyhow::Result<ApiAnswer> {
        self.api.create(&self.pods(), DRY, pod)
    }

    /// A pod that does not ask.
    pub(crate) fn plain(&self) -> Value {
        let mut plain = pod(self.namespace.name(), "plain", pod_spec(&[]));
        plain["metadata"].as_object_mut().unwrap().remove("annotations");
        plain
    }

    /// A pod that stays, and the path of it.
    pub(crate) fn running(&self, manifest: &Value) -> String {
        let answer = self.api.create(&self.pods(), "", manifest).unwrap();
        assert!(answer.is_admitted(), "{}", answer.message());
        format!("{}/{}", self.pods(), manifest["metadata"]["name"].as_str().unwrap())
    }
}

/// What a person would write into a file to get the pod again.
fn manifest(pod: &Value) -> Value {
    let metadata = &pod["metadata"];
    json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {
            "name": metadata["name"], "namespace": metadata["namespace"],
            "annotations": metadata["annotations"]
        },
        "spec": pod["spec"]
    })
}

fn changed(base: &Value, change: fn(&mut Value)) -> Value {
    let mut pod = base.clone();
    change(&mut pod);
    pod
}

/// The messages of all policies.
fn messages() -> Vec<String> {
    let policy = |name: &&str| {
        let policy = object("default", "validatingadmissionpolicy", name).unwrap().unwrap();
        let all = policy["spec"]["validations"].as_array().unwrap().clone();
        all.into_iter().map(|it| it["message"].as_str().unwrap().to_owned())
    };
    POLICIES.iter().flat_map(policy).collect()
}

/// Whether the API server has policies: since Kubernetes 1.30.
fn has_policies() -> bool {
    let resources = kubectl(&["get", "--raw", "/apis/admissionregistration.k8s.io/v1"]).unwrap();
    let found = resources.contains("validatingadmissionpolicies");
    if !found {
        println!("skipped: the API server has no policies before Kubernetes 1.30");
    }
    found
}

/// Whether containers may say that one's exit restarts all: since Kubernetes 1.36.
fn has_restart_rules() -> bool {
    kubernetes_minor() >= 36
}

/// Takes a registration away, and puts it back when dropped.
pub(crate) struct NoWebhook(String);

impl NoWebhook {
    /// The one that injects pods.
    pub(crate) fn new() -> Self {
        Self::of("mutatingwebhookconfiguration/enclii-webhook")
    }

    /// This one.
    pub(crate) fn of(registration: &str) -> Self {
        let text = kubectl(&["get", registration, "-o", "json"]).unwrap();
        let mut object: Value = serde_json::from_str(&text).unwrap();
        let metadata = object["metadata"].as_object_mut().unwrap();
        metadata.retain(|key, _| ["name", "labels", "annotations"].contains(&key.as_str()));
        let gone = Self(object.to_string());
        kubectl(&["delete", registration]).unwrap();
        gone
    }
}

impl Drop for NoWebhook {
    fn drop(&mut self) {
        let _ = apply(&self.0);
    }
}

fn assert_refused(name: &str, answer: &ApiAnswer, says: &str) {
    let message = answer.message();
    assert!(!answer.is_admitted(), "{name}: it was admitted");
    assert!(message.contains(says), "{name}: {message}");
}

#[test]
fn the_api_server_has_no_doubts_about_the_policies() {
    let (_cluster, _guard) = shared();
    if !has_policies() {
        return;
    }
    for name in POLICIES {
        let status = wait::until("the type check", STEP_TIMEOUT, || {
            let policy = object("default", "validatingadmissionpolicy", name)?.unwrap();
            Ok((!policy["status"]["typeChecking"].is_null()).then(|| policy["status"].clone()))
        })
        .unwrap();
        assert_eq!(status["typeChecking"], json!({}), "{name}");
    }
}

#[test]
fn without_the_webhook_every_hostile_pod_is_refused_and_each_refusal_is_seen() {
    let (_cluster, _guard) = exclusive();
    if !has_policies() {
        return;
    }
    let place = Place::new("alone");
    let _gone = NoWebhook::new();
    // The API server hears of the change a moment later.
    let asks = pod(place.namespace.name(), "asks", pod_spec(&[("API_TOKEN", "x")]));
    wait::until("the webhook to be gone", STEP_TIMEOUT, || {
        Ok(place.create(&asks)?.message().contains("has no agent").then_some(()))
    })
    .unwrap();
    for (name, change) in HARMLESS {
        let answer = place.create(&changed(&place.injected, *change)).unwrap();
        assert!(answer.is_admitted(), "{name}: {}", answer.message());
    }
    let mut seen = BTreeSet::new();
    let plain = place.plain();
    let with_rules = if has_restart_rules() { RESTARTING } else { &[] };
    if has_restart_rules() {
        let answer = place.create(&changed(&place.injected, restarts_all)).unwrap();
        assert!(answer.is_admitted(), "{}", answer.message());
    }
    let of_injected = HOSTILE.iter().chain(FIRST).chain(VAULT).chain(with_rules);
    let tables = of_injected.map(|it| (it, &place.injected));
    for (case, base) in tables.chain(RESERVED.iter().map(|it| (it, &plain))) {
        let hostile = changed(base, case.change);
        let answer = place.create(&hostile).unwrap();
        assert_refused(case.name, &answer, case.says);
        seen.extend(messages_in(&answer));
        let path = format!("{}/{}", place.pods(), hostile["metadata"]["name"].as_str().unwrap());
        // Some of them cannot even be parsed for an apply.
        let applied = place.api.apply(&path, DRY, &hostile).unwrap();
        let says = if applied.status == 500 { "typed patch object" } else { case.says };
        assert_refused(case.name, &applied, says);
    }
    assert!(HOSTILE.len() >= 60, "{}", HOSTILE.len());
    for answer in changes_of_running_pods(&place) {
        seen.extend(messages_in(&answer));
    }
    let is_absent =
        |message: &String| !has_restart_rules() && message.contains("restartPolicyRules");
    let unseen: Vec<_> =
        messages().into_iter().filter(|it| !seen.contains(it) && !is_absent(it)).collect();
    assert!(unseen.is_empty(), "no test sees these refusals: {unseen:#?}");
}

/// The policies' messages in a refusal.
fn messages_in(answer: &ApiAnswer) -> Vec<String> {
    messages().into_iter().filter(|it| answer.message().contains(it)).collect()
}

/// Tries every change, and returns the refusals.
fn changes_of_running_pods(place: &Place) -> Vec<ApiAnswer> {
    let (of_injected, of_plain) = changes();
    let pods = [(place.injected.clone(), of_injected), (place.plain(), of_plain)];
    let mut refusals = Vec::new();
    for (manifest, changes) in pods {
        let path = place.running(&manifest);
        for Change { name, subresource, patch, says } in changes {
            let answer = place.api.patch(&format!("{path}{subresource}"), DRY, &patch).unwrap();
            match says {
                Some(says) => {
                    assert_refused(name, &answer, says);
                    refusals.push(answer);
                }
                None => assert!(answer.is_admitted(), "{name}: {}", answer.message()),
            }
        }
    }
    refusals
}

/// What differs between an admitted pod and one that the webhook makes.
fn difference(admitted: &Value, injected: &Value) -> Option<String> {
    let (mut admitted, mut injected) = (admitted.clone(), injected.clone());
    let agents = [&admitted, &injected].map(|pod| {
        let all = ["containers", "initContainers", "ephemeralContainers"];
        let all = all.iter().flat_map(|list| pod["spec"][*list].as_array().into_iter().flatten());
        all.filter(|it| it["name"] == "enclii-agent").count()
    });
    if agents != [1, 1] {
        return Some(format!("{agents:?} agents"));
    }
    // No sidecar stays in a new pod that asks for its secrets once. One that runs keeps its own.
    let deliver = admitted["metadata"]["annotations"]["enclii.io/deliver"].as_str();
    let is_new = admitted["metadata"]["name"] == "fresh";
    if is_new && deliver.is_some_and(|it| it.split(',').any(|it| it.trim() == "init")) {
        let agent = agent(&mut injected);
        agent["args"] = json!(["init"]);
        agent["restartPolicy"] = Value::Null;
        agent["lifecycle"] = Value::Null;
    }
    for field in [
        "image",
        "command",
        "args",
        "lifecycle",
        "securityContext",
        "restartPolicy",
        "restartPolicyRules",
    ] {
        if agent(&mut admitted)[field] != agent(&mut injected)[field] {
            return Some(format!("{field} of the agent"));
        }
    }
    if let Some(ports) = other_ports(&mut admitted, is_new) {
        return Some(ports);
    }
    let others = ["containers", "initContainers", "ephemeralContainers"];
    let mut others =
        others.iter().flat_map(|list| admitted["spec"][*list].as_array().into_iter().flatten());
    let takes_token = |it: &Value| {
        it["name"] != "enclii-agent" && it["volumeMounts"].to_string().contains("enclii-token")
    };
    others.any(takes_token).then(|| "the token in another container".to_owned())
}

#[test]
fn with_the_webhook_a_hostile_pod_is_refused_or_harmless_however_it_comes() {
    let (_cluster, _guard) = shared();
    if !has_policies() {
        return;
    }
    let place = Place::new("hostile");
    let path = place.running(&place.injected);
    let stored = place.api.patch(&path, DRY, &json!({})).unwrap().body;
    let mut refused = 0;
    let with_rules = if has_restart_rules() { RESTARTING } else { &[] };
    for Hostile { name, change, .. } in HOSTILE.iter().chain(FIRST).chain(VAULT).chain(with_rules) {
        let mut fresh = changed(&place.injected, *change);
        // A client's update starts from what is stored.
        let mut update = changed(&stored, *change);
        update["metadata"]["managedFields"] = Value::Null;
        let patch = json!({"metadata": {"annotations": fresh["metadata"]["annotations"]},
            "spec": fresh["spec"]});
        let over = place.api.apply(&path, DRY, &fresh).unwrap();
        fresh["metadata"]["name"] = json!("fresh");
        let applied = format!("{}/fresh", place.pods());
        for (how, answer) in [
            ("create", place.create(&fresh).unwrap()),
            ("apply", place.api.apply(&applied, DRY, &fresh).unwrap()),
            ("apply over", over),
            ("update", place.api.update(&path, DRY, &update).unwrap()),
            ("patch", place.api.patch(&path, DRY, &patch).unwrap()),
        ] {
            if answer.is_admitted() {
                let difference = difference(&answer.body, &place.injected);
                assert_eq!(difference, None, "{how} {name}");
            } else {
                refused += 1;
                let is_untyped = answer.message().contains("failed to create typed patch object");
                assert!(answer.status < 500 || is_untyped, "{how} {name}: {answer:?}");
            }
        }
    }
    println!(
        "{refused} of {} requests refused, the rest harmless",
        (HOSTILE.len() + FIRST.len() + VAULT.len()) * 5
    );
}

#[test]
fn exempt_namespaces_and_mirrors_are_exempt_here_too() {
    let (_cluster, _guard) = shared();
    if !has_policies() {
        return;
    }
    let place = Place::new("exempt");
    let mut asks = pod("kube-system", "asks", pod_spec(&[]));
    asks["spec"]["serviceAccountName"] = json!("default");
    for namespace in ["kube-system", "enclii-system"] {
        asks["metadata"]["namespace"] = json!(namespace);
        let path = format!("/api/v1/namespaces/{namespace}/pods");
        let answer = place.api.create(&path, DRY, &asks).unwrap();
        // The namespace of the system has a Pod Security Standard.
        assert!(!answer.message().contains("enclii.io"), "{namespace}: {}", answer.message());
    }
    let mut mirror = pod(place.namespace.name(), "mirror", pod_spec(&[]));
    mirror["metadata"]["annotations"]["kubernetes.io/config.mirror"] = json!("x");
    let answer = place.create(&mirror).unwrap();
    assert!(!answer.message().contains("enclii.io"), "{}", answer.message());
}

/// The API server gives a policy a budget; what exceeds it is refused, as long as it asks.
#[test]
fn large_pods_are_within_the_budget_of_a_policy() {
    let (_cluster, _guard) = shared();
    if !has_policies() {
        return;
    }
    let place = Place::new("large");
    let fill = |pod: &mut Value| {
        let spec = &mut pod["spec"];
        let mount =
            |index| json!({"name": format!("v{index}"), "mountPath": format!("/v/{index}")});
        for index in 0..200 {
            let volume = json!({"name": format!("v{index}"), "emptyDir": {}});
            spec["volumes"].as_array_mut().unwrap().push(volume);
        }
        let env: Vec<_> =
            (0..60).map(|index| json!({"name": format!("V{index}"), "value": "x"})).collect();
        for index in 0..30 {
            let mounts: Vec<_> = (0..20).map(mount).collect();
            let container = json!({
                "name": format!("c{index}"), "image": "x", "env": env, "volumeMounts": mounts
            });
            spec["containers"].as_array_mut().unwrap().push(container);
        }
    };
    let mut plain = place.plain();
    plain["spec"]["volumes"] = json!([]);
    for mut pod in [place.injected.clone(), plain] {
        fill(&mut pod);
        pod["metadata"]["name"] = json!("large");
        let size = pod.to_string().len();
        let answer = place.create(&pod).unwrap();
        assert!(answer.is_admitted(), "{size} bytes: {}", answer.message());
    }
}
