//! Kubernetes API calls against a fake server that can misbehave.

#![expect(clippy::unwrap_used, reason = "a test may")]

use std::sync::{Arc, Mutex};

use axum::Router;
use axum::extract::Request;
use axum::response::{IntoResponse, Response};
use contract::secret_bundle::Status;
use contract::{Generation, Redacted};
use http::{Method, StatusCode};
use http_body_util::BodyExt as _;
use runtime::tasks::Tasks;
use runtime::tls::{Limits, serve_plain, tower_handler};
use serde_json::{Value, json};
use switchyard::cluster::{Cluster, PodEvent, PodEventReason};
use switchyard::identity::{PodAuthenticator, PodError};
use switchyard::secret_bundle_ref::SecretBundleRef;
use tokio::net::TcpListener;

/// Recorded requests: method, path with query, body.
type RecordedCalls = Arc<Mutex<Vec<(Method, String, Value)>>>;

struct FakeApiServer {
    cluster: Cluster,
    calls: RecordedCalls,
    _tasks: Tasks,
}

impl FakeApiServer {
    async fn start(
        answer: impl Fn(&Method, &str) -> (u16, String) + Clone + Send + Sync + 'static,
    ) -> Self {
        runtime::provider::install().unwrap();
        let calls = RecordedCalls::default();
        let seen = Arc::clone(&calls);
        let router = Router::new().fallback(move |request: Request| {
            let (answer, seen) = (answer.clone(), Arc::clone(&seen));
            async move {
                let (head, body) = request.into_parts();
                let body = body.collect().await.unwrap().to_bytes();
                let path = head.uri.path_and_query().unwrap().as_str().to_owned();
                let (status, text) = answer(&head.method, &path);
                seen.lock().unwrap().push((
                    head.method,
                    path,
                    serde_json::from_slice(&body).unwrap_or_default(),
                ));
                json_response(status, text)
            }
        });
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let tasks = Tasks::new();
        tasks.spawn(
            "fake",
            serve_plain(listener, Limits::default(), tower_handler(router), tasks.clone()),
        );
        let config = kube::Config::new(format!("http://{address}").parse().unwrap());
        let cluster = Cluster::new(kube::Client::try_from(config).unwrap(), "enclii-system");
        Self { cluster, calls, _tasks: tasks }
    }

    fn calls(&self) -> Vec<(Method, String, Value)> {
        std::mem::take(&mut self.calls.lock().unwrap())
    }
}

fn json_response(status: u16, text: String) -> Response {
    (StatusCode::from_u16(status).unwrap(), [("content-type", "application/json")], text)
        .into_response()
}

fn refusal(code: u16, message: &str) -> (u16, String) {
    (
        code,
        json!({"kind": "Status", "apiVersion": "v1", "status": "Failure", "message": message,
        "reason": if code == 404 { "NotFound" } else { "Other" }, "code": code})
        .to_string(),
    )
}

fn review(status: Value) -> String {
    json!({"apiVersion": "authentication.k8s.io/v1", "kind": "TokenReview", "metadata": {},
        "spec": {}, "status": status})
    .to_string()
}

async fn identify(
    answer: (u16, String),
) -> (Result<switchyard::audit::Pod, PodError>, Vec<(Method, String, Value)>) {
    let fake = FakeApiServer::start(move |_, _| answer.clone()).await;
    let result = PodAuthenticator::Cluster(fake.cluster.clone())
        .identify(&Redacted::from("the-token".to_owned()))
        .await;
    (result, fake.calls())
}

#[tokio::test]
async fn a_token_is_reviewed_for_our_audience() {
    let extra = json!({"authentication.kubernetes.io/pod-name": ["api-1"],
        "authentication.kubernetes.io/pod-uid": ["u"]});
    let user = json!({"username": "system:serviceaccount:shop-prod:api", "extra": extra});
    let status = json!({"authenticated": true, "audiences": ["enclii.io"], "user": user});
    let (pod, calls) = identify((201, review(status))).await;
    assert_eq!(pod.unwrap().name, "api-1");
    let [(method, path, body)] = <[_; 1]>::try_from(calls).unwrap();
    assert_eq!(
        (method, path.split('?').next().unwrap()),
        (Method::POST, "/apis/authentication.k8s.io/v1/tokenreviews")
    );
    assert_eq!(body["spec"], json!({"audiences": ["enclii.io"], "token": "the-token"}));
}

