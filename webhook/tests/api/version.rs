//! The API server's version decides what a pod may ask for.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use http::{Response, StatusCode};
use http_body_util::Full;
use injection::{Bundle, InjectionConfig};
use kube::{Client, Config};
use runtime::readiness::Readiness;
use runtime::tasks::Tasks;
use runtime::tls::{Limits, serve_plain};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use webhook::catalog::Catalog;
use webhook::state::WebhookState;
use webhook::version;

const TIMEOUT: Duration = Duration::from_secs(20);

/// Answers `/version` with this minor version, or with an error.
#[derive(Clone, Default)]
struct VersionServer(Arc<Mutex<Option<&'static str>>>);

impl VersionServer {
    fn set(&self, minor: &'static str) {
        *self.0.lock().unwrap() = Some(minor);
    }

    async fn start(&self, tasks: &Tasks) -> Client {
        runtime::provider::install().unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let server = self.clone();
        let handler = move |request: http::Request<_>| {
            assert_eq!(request.uri().path(), "/version");
            std::future::ready(server.answer())
        };
        let serving = serve_plain(listener, Limits::default(), handler, tasks.clone());
        tasks.spawn("server", serving);
        Client::try_from(Config::new(format!("http://{address}").parse().unwrap())).unwrap()
    }

    fn answer(&self) -> Response<Full<Bytes>> {
        let minor = *self.0.lock().unwrap();
        let text = minor.map_or(Value::Null, |minor| {
            json!({
                "major": "1", "minor": minor, "gitVersion": "v1", "gitCommit": "",
                "gitTreeState": "", "buildDate": "", "goVersion": "", "compiler": "",
                "platform": "",
            })
        });
        let mut reply = Response::new(Full::from(text.to_string()));
        if minor.is_none() {
            *reply.status_mut() = StatusCode::INTERNAL_SERVER_ERROR;
        }
        reply
    }
}

/// The answer to a pod whose secrets are delivered as variables.
fn answer(state: &WebhookState) -> String {
    let review = json!({
        "apiVersion": "admission.k8s.io/v1",
        "kind": "AdmissionReview",
        "request": {
            "uid": "1",
            "resource": { "group": "", "version": "v1", "resource": "pods" },
            "namespace": "shop-prod",
            "operation": "CREATE",
            "object": {
                "metadata": { "annotations": {
                    "enclii.io/secrets": "api-prod", "enclii.io/deliver": "env",
                } },
                "spec": { "containers": [{ "name": "api", "image": "shop/api:1" }] },
            },
        },
    });
    String::from_utf8(state.respond(review.to_string().as_bytes()).body.to_vec()).unwrap()
}

async fn wait_for(state: &WebhookState, part: &str) {
    let waiting = async {
        while !answer(state).contains(part) {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    assert!(tokio::time::timeout(TIMEOUT, waiting).await.is_ok(), "{}", answer(state));
}

#[tokio::test]
async fn the_version_is_asked_for_until_it_is_known_and_again_later() {
    let (tasks, readiness, server) = (Tasks::new(), Readiness::new(), VersionServer::default());
    let client = server.start(&tasks).await;
    let catalog = Catalog::default();
    catalog.set("shop-prod", "api-prod", Bundle::default());
    let config = InjectionConfig {
        kubernetes: None,
        ..InjectionConfig::new("agent:1".into(), "https://switchyard".into(), "PEM".into())
    };
    let (listed, gate) = (readiness.gate("bundles"), readiness.gate("version"));
    listed.ready();
    let state = WebhookState::new(catalog, config.clone(), listed, readiness.gate("trust"));
    let refresh = Duration::from_millis(50);
    let stop = tasks.stopping();
    let follow = version::follow(client, gate.clone(), Some(state.clone()), refresh, stop);
    tasks.spawn("version", follow);

    assert!(answer(&state).contains("has not learned yet"), "{}", answer(&state));
    assert!(!gate.is_ready());
    server.set("34");
    wait_for(&state, "and the cluster has 1.34").await;
    assert!(gate.is_ready());
    server.set("35+");
    wait_for(&state, r#""allowed":true"#).await;
    // The operator's settings come from elsewhere.
    state.set_config(&config);
    assert!(answer(&state).contains(r#""allowed":true"#), "{}", answer(&state));
    *server.0.lock().unwrap() = None;
    tokio::time::sleep(4 * refresh).await;
    assert!(answer(&state).contains(r#""allowed":true"#), "the last known version stays");
    tasks.drain(TIMEOUT).await.unwrap();
}
