//! Namespaces with the label `enclii.io/plaintext`: their workloads' plaintext credentials are
//! warned about or refused, and nobody else's.

use e2e::api_server::{ApiAnswer, ApiServer};
use e2e::kubectl::{Namespace, apply, keep_logs, kubectl, object, objects, rolled_out};
use e2e::wait;
use serde_json::{Value, json};

use crate::app::pod_spec;
use crate::harness::{STEP_TIMEOUT, SYSTEM, exclusive, project, shared};

const DRY: &str = "dryRun=All";
const PASSWORD: &str = "template-plaintext";

/// A namespace whose admin chose a mode, if any.
struct LabelledNamespace {
    api: ApiServer,
    namespace: Namespace,
}

/// A kind of workload: its name, the path of its API, its collection, and the object around a pod.
type Kind = (&'static str, &'static str, &'static str, fn(Value) -> Value);

const KINDS: [Kind; 8] = [
    ("Pod", "/api/v1", "pods", |pod| pod),
    ("Deployment", "/apis/apps/v1", "deployments", in_template),
    ("StatefulSet", "/apis/apps/v1", "statefulsets", in_template),
    ("DaemonSet", "/apis/apps/v1", "daemonsets", in_template),
    ("ReplicaSet", "/apis/apps/v1", "replicasets", in_template),
    ("Job", "/apis/batch/v1", "jobs", |pod| {
        let mut pod = once(pod);
        pod["metadata"].as_object_mut().unwrap().remove("name");
        json!({"spec": {"template": pod}})
    }),
    ("CronJob", "/apis/batch/v1", "cronjobs", |pod| {
        json!({"spec": {
            "schedule": "0 0 1 1 *", "jobTemplate": {"spec": {"template": once(pod)}}
        }})
    }),
    ("Rollout", "/apis/argoproj.io/v1alpha1", "rollouts", in_template),
];

fn in_template(pod: Value) -> Value {
    json!({"spec": {"selector": {"matchLabels": {"app": "api"}}, "template": pod}})
}

fn once(mut pod: Value) -> Value {
    pod["spec"]["restartPolicy"] = json!("Never");
    pod
}

/// Argo's kind, with as much of a schema as the API server needs.
fn rollouts() {
    let definition = json!({
        "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
        "metadata": {"name": "rollouts.argoproj.io"},
        "spec": {
            "group": "argoproj.io", "scope": "Namespaced",
            "names": {"kind": "Rollout", "plural": "rollouts", "singular": "rollout"},
            "versions": [{
                "name": "v1alpha1", "served": true, "storage": true,
                "schema": {"openAPIV3Schema": {
                    "type": "object", "x-kubernetes-preserve-unknown-fields": true
                }}
            }]
        }
    });
    apply(&definition.to_string()).unwrap();
    kubectl(&["wait", "crd/rollouts.argoproj.io", "--for=condition=Established"]).unwrap();
}

/// A pod, or the template of one, with a credential in plain text.
fn template(annotations: Value) -> Value {
    let mut spec = pod_spec(&[
        ("LOG_LEVEL", "info"),
        ("DB_URL", &format!("postgres://shop:{PASSWORD}@db.internal/shop")),
    ]);
    spec["serviceAccountName"] = json!("default");
    json!({"metadata": {"labels": {"app": "api"}, "annotations": annotations}, "spec": spec})
}

impl LabelledNamespace {
    fn new(name: &str, mode: Option<&str>) -> Self {
        let labels: Vec<_> = mode.map(|mode| ("enclii.io/plaintext", mode)).into_iter().collect();
        let namespace = Namespace::create(&project(name), &labels).unwrap();
        Self { api: ApiServer::connect().unwrap(), namespace }
    }

    fn path(&self, (_, api, collection, _): Kind) -> String {
        format!("{api}/namespaces/{}/{collection}", self.namespace.name())
    }

    fn object(kind: Kind, pod: Value) -> Value {
        let (name, api, _, wrap) = kind;
        let mut object = wrap(pod);
        object["apiVersion"] = json!(api.trim_start_matches("/apis/").trim_start_matches("/api/"));
        object["kind"] = json!(name);
        object["metadata"]["name"] = json!("api");
        object
    }

    fn create(&self, kind: Kind, pod: Value) -> ApiAnswer {
        self.api.create(&self.path(kind), DRY, &Self::object(kind, pod)).unwrap()
    }
}

#[test]
fn each_kind_of_workload_is_refused_or_warned_about_by_the_namespaces_label() {
    let (_cluster, _guard) = shared();
    rollouts();
    let deny = LabelledNamespace::new("plain-deny", Some("deny"));
    let warn = LabelledNamespace::new("plain-warn", Some("warn"));
    let free = LabelledNamespace::new("plain-free", None);
    for kind in KINDS {
        // The API server may hear of a registration, a label or a kind a moment later.
        let refused = wait::until("a refusal", STEP_TIMEOUT, || {
            let answer = deny.create(kind, template(json!({})));
            Ok((answer.status == 403).then_some(answer))
        })
        .unwrap_or_else(|error| panic!("{}: {error}", kind.0));
        let message = refused.message();
        assert!(message.contains("DB_URL") && message.contains("enclii.io/plain-env"), "{message}");
        assert!(!message.contains(PASSWORD), "{message}");

        let warned = warn.create(kind, template(json!({})));
        assert!(warned.is_admitted(), "{}: {}", kind.0, warned.message());
        let warnings = warned.warnings.join("\n");
        assert!(warnings.contains("DB_URL") && !warnings.contains(PASSWORD), "{warnings}");

        let free = free.create(kind, template(json!({})));
        assert!(free.is_admitted() && !free.warnings.join("").contains("DB_URL"), "{}", kind.0);

        for way_out in
            [json!({"enclii.io/plain-env": "DB_URL"}), json!({"enclii.io/secrets": "api-prod"})]
        {
            if kind.0 == "Pod" && way_out["enclii.io/secrets"].is_string() {
                continue;
            }
            let answer = deny.create(kind, template(way_out));
            assert!(answer.is_admitted(), "{}: {}", kind.0, answer.message());
        }
    }
}

#[test]
fn kubectl_shows_the_warning() {
    let (_cluster, _guard) = shared();
    let warn = LabelledNamespace::new("plain-shown", Some("warn"));
    let manifest = LabelledNamespace::object(KINDS[1], template(json!({}))).to_string();
    let file = tempfile::NamedTempFile::new().unwrap();
    std::io::Write::write_all(&mut &file, manifest.as_bytes()).unwrap();
    let words = ["-n", warn.namespace.name(), "create", "--dry-run=server", "-f"];
    let output =
        std::process::Command::new("kubectl").args(words).arg(file.path()).output().unwrap();
    let shown = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && shown.contains("DB_URL is"), "{shown}");
}

