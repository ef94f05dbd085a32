//! The replies to reviews of namespaces with a policy for plaintext.

use injection::PlaintextMode;
use serde_json::{Value, json};
use webhook::review::{PlaintextOutcome, respond_plaintext};

use crate::support::config;
use PlaintextOutcome::{Clean, Malformed, Refused, Unchanged, Untouched, Warned};

const SECRET: &str = "correct-horse-battery";

fn template(variable: &str, value: &str) -> Value {
    let env = json!([{"name": variable, "value": value}]);
    json!({"spec": {"containers": [{"name": "app", "image": "x", "env": env}]}})
}

fn with_url() -> Value {
    template("DB_URL", &format!("postgres://shop:{SECRET}@db/shop"))
}

fn review(resource: (&str, &str), operation: &str, object: &Value, old: &Value) -> Value {
    json!({
        "apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview",
        "request": {
            "uid": "u", "namespace": "shop", "operation": operation,
            "resource": {"group": resource.0, "version": "v1", "resource": resource.1},
            "object": object, "oldObject": old,
        },
    })
}

fn answered(review: &Value, mode: PlaintextMode) -> (Value, PlaintextOutcome) {
    let (reply, record) = respond_plaintext(review.to_string().as_bytes(), mode, &config());
    let text = String::from_utf8(reply.body).unwrap();
    assert!(!text.contains(SECRET) && !format!("{record:?}").contains(SECRET), "{text}");
    let answer = serde_json::from_str(&text).unwrap_or(Value::Null);
    (answer["response"].clone(), record.outcome)
}

/// The group and resource of a kind, and the object around a pod.
type Kind = ((&'static str, &'static str), fn(Value) -> Value);

/// Every kind of object with a pod in it.
fn kinds() -> Vec<Kind> {
    let in_template: fn(Value) -> Value =
        |pod| json!({"metadata": {"name": "api"}, "spec": {"replicas": 1, "template": pod}});
    vec![
        (("", "pods"), |pod| pod),
        (("apps", "deployments"), in_template),
        (("apps", "statefulsets"), in_template),
        (("apps", "daemonsets"), in_template),
        (("apps", "replicasets"), in_template),
        (("batch", "jobs"), in_template),
        (("argoproj.io", "rollouts"), in_template),
        (
            ("batch", "cronjobs"),
            |pod| json!({"spec": {"jobTemplate": {"spec": {"template": pod}}}}),
        ),
    ]
}

#[test]
fn every_kind_is_warned_about_or_refused_with_the_name_of_the_variable() {
    for (resource, wrap) in kinds() {
        let create = |pod| review(resource, "CREATE", &wrap(pod), &Value::Null);
        let (response, outcome) = answered(&create(with_url()), PlaintextMode::Deny);
        assert_eq!((&response["allowed"], outcome), (&json!(false), Refused), "{resource:?}");
        assert_eq!(response["status"]["code"], 403);
        let message = response["status"]["message"].as_str().unwrap();
        assert!(message.contains("spec.containers[0].env[0]") && message.contains("DB_URL"));

        let (response, outcome) = answered(&create(with_url()), PlaintextMode::Warn);
        assert_eq!((&response["allowed"], outcome), (&json!(true), Warned), "{resource:?}");
        assert!(response["warnings"][0].as_str().unwrap().contains("DB_URL"), "{response}");

        let clean = create(template("LOG_LEVEL", "info"));
        assert_eq!(answered(&clean, PlaintextMode::Deny).1, Clean, "{resource:?}");
    }
}

#[test]
fn an_update_that_leaves_the_template_passes_and_one_that_changes_it_is_looked_at() {
    for (resource, wrap) in kinds().into_iter().filter(|(resource, _)| resource.1 != "pods") {
        let old = wrap(with_url());
        let mut scaled = old.clone();
        scaled["spec"]["replicas"] = json!(9);
        scaled["metadata"] = json!({"name": "api", "annotations": {"a": "b"}});
        let update = |new: &Value| review(resource, "UPDATE", new, &old);
        let (response, outcome) = answered(&update(&scaled), PlaintextMode::Deny);
        assert_eq!((&response["allowed"], outcome), (&json!(true), Unchanged), "{resource:?}");
        let mut pod = with_url();
        pod["spec"]["containers"][0]["image"] = json!("y");
        assert_eq!(answered(&update(&wrap(pod)), PlaintextMode::Deny).1, Refused, "{resource:?}");
    }
}

#[test]
fn what_has_no_pod_is_exempt_or_asks_for_secrets_is_untouched() {
    let mut asks = with_url();
    asks["metadata"] = json!({"annotations": {"enclii.io/secrets": "api-prod"}});
    let mut mirror = with_url();
    mirror["metadata"] = json!({"annotations": {"kubernetes.io/config.mirror": "x"}});
    let null = Value::Null;
    let pods = ("", "pods");
    let mut status = review(("apps", "deployments"), "UPDATE", &json!({"spec": {}}), &null);
    status["request"]["subResource"] = json!("status");
    let mut cases = vec![
        review(pods, "CREATE", &asks, &null),
        review(pods, "CREATE", &mirror, &null),
        review(("", "services"), "CREATE", &with_url(), &null),
        review(("argoproj.io", "rollouts"), "CREATE", &json!({"spec": {"workloadRef": {}}}), &null),
        review(pods, "DELETE", &null, &with_url()),
        status,
    ];
    for namespace in ["kube-system", "enclii-system"] {
        let mut exempt = review(pods, "CREATE", &with_url(), &null);
        exempt["request"]["namespace"] = json!(namespace);
        cases.push(exempt);
    }
    for case in cases {
        let (response, outcome) = answered(&case, PlaintextMode::Deny);
        assert_eq!((&response["allowed"], outcome), (&json!(true), Untouched), "{case}");
    }
}

#[test]
fn what_cannot_be_read_is_refused_where_the_namespace_denies_and_a_warning_where_it_warns() {
    let odd = review(("apps", "deployments"), "CREATE", &json!({"spec": 1}), &Value::Null);
    let pod = json!({"spec": {"containers": [{"name": "a", "env": SECRET}]}});
    for case in [odd, review(("", "pods"), "CREATE", &pod, &Value::Null)] {
        assert_eq!(answered(&case, PlaintextMode::Deny).1, Refused, "{case}");
        let (response, outcome) = answered(&case, PlaintextMode::Warn);
        assert_eq!((&response["allowed"], outcome), (&json!(true), Warned), "{case}");
    }
    assert_eq!(answered(&json!({}), PlaintextMode::Deny), (Value::Null, Malformed));
}
