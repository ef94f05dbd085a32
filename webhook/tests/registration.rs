//! The registration against a fake API server with list, watch and patch of one object.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on says where")]

use std::convert::Infallible;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use certs::bundle::TrustBundle;
use certs::certificate::Certificate;
use certs::resolver::CertResolver;
use futures_util::{StreamExt, stream};
use http::{Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full, StreamBody, combinators::UnsyncBoxBody};
use hyper::body::{Frame, Incoming};
use k8s_openapi::ByteString;
use kube::{Client, Config};
use prometheus_client::registry::Registry;
use runtime::readiness::{Gate, Readiness};
use runtime::tasks::Tasks;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::watch;
use webhook::catalog::Catalog;
use webhook::metrics::Metrics;
use webhook::registration::Registration;

/// A fake API server with one MutatingWebhookConfiguration.
#[derive(Clone)]
struct FakeApiServer {
    object: watch::Sender<Value>,
    /// How many of the next patches fail.
    refusals: Arc<Mutex<usize>>,
    patches: Arc<Mutex<Vec<Value>>>,
}

type Reply = Response<UnsyncBoxBody<Bytes, Infallible>>;

fn json_reply(status: StatusCode, body: &Value) -> Reply {
    let body = Full::new(Bytes::from(body.to_string())).boxed_unsync();
    Response::builder()
        .status(status)
        .header("content-type", "application/json")
        .body(body)
        .unwrap()
}

impl FakeApiServer {
    fn new(entries: &[&str]) -> Self {
        let webhooks: Vec<_> = entries
            .iter()
            .map(|name| {
                json!({
                    "name": name,
                    "admissionReviewVersions": ["v1"],
                    "sideEffects": "None",
                    "clientConfig": {},
                })
            })
            .collect();
        let object = json!({
            "apiVersion": "admissionregistration.k8s.io/v1",
            "kind": "MutatingWebhookConfiguration",
            "metadata": { "name": "enclii-webhook", "resourceVersion": "1" },
            "webhooks": webhooks,
        });
        Self {
            object: watch::Sender::new(object),
            refusals: Arc::default(),
            patches: Arc::default(),
        }
    }

    async fn answer(self, request: Request<Incoming>) -> Reply {
        let query = request.uri().query().unwrap_or_default().to_owned();
        assert!(
            request
                .uri()
                .path()
                .starts_with("/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations")
        );
        if request.method() == Method::PATCH {
            assert!(request.uri().path().ends_with("/enclii-webhook"));
            return self.patch(request).await;
        }
        // RBAC by resourceNames allows only this selector.
        assert!(query.contains("fieldSelector=metadata.name%3Denclii-webhook"), "{query}");
        if query.contains("watch=true") { self.watch() } else { self.list() }
    }

    fn list(&self) -> Reply {
        let object = self.object.borrow().clone();
        let version = &object["metadata"]["resourceVersion"];
        let list = json!({ "metadata": { "resourceVersion": version }, "items": [object] });
        json_reply(StatusCode::OK, &list)
    }

    fn watch(&self) -> Reply {
        let events = stream::unfold(self.object.subscribe(), |mut changes| async {
            changes.changed().await.ok()?;
            let event = json!({ "type": "MODIFIED", "object": *changes.borrow_and_update() });
            Some((Ok(Frame::data(Bytes::from(format!("{event}\n")))), changes))
        });
        Response::new(StreamBody::new(events.boxed()).boxed_unsync())
    }

    async fn patch(&self, request: Request<Incoming>) -> Reply {
        assert_eq!(request.headers()["content-type"], "application/json-patch+json");
        let body = request.into_body().collect().await.unwrap().to_bytes();
        let patch: Value = serde_json::from_slice(&body).unwrap();
        self.patches.lock().unwrap().push(patch.clone());
        let refused = {
            let mut refusals = self.refusals.lock().unwrap();
            let refused = *refusals > 0;
            *refusals = refusals.saturating_sub(1);
            refused
        };
        if refused {
            let status = json!({
                "kind": "Status",
                "status": "Failure",
                "code": 500,
                "reason": "InternalError",
                "message": "no",
            });
            return json_reply(StatusCode::INTERNAL_SERVER_ERROR, &status);
        }
        self.change(|object| {
            json_patch::patch(object, &serde_json::from_value::<json_patch::Patch>(patch).unwrap())
                .unwrap()
        });
        json_reply(StatusCode::OK, &self.object.borrow())
    }

    /// Changes the object and notifies the watchers.
    fn change(&self, change: impl FnOnce(&mut Value)) {
        self.object.send_modify(|object| {
            change(object);
            let version: u64 =
                object["metadata"]["resourceVersion"].as_str().unwrap().parse().unwrap();
            object["metadata"]["resourceVersion"] = json!((version + 1).to_string());
        });
    }