#[tokio::test]
async fn only_a_clear_review_admits_a_pod() {
    let unproven = [
        (201, review(json!({"authenticated": false, "error": "invalid bearer token"}))),
        (
            201,
            review(json!({"authenticated": true,
                    "user": {"username": "system:serviceaccount:shop-prod:api"}})),
        ),
        (201, review(json!({}))),
    ];
    for answer in unproven {
        let (result, _) = identify(answer.clone()).await;
        assert!(matches!(result, Err(PodError::Token(_))), "{answer:?}: {result:?}");
    }
    let unavailable = [
        refusal(500, "etcd is away"),
        refusal(403, "tokenreviews is forbidden"),
        refusal(429, "too many requests"),
        (
            201,
            json!({"apiVersion": "authentication.k8s.io/v1", "kind": "TokenReview",
                "metadata": {}, "spec": {"token": "the-token"}})
            .to_string(),
        ),
        (201, "{\"status\":".to_owned()),
        (201, "the-token".to_owned()),
        (503, "<html>".to_owned()),
    ];
    // Concurrently, because some are retried until our own timeout.
    let results = futures_util::future::join_all(
        unavailable.into_iter().map(|answer| async { (answer.clone(), identify(answer).await.0) }),
    )
    .await;
    for (answer, result) in results {
        let error = result.unwrap_err();
        assert!(matches!(error, PodError::Unavailable(_)), "{answer:?}: {error:?}");
        let said = runtime::logs::ErrorChain(&error).to_string();
        assert!(!said.contains("the-token"), "{answer:?}: {said}");
    }
}

#[tokio::test]
async fn an_empty_token_is_refused_without_a_review() {
    let fake = FakeApiServer::start(|_, _| refusal(500, "x")).await;
    for token in [Redacted::default(), Redacted::from(b"\xff".as_slice())] {
        assert!(matches!(
            PodAuthenticator::Cluster(fake.cluster.clone()).identify(&token).await,
            Err(PodError::Token(_))
        ));
    }
    assert!(fake.calls().is_empty());
}

fn key() -> SecretBundleRef {
    SecretBundleRef { namespace: "shop-prod".into(), bundle: "api-prod".into() }
}

fn bundle(labels: Value) -> (u16, String) {
    let metadata = json!({"name": "api-prod", "namespace": "shop-prod", "labels": labels});
    (
        200,
        json!({"apiVersion": "enclii.io/v1", "kind": "SecretBundle", "metadata": metadata})
            .to_string(),
    )
}

fn of(calls: Vec<(Method, String, Value)>) -> Vec<String> {
    calls
        .into_iter()
        .map(|(method, path, _)| format!("{method} {}", path.split('?').next().unwrap()))
        .collect()
}

const OBJECT: &str = "/apis/enclii.io/v1/namespaces/shop-prod/secretbundles/api-prod";

#[tokio::test]
async fn a_bundle_is_applied_with_its_status() {
    let scope = Some("shop.prod.api".parse().unwrap());
    let status = Status::new(["A".parse().unwrap()].into(), scope, Some(Generation(3)));
    let fake = FakeApiServer::start(|method, _| {
        if method == Method::GET { refusal(404, "not found") } else { bundle(json!({})) }
    })
    .await;
    fake.cluster.apply_secret_bundle(&key(), &status).await.unwrap();
    let calls = fake.calls();
    assert_eq!(calls[1].2["metadata"]["labels"]["app.kubernetes.io/managed-by"], "switchyard");
    assert!(calls[1].1.contains("fieldManager=switchyard"), "{}", calls[1].1);
    assert_eq!(
        calls[2].2["status"],
        json!({"keys": ["A"], "keyCount": 1, "scope": "shop.prod.api", "generation": 3})
    );
    assert_eq!(
        of(calls),
        [format!("GET {OBJECT}"), format!("PATCH {OBJECT}"), format!("PATCH {OBJECT}/status")]
    );
}

#[tokio::test]
async fn an_object_created_by_a_person_is_not_taken_over() {
    let fake =
        FakeApiServer::start(|_, _| bundle(json!({"app.kubernetes.io/managed-by": "helm"}))).await;
    fake.cluster.apply_secret_bundle(&key(), &Status::default()).await.unwrap();
    assert_eq!(of(fake.calls()), [format!("GET {OBJECT}"), format!("PATCH {OBJECT}/status")]);
    fake.cluster.delete_secret_bundle(&key()).await.unwrap();
    assert_eq!(of(fake.calls()), [format!("GET {OBJECT}")]);

    let fake =
        FakeApiServer::start(|_, _| bundle(json!({"app.kubernetes.io/managed-by": "switchyard"})))
            .await;
    fake.cluster.delete_secret_bundle(&key()).await.unwrap();
    assert_eq!(of(fake.calls()), [format!("GET {OBJECT}"), format!("DELETE {OBJECT}")]);
}

