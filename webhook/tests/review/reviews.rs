//! The reply to each kind of review.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use injection::InjectionConfig;
use serde_json::{Value, json};
use webhook::catalog::Catalog;
use webhook::review::{HttpReply, Outcome, ReviewContext, respond};

use crate::support::{NAMESPACE, catalog, config, one, patched};

fn review(pod: &Value) -> Value {
    json!({
        "apiVersion": "admission.k8s.io/v1",
        "kind": "AdmissionReview",
        "request": {
            "uid": "705ab4f5-6393-11e8-b7cc-42010a800002",
            "kind": { "group": "", "version": "v1", "kind": "Pod" },
            "resource": { "group": "", "version": "v1", "resource": "pods" },
            "namespace": NAMESPACE,
            "operation": "CREATE",
            "userInfo": { "username": "admin" },
            "object": pod,
            "oldObject": null,
            "dryRun": false,
            "options": { "kind": "CreateOptions" },
        },
    })
}

fn send(body: &[u8]) -> HttpReply {
    let (catalog, config) = (catalog(), config());
    respond(body, &ReviewContext { bundles: &catalog, config: &config, waiting_for: None })
}

fn answered(review: &Value) -> (Value, Outcome) {
    let answer = send(review.to_string().as_bytes());
    assert_eq!((answer.status.as_u16(), answer.content_type), (200, "application/json"));
    (serde_json::from_slice(&answer.body).unwrap(), answer.record.outcome)
}

#[test]
fn a_pod_is_patched() {
    let annotated = one(json!({ "env": [
        { "name": "DATABASE_URL", "value": "x" },
        { "name": "MY_TOKEN", "value": "some" },
    ] }));
    let (answer, outcome) = answered(&review(&annotated));
    let response = &answer["response"];
    assert_eq!(
        (&answer["apiVersion"], &answer["kind"]),
        (&json!("admission.k8s.io/v1"), &json!("AdmissionReview"))
    );
    assert_eq!(
        (&response["uid"], &response["allowed"]),
        (&json!("705ab4f5-6393-11e8-b7cc-42010a800002"), &json!(true))
    );
    assert_eq!(response["patchType"], "JSONPatch");
    assert_eq!(response["warnings"].as_array().unwrap().len(), 1);
    assert_eq!(response["status"], Value::Null);
    let patch: json_patch::Patch =
        serde_json::from_slice(&STANDARD.decode(response["patch"].as_str().unwrap()).unwrap())
            .unwrap();
    let mut result = annotated.clone();
    json_patch::patch(&mut result, &patch).unwrap();
    assert_eq!(result, patched(&annotated));
    assert_eq!(outcome, Outcome::Injected);
}

#[test]
fn a_pod_that_needs_no_change_gets_no_patch_and_no_patch_type() {
    let patched = patched(&one(json!({})));
    let mut plain = one(json!({}));
    plain["metadata"]["annotations"] = json!({});
    for (pod, expected) in [(patched, Outcome::Unchanged), (plain, Outcome::Untouched)] {
        let (answer, outcome) = answered(&review(&pod));
        assert_eq!(
            answer["response"],
            json!({ "uid": "705ab4f5-6393-11e8-b7cc-42010a800002", "allowed": true })
        );
        assert_eq!(outcome, expected);
    }
}

#[test]
fn a_refusal_has_a_message_and_no_patch() {
    let (answer, outcome) = answered(&review(&one(
        json!({ "volumeMounts": [{ "name": "x", "mountPath": "/run/secrets" }] }),
    )));
    let response = &answer["response"];
    assert_eq!(
        (&response["allowed"], &response["status"]["code"], &response["status"]["reason"]),
        (&json!(false), &json!(403), &json!("Forbidden"))
    );
    assert!(
        response["status"]["message"]
            .as_str()
            .unwrap()
            .starts_with("spec.containers[0].volumeMounts[0]")
    );
    assert_eq!((&response["patch"], &response["patchType"]), (&Value::Null, &Value::Null));
    assert_eq!(outcome, Outcome::Refused);
}

#[test]
fn only_the_creation_of_a_pod_is_reviewed() {
    let spoofed = one(json!({ "volumeMounts": [{ "name": "x", "mountPath": "/run/secrets" }] }));
    type EditRequest = fn(&mut Value);
    let edits: [EditRequest; 6] = [
        |request| request["operation"] = json!("UPDATE"),
        |request| request["operation"] = json!("DELETE"),
        |request| request["operation"] = json!("CONNECT"),
        |request| request["subResource"] = json!("ephemeralcontainers"),
        |request| request["resource"]["resource"] = json!("deployments"),
        |request| request["resource"]["group"] = json!("apps"),
    ];
    for edit in edits {
        let mut review = review(&spoofed);
        edit(&mut review["request"]);
        let (answer, outcome) = answered(&review);
        assert_eq!(
            (&answer["response"]["allowed"], outcome),
            (&json!(true), Outcome::Untouched),
            "{}",
            review["request"]
        );
    }
    let mut deletion = review(&json!(null));
    deletion["request"]["operation"] = json!("DELETE");
    assert_eq!(answered(&deletion).1, Outcome::Untouched);
}

#[test]
fn a_dry_run_gets_the_same_answer() {
    let annotated = one(json!({}));
    let mut dry = review(&annotated);
    dry["request"]["dryRun"] = json!(true);
    assert_eq!(answered(&dry).0, answered(&review(&annotated)).0);
    assert!(send(dry.to_string().as_bytes()).record.dry_run);
}

