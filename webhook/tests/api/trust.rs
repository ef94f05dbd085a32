//! Switchyard's CA from the ConfigMap `enclii-trust`.

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use contract::agent_config::{AgentConfig, Source};
use contract::layout;
use injection::{Bundle, InjectionConfig};
use runtime::readiness::{Gate, Readiness};
use runtime::tasks::Tasks;
use serde_json::{Value, json};
use webhook::catalog::Catalog;
use webhook::review::Outcome;
use webhook::state::WebhookState;
use webhook::trust::config_map;

use crate::fake_server::{FakeApiServer, WatchEnd, ca};

const NAMESPACE: &str = "enclii-system";
const NAME: &str = "enclii-trust";
const TIMEOUT: Duration = Duration::from_secs(20);

struct RunningWatch {
    server: FakeApiServer,
    state: WebhookState,
    gate: Gate,
    tasks: Tasks,
}

async fn start(server: FakeApiServer) -> RunningWatch {
    let (tasks, readiness) = (Tasks::new(), Readiness::new());
    let client = server.start(&tasks).await;
    let catalog = Catalog::default();
    catalog.set("shop-prod", "api-prod", Bundle::default());
    let address = "https://switchyard.enclii-system.svc";
    let config = InjectionConfig::new("agent:1".into(), address.into(), String::new());
    let (listed, gate) = (readiness.gate("bundles"), readiness.gate("trust"));
    listed.ready();
    let state = WebhookState::new(catalog, config, listed, gate.clone());
    let stop = tasks.stopping();
    let watch = config_map::run(client, NAMESPACE.into(), NAME.into(), state.clone(), stop);
    tasks.spawn("trust", watch);
    RunningWatch { server, state, gate, tasks }
}

fn server() -> FakeApiServer {
    FakeApiServer::new("/api/v1/namespaces/enclii-system/configmaps", NAME)
}

fn config_map(data: &Value) -> Value {
    json!({
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": { "name": NAME, "namespace": NAMESPACE },
        "data": data,
    })
}

impl RunningWatch {
    /// The CA in the agent configuration that a pod gets, `None` while the webhook is not ready.
    fn injected_ca(&self) -> Option<String> {
        let review = json!({
            "apiVersion": "admission.k8s.io/v1",
            "kind": "AdmissionReview",
            "request": {
                "uid": "1",
                "resource": { "group": "", "version": "v1", "resource": "pods" },
                "namespace": "shop-prod",
                "operation": "CREATE",
                "object": {
                    "metadata": { "annotations": { "enclii.io/secrets": "api-prod" } },
                    "spec": { "containers": [{ "name": "api", "image": "shop/api:1" }] },
                },
            },
        });
        let reply = self.state.respond(review.to_string().as_bytes());
        if reply.record.outcome == Outcome::NotReady {
            return None;
        }
        let body: Value = serde_json::from_slice(&reply.body).unwrap();
        let patch = STANDARD.decode(body["response"]["patch"].as_str().unwrap()).unwrap();
        let mut pod = review["request"]["object"].clone();
        let patch: json_patch::Patch = serde_json::from_slice(&patch).unwrap();
        json_patch::patch(&mut pod, &patch).unwrap();
        let variables = pod["spec"]["initContainers"][0]["env"].as_array().unwrap();
        let found = variables.iter().find(|it| it["name"] == layout::CONFIG_VARIABLE).unwrap();
        let config: AgentConfig = serde_json::from_str(found["value"].as_str().unwrap()).unwrap();
        let Source::Switchyard { ca, .. } = config.source else { panic!("another source") };
        Some(ca)
    }

    async fn until_injected(&self, ca: &str) {
        self.until(ca, || self.injected_ca().as_deref() == Some(ca)).await;
    }

    async fn until(&self, what: &str, condition: impl Fn() -> bool) {
        let holds = async {
            while !condition() {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        let in_time = tokio::time::timeout(TIMEOUT, holds).await;
        assert!(in_time.is_ok(), "{what} not in {TIMEOUT:?}: {:?}", self.server.requests());
    }

    /// Waits until the server has answered this many watches.
    async fn until_watched(&self, count: usize) {
        self.until("watch", || self.server.requests().watches >= count).await;
    }

    async fn stop(self) {
        // The fake server's watch never ends by itself.
        let _ = self.tasks.drain(Duration::from_millis(200)).await;
    }
}

#[tokio::test]
async fn the_gate_opens_with_the_first_ca_and_a_new_ca_is_used_at_once() {
    for initial in [None, Some(json!(null)), Some(json!({ "ca.crt": "" }))] {
        let server = server();
        if let Some(data) = &initial {
            server.put(config_map(data));
        }
        let running = start(server).await;
        running.until_watched(1).await;
        assert!(!running.gate.is_ready(), "{initial:?}");
        assert_eq!(running.injected_ca(), None, "{initial:?}");

        let (first, second) = (ca("first").pem(), ca("second").pem());
        let both = format!("{first}{second}");
        let requests = running.server.requests();
        // A rotation: the new CA is added, then the old one is removed.
        for pem in [&first, &both, &second] {
            running.server.put(config_map(&json!({ "ca.crt": pem })));
            running.until_injected(pem).await;
            assert!(running.gate.is_ready());
        }
        // All of it came as events of the one open watch.
        assert_eq!(running.server.requests(), requests);
        running.stop().await;
    }
}

#[tokio::test]
async fn invalid_content_does_not_replace_the_last_good_ca() {
    let (server, good) = (server(), ca("good").pem());
    server.put(config_map(&json!({ "ca.crt": good })));
    let running = start(server).await;
    running.until_injected(&good).await;
    running.until_watched(1).await;
    for invalid in [
        json!(null),
        json!({ "other": "key" }),
        json!({ "ca.crt": "" }),
        json!({ "ca.crt": "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n" }),
    ] {
        running.server.put(config_map(&invalid));
        tokio::time::sleep(Duration::from_millis(100)).await;
        assert_eq!(running.injected_ca().as_ref(), Some(&good), "{invalid}");
        assert!(running.gate.is_ready(), "{invalid}");
    }
    let next = ca("next").pem();
    running.server.put(config_map(&json!({ "ca.crt": next })));
    running.until_injected(&next).await;
    running.stop().await;
}

#[tokio::test]
async fn an_ended_watch_is_resumed() {
    let (server, first) = (server(), ca("first").pem());
    server.put(config_map(&json!({ "ca.crt": first })));
    let running = start(server).await;
    running.until_watched(1).await;
    for end in [WatchEnd::Complete, WatchEnd::Torn, WatchEnd::Gone] {
        let before = running.server.requests();
        running.server.end_watches(end);
        // Written while no watch is open.
        let next = ca("next").pem();
        running.server.put(config_map(&json!({ "ca.crt": next })));
        running.until_injected(&next).await;
        running.until_watched(before.watches + 1).await;
        let listed_again = running.server.requests().lists - before.lists;
        assert_eq!(listed_again, usize::from(matches!(end, WatchEnd::Gone)), "{end:?}");
    }
    running.stop().await;
}
