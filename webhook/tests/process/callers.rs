//! Who gets an answer, and what anybody learns.

use std::fs;

use bytes::Bytes;
use http::{Request, StatusCode};
use http_body_util::Full;
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
use serde_json::{Value, json};

use crate::harness::{Process, message, review};

/// A CA for clients.
struct ClientCa {
    pem: String,
    issuer: Issuer<'static, KeyPair>,
}

impl ClientCa {
    fn new() -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, "clients");
        let key = KeyPair::generate().unwrap();
        let pem = params.self_signed(&key).unwrap().pem();
        Self { pem, issuer: Issuer::new(params, key) }
    }

    /// A client certificate and its key.
    fn client(&self, name: &str) -> (String, String) {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, name);
        let key = KeyPair::generate().unwrap();
        (params.signed_by(&key, &self.issuer).unwrap().pem(), key.serialize_pem())
    }
}

/// A review of a pod that takes every key of its bundle.
fn review_of_sources() -> String {
    let mut review: Value = serde_json::from_str(&review("x")).unwrap();
    review["request"]["object"]["spec"]["containers"][0] =
        json!({ "name": "api", "envFrom": [{ "secretRef": { "name": "api-prod" } }] });
    review.to_string()
}

fn allowed(body: &str) -> bool {
    serde_json::from_str::<Value>(body).unwrap()["response"]["allowed"] == json!(true)
}

#[tokio::test]
async fn anybody_learns_no_key_that_the_pod_does_not_name() {
    let process = Process::start().await;
    process.make_ready().await;
    let (status, answer) = process.mutate(review_of_sources()).await;
    assert_eq!((status, allowed(&answer)), (StatusCode::OK, false));
    assert!(message(&answer).contains("lists a bundle's keys to the API server alone"), "{answer}");
    assert!(!answer.contains("DATABASE_URL"), "{answer}");
    // A pod that names its variables is injected as ever.
    assert!(allowed(&process.mutate(review("x")).await.1));
    process.stop().await;

    let process = Process::start_with(&["--trust-every-caller"]).await;
    process.make_ready().await;
    assert!(allowed(&process.mutate(review_of_sources()).await.1));
    process.stop().await;
}

/// As an API server will that sends tokens of its own accord (KEP-6060).
#[tokio::test]
async fn a_token_that_nobody_asked_for_changes_nothing() {
    let process = Process::start().await;
    process.make_ready().await;
    for (body, expected) in [(review("x"), true), (review_of_sources(), false)] {
        for authorization in ["Bearer eyJhbGciOiJSUzI1NiJ9.e30.x", "Basic eA==", ""] {
            let request = Request::post("/mutate").header("authorization", authorization);
            let request = request.body(Full::new(Bytes::from(body.clone()))).unwrap();
            let (status, answer) = process.https(request).await;
            assert_eq!((status, allowed(&answer)), (StatusCode::OK, expected), "{authorization}");
        }
    }
    process.stop().await;
}

#[tokio::test]
async fn with_a_client_ca_only_its_clients_are_answered() {
    let (ours, others) = (ClientCa::new(), ClientCa::new());
    let directory = tempfile::tempdir().unwrap();
    fs::write(directory.path().join("clients.crt"), &ours.pem).unwrap();
    let flags = ["--client-ca-file", "{}/clients.crt", "--client-name", "kube-apiserver"];
    let process = Process::start_in(directory, &flags);
    process.make_ready().await;

    let (certificate, key) = ours.client("kube-apiserver");
    let (status, answer) =
        process.mutate_as((&certificate, &key), &review_of_sources()).await.unwrap();
    assert_eq!((status, allowed(&answer)), (StatusCode::OK, true));

    let (certificate, key) = ours.client("kubelet");
    let refused = process.mutate_as((&certificate, &key), &review_of_sources()).await.unwrap();
    let text = "identify caller: the client certificate is not the API server's\n";
    assert_eq!(refused, (StatusCode::FORBIDDEN, text.into()));

    let (certificate, key) = others.client("kube-apiserver");
    let refused = process.mutate_as((&certificate, &key), &review_of_sources()).await;
    assert!(refused.is_none(), "a certificate of another CA: {refused:?}");

    let text = "identify caller: a review needs the API server's client certificate\n";
    // Before the body is looked at.
    for body in [review("x"), "nonsense".into()] {
        assert_eq!(process.mutate(body).await, (StatusCode::FORBIDDEN, text.into()));
    }
    // The probes need no certificate.
    let probe = Request::get("/readyz").body(Full::default()).unwrap();
    assert_eq!(process.https(probe).await.0, StatusCode::OK);
    let (_, metrics) = process.admin("/metrics").await;
    let line = "enclii_webhook_rejected_requests_total{reason=\"unknown_caller\"} 3";
    assert!(metrics.lines().any(|found| found == line), "{metrics}");
    process.stop().await;
}

#[tokio::test]
async fn with_a_token_only_its_holders_are_answered() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("token");
    fs::write(&file, "first-token\n").unwrap();
    let process = Process::start_in(directory, &["--client-token-file", "{}/token"]);
    process.make_ready().await;
    let ask = async |authorization: Option<&str>| {
        let mut request = Request::post("/mutate");
        if let Some(authorization) = authorization {
            request = request.header("authorization", authorization);
        }
        let body = Full::new(Bytes::from(review_of_sources()));
        process.https(request.body(body).unwrap()).await
    };
    for wrong in [None, Some("Bearer second-token"), Some("Bearer "), Some("first-token")] {
        let text = "identify caller: a review needs the API server's bearer token\n";
        assert_eq!(ask(wrong).await, (StatusCode::FORBIDDEN, text.into()), "{wrong:?}");
    }
    let (status, answer) = ask(Some("Bearer first-token")).await;
    assert_eq!((status, allowed(&answer)), (StatusCode::OK, true));

    // The file is replaced, as kubelet does when the Secret changes.
    fs::write(&file, "second-token").unwrap();
    crate::until(|| async { ask(Some("Bearer second-token")).await.0 == StatusCode::OK }).await;
    assert_eq!(ask(Some("Bearer first-token")).await.0, StatusCode::FORBIDDEN);
    process.stop().await;
}