#[test]
fn the_record_holds_names_and_no_value() {
    let record = send(
        review(&one(json!({ "env": [{ "name": "DATABASE_URL", "value": "hunter2" }] })))
            .to_string()
            .as_bytes(),
    )
    .record;
    assert_eq!(
        (record.namespace.as_str(), record.pod.as_str(), record.service_account.as_str()),
        (NAMESPACE, "api-", "api")
    );
    assert_eq!((record.bundles.as_str(), record.outcome), ("api-prod", Outcome::Injected));
    assert!(!format!("{record:?}").contains("hunter2"));
}

#[test]
fn a_body_that_is_not_a_review_gets_an_http_error() {
    let version = |version: &str| {
        let mut review = review(&one(json!({})));
        review["apiVersion"] = json!(version);
        review.to_string()
    };
    for (body, message) in [
        (
            String::new(),
            "parse review: the body is not the JSON of an AdmissionReview, at line 1, column 0\n",
        ),
        (
            "hunter2".into(),
            "parse review: the body is not the JSON of an AdmissionReview, at line 1, column 1\n",
        ),
        (
            "[1]".into(),
            "parse review: the body is not the JSON of an AdmissionReview, at line 1, column 2\n",
        ),
        (
            "{}".into(),
            "parse review: the body is not an AdmissionReview of the group admission.k8s.io\n",
        ),
        (
            r#"{"apiVersion":"v1","kind":"Pod"}"#.into(),
            "parse review: the body is not an AdmissionReview of the group admission.k8s.io\n",
        ),
        (
            r#"{"apiVersion":"admission.k8s.io/v1","kind":"AdmissionReview"}"#.into(),
            "parse review: it has no request\n",
        ),
        (
            r#"{"apiVersion":"admission.k8s.io/v1","kind":"AdmissionReview","request":"hunter2"}"#
                .into(),
            "parse review: the body is not the JSON of an AdmissionReview, at line 1, column 80\n",
        ),
        (
            version("admission.k8s.io/v1beta1"),
            "parse review: apiVersion is admission.k8s.io/v1beta1, but only admission.k8s.io/v1 \
                is supported: register the webhook with admissionReviewVersions [v1]\n",
        ),
    ] {
        let answer = send(body.as_bytes());
        assert_eq!(answer.status.as_u16(), 400, "{body}");
        assert_eq!(answer.content_type, "text/plain; charset=utf-8");
        assert_eq!(String::from_utf8(answer.body).unwrap(), message, "{body}");
        assert_eq!(answer.record.outcome, Outcome::Malformed);
    }
    assert_eq!(
        String::from_utf8(send(b"\xff\xfe").body).unwrap(),
        "parse review: the body is not UTF-8\n"
    );
}

#[test]
fn an_invalid_pod_is_refused_without_quoting_it() {
    let mut broken = review(&json!({
        "metadata": { "annotations": { "enclii.io/secrets": "api-prod" } },
        "spec": { "containers": [{ "env": [{ "name": "A", "value": ["hunter2"] }] }] },
    }));
    let (answer, _) = answered(&broken);
    assert_eq!(answer["response"]["allowed"], json!(false));
    assert!(!answer.to_string().contains("hunter2"), "{answer}");
    broken["request"]["object"] = Value::Null;
    assert_eq!(answered(&broken).0["response"]["allowed"], json!(false));
}

#[test]
fn depth_does_not_overflow_the_stack() {
    let deep = format!("{}{}", "[".repeat(500_000), "]".repeat(500_000));
    for path in ["/object/metadata/x", "/userInfo/extra", "/object/spec/initContainers"] {
        let mut shallow = review(&one(json!({})));
        let mut at = &mut shallow["request"];
        for part in path.split('/').skip(1) {
            at = &mut at[part];
        }
        *at = json!("DEEP");
        let body = shallow.to_string().replace("\"DEEP\"", &deep);
        let answer = send(body.as_bytes());
        assert!([200, 400].contains(&answer.status.as_u16()), "{path}");
    }
}

#[test]
fn only_annotated_pods_are_refused_while_the_webhook_is_not_ready() {
    let empty = Catalog::default();
    let config = InjectionConfig { trust: String::new(), ..config() };
    let context =
        ReviewContext { bundles: &empty, config: &config, waiting_for: Some("the trust bundle") };
    let annotated = one(json!({}));
    let held = respond(review(&annotated).to_string().as_bytes(), &context);
    let body: Value = serde_json::from_slice(&held.body).unwrap();
    assert_eq!(
        (&body["response"]["allowed"], &body["response"]["status"]["code"]),
        (&json!(false), &json!(503))
    );
    assert_eq!(
        body["response"]["status"]["message"],
        "the webhook is not ready, so the pod cannot get its secrets yet; try again. It is \
            waiting for: the trust bundle"
    );
    assert_eq!(held.record.outcome, Outcome::NotReady);
    let mut plain = annotated.clone();
    plain["metadata"]["annotations"] = json!({});
    assert_eq!(
        respond(review(&plain).to_string().as_bytes(), &context).record.outcome,
        Outcome::Untouched
    );

    for namespace in ["enclii-system", "kube-system"] {
        let mut exempt = review(&annotated);
        exempt["request"]["namespace"] = json!(namespace);
        let reply = respond(exempt.to_string().as_bytes(), &context);
        assert_eq!(reply.record.outcome, Outcome::Untouched, "{namespace}");
    }
}