    /// Waits until every entry has this CA.
    async fn until_registered(&self, bundle: &TrustBundle) {
        let wanted = json!(ByteString(bundle.as_pem().as_bytes().to_vec()));
        let mut changes = self.object.subscribe();
        let all = |object: &Value| {
            object["webhooks"]
                .as_array()
                .unwrap()
                .iter()
                .all(|entry| entry["clientConfig"]["caBundle"] == wanted)
        };
        changes.wait_for(all).await.unwrap();
    }
}

struct RunningRegistration {
    server: FakeApiServer,
    bundle: watch::Sender<TrustBundle>,
    gate: Gate,
    tasks: Tasks,
}

fn authority(name: &str) -> Certificate {
    let pem = rcgen::generate_simple_self_signed([name.to_owned()]).unwrap().cert.pem();
    Certificate::from_pem(pem.as_bytes()).unwrap().remove(0)
}

async fn start(server: FakeApiServer, bundle: TrustBundle) -> RunningRegistration {
    runtime::provider::install().unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (tasks, readiness) = (Tasks::new(), Readiness::new());
    let answering = server.clone();
    let handler = move |request| answering.clone().answer(request);
    tasks.spawn(
        "server",
        runtime::tls::serve_plain(
            listener,
            runtime::tls::Limits::default(),
            handler,
            tasks.clone(),
        ),
    );

    let client =
        Client::try_from(Config::new(format!("http://{address}").parse().unwrap())).unwrap();
    let metrics =
        Metrics::register(&mut Registry::default(), Catalog::default(), CertResolver::new());
    let (gate, bundle) = (readiness.gate("registration"), watch::Sender::new(bundle));
    let registration = Registration::new(
        client,
        "enclii-webhook".into(),
        bundle.subscribe(),
        gate.clone(),
        metrics,
    );
    tasks.spawn("registration", registration.run(tasks.stopping()));
    RunningRegistration { server, bundle, gate, tasks }
}

impl RunningRegistration {
    async fn until_ready(&self) {
        while !self.gate.is_ready() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    async fn stop(self) {
        // The fake server's watch never ends by itself.
        let _ = self.tasks.drain(Duration::from_millis(200)).await;
    }
}

#[tokio::test]
async fn every_entry_gets_the_ca_and_gets_it_back_when_overwritten() {
    let ours = TrustBundle::new([&authority("one")]);
    let running =
        start(FakeApiServer::new(&["pods.enclii.io", "more.enclii.io"]), ours.clone()).await;
    running.server.until_registered(&ours).await;
    running.until_ready().await;
    for stolen in [
        json!(null),
        json!("bm9uc2Vuc2U="),
        json!(ByteString(authority("evil").pem().into_bytes())),
    ] {
        running.server.change(|object| object["webhooks"][1]["clientConfig"]["caBundle"] = stolen);
        running.server.until_registered(&ours).await;
    }
    running.stop().await;
}

#[tokio::test]
async fn a_ca_rotation_is_registered() {
    let (old, new) = (authority("old"), authority("new"));
    let running = start(FakeApiServer::new(&["pods.enclii.io"]), TrustBundle::default()).await;
    for bundle in [TrustBundle::new([&old]), TrustBundle::new([&old, &new])] {
        running.bundle.send_replace(bundle.clone());
        running.server.until_registered(&bundle).await;
    }
    // The old CA is removed: an entry that still has it is tolerated until the replicas know.
    let patches = running.server.patches.lock().unwrap().len();
    running.bundle.send_replace(TrustBundle::new([&new]));
    running.until_ready().await;
    assert_eq!(running.server.patches.lock().unwrap().len(), patches);
    running.stop().await;
}

#[tokio::test]
async fn a_failed_patch_is_retried_and_changes_nothing_else() {
    let ours = TrustBundle::new([&authority("one")]);
    let server = FakeApiServer::new(&["pods.enclii.io"]);
    *server.refusals.lock().unwrap() = 2;
    let running = start(server, ours.clone()).await;
    running.server.until_registered(&ours).await;
    running.until_ready().await;
    let patches = running.server.patches.lock().unwrap().clone();
    assert!(patches.len() >= 3, "{patches:?}");
    for patch in patches {
        let paths: Vec<_> = patch
            .as_array()
            .unwrap()
            .iter()
            .map(|operation| operation["path"].as_str().unwrap())
            .collect();
        assert_eq!(paths, ["/webhooks/0/name", "/webhooks/0/clientConfig/caBundle"]);
    }
    running.stop().await;
}