/// Scales the webhook, and waits until it has so many pods.
fn scale_webhook(replicas: &str) {
    let flag = format!("--replicas={replicas}");
    kubectl(&["-n", SYSTEM, "scale", "deployment/enclii-webhook", &flag]).unwrap();
    if replicas == "0" {
        wait::until("the webhook's pods to end", STEP_TIMEOUT, || {
            let pods = objects(SYSTEM, "pods", "app.kubernetes.io/name=enclii-webhook")?;
            Ok(pods.is_empty().then_some(()))
        })
        .unwrap();
    } else {
        rolled_out(SYSTEM, "deployment/enclii-webhook", STEP_TIMEOUT).unwrap();
    }
}

#[test]
fn what_is_there_is_scaled_and_a_webhook_that_is_down_holds_up_nobody_but_those_who_chose_deny() {
    let (_cluster, _guard) = exclusive();
    let place = LabelledNamespace::new("plain-down", None);
    let name = place.namespace.name().to_owned();
    let [_, deployment, ..] = KINDS;
    let mut object_ = LabelledNamespace::object(deployment, template(json!({})));
    object_["spec"]["replicas"] = json!(0);
    let path = place.path(deployment);
    assert!(place.api.create(&path, "", &object_).unwrap().is_admitted());
    let one = format!("{path}/api");
    let label = |mode: &str| {
        let label = format!("enclii.io/plaintext={mode}");
        kubectl(&["label", "namespace", &name, "--overwrite", &label]).unwrap();
    };
    label("deny");
    let change = |patch: Value| place.api.patch(&one, DRY, &patch).unwrap();
    let template_change =
        || change(json!({"spec": {"template": {"metadata": {"annotations": {"a": "b"}}}}}));
    wait::until("the label to be known", STEP_TIMEOUT, || {
        Ok((template_change().status == 403).then_some(()))
    })
    .unwrap();
    let scaled = || change(json!({"metadata": {"labels": {"a": "b"}}, "spec": {"replicas": 2}}));
    assert!(scaled().is_admitted(), "{}", scaled().message());

    keep_logs(SYSTEM);
    scale_webhook("0");
    let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        assert!(scaled().is_admitted(), "{}", scaled().message());
        let refused = template_change();
        assert!(!refused.is_admitted() && refused.message().contains("deny.plaintext.enclii.io"));
        label("warn");
        wait::until("the label to be known", STEP_TIMEOUT, || {
            Ok(template_change().is_admitted().then_some(()))
        })
        .unwrap();
        kubectl(&["label", "namespace", &name, "enclii.io/plaintext-"]).unwrap();
        let other = place.create(KINDS[2], template(json!({})));
        assert!(other.is_admitted(), "{}", other.message());
        assert!(object(&name, "deployment", "api").unwrap().is_some());
    }));
    scale_webhook("2");
    result.unwrap();
}