#[tokio::test]
async fn the_trust_bundle_is_written_only_if_it_differs() {
    let map = |said: &str| {
        (
            200,
            json!({"apiVersion": "v1", "kind": "ConfigMap",
            "metadata": {"name": "enclii-trust"}, "data": {"ca.crt": said}})
            .to_string(),
        )
    };
    let path = "/api/v1/namespaces/enclii-system/configmaps/enclii-trust";
    let fake = FakeApiServer::start(move |_, _| map("new")).await;
    fake.cluster.put_trust("new").await.unwrap();
    assert_eq!(of(fake.calls()), [format!("GET {path}")]);
    fake.cluster.put_trust("newer").await.unwrap();
    let calls = fake.calls();
    assert_eq!(calls[1].2["data"], json!({"ca.crt": "newer"}));
    assert_eq!(of(calls), [format!("GET {path}"), format!("PATCH {path}")]);
}

#[tokio::test]
async fn the_bootstrap_secret_is_accessed_by_name_only() {
    let secret = |data: Value| {
        (
            200,
            json!({"apiVersion": "v1", "kind": "Secret",
            "metadata": {"name": "enclii-bootstrap"}, "data": data})
            .to_string(),
        )
    };
    let fake = FakeApiServer::start(move |_, _| secret(Value::Null)).await;
    assert_eq!(fake.cluster.bootstrap_token().await.unwrap(), None);
    fake.cluster.put_bootstrap_token(&Redacted::from("t0ken".to_owned())).await.unwrap();
    let calls = fake.calls();
    assert_eq!(calls[1].2["data"], json!({"token": "dDBrZW4="}));
    let path = "/api/v1/namespaces/enclii-system/secrets/enclii-bootstrap";
    assert_eq!(of(calls), [format!("GET {path}"), format!("PATCH {path}")]);
    let fake = FakeApiServer::start(move |_, _| secret(json!({"token": "dDBrZW4="}))).await;
    assert_eq!(
        fake.cluster.bootstrap_token().await.unwrap(),
        Some(Redacted::from("t0ken".to_owned()))
    );
}

fn pod_event(generation: u64) -> PodEvent {
    let pod = switchyard::audit::Pod {
        namespace: "shop-prod".into(),
        service_account: "api".into(),
        name: "api-1".into(),
        uid: "u".into(),
    };
    PodEvent {
        pod,
        reason: PodEventReason::CheckFailed,
        subject: format!("api-prod generation {generation}"),
        note: "\u{e4}".repeat(2000),
    }
}

const EVENTS: &str = "/apis/events.k8s.io/v1/namespaces/shop-prod/events";

#[tokio::test]
async fn a_repeated_event_is_counted_on_the_first_one() {
    let fake = FakeApiServer::start(|_, _| {
        let metadata = json!({"name": "api-1.1", "namespace": "shop-prod"});
        let event = json!({"apiVersion": "events.k8s.io/v1", "kind": "Event",
            "metadata": metadata, "eventTime": "2026-11-30T08:00:00.000000Z"});
        (201, event.to_string())
    })
    .await;
    let recorder = fake.cluster.pod_events();
    recorder.publish(&pod_event(7)).await.unwrap();
    recorder.publish(&pod_event(7)).await.unwrap();
    recorder.publish(&pod_event(8)).await.unwrap();
    let calls = fake.calls();
    let event = &calls[0].2;
    assert_eq!(
        event["regarding"],
        json!({"apiVersion": "v1", "kind": "Pod", "namespace": "shop-prod", "name": "api-1",
            "uid": "u"})
    );
    assert_eq!(
        [&event["type"], &event["reason"], &event["reportingController"], &event["action"]],
        ["Warning", "SecretCheckFailed", "enclii.io/switchyard", "api-prod generation 7"]
    );
    assert_eq!(event["note"].as_str().unwrap().len(), 1024);
    assert_eq!(calls[1].2["series"]["count"], 2);
    let name = event["metadata"]["name"].as_str().unwrap();
    assert_eq!(
        of(calls.clone()),
        [format!("POST {EVENTS}"), format!("PATCH {EVENTS}/{name}"), format!("POST {EVENTS}")]
    );
}

#[tokio::test]
async fn a_missing_right_to_write_events_is_known() {
    for (code, is_forbidden) in [(403, true), (500, false)] {
        let fake = FakeApiServer::start(move |_, _| refusal(code, "no")).await;
        let error = fake.cluster.pod_events().publish(&pod_event(7)).await.unwrap_err();
        assert_eq!(error.is_forbidden(), is_forbidden, "{error:?}");
    }
}
