//! The registration of the webhook's CA.

use std::time::Duration;

use certs::bundle::TrustBundle;
use certs::certificate::Certificate;
use certs::resolver::CertResolver;
use k8s_openapi::ByteString;
use k8s_openapi::api::admissionregistration::v1::{
    MutatingWebhookConfiguration, ValidatingWebhookConfiguration,
};
use prometheus_client::registry::Registry;
use runtime::readiness::{Gate, Readiness};
use runtime::tasks::Tasks;
use serde_json::{Value, json};
use tokio::sync::watch;
use webhook::keeper_metrics::KeeperMetrics;
use webhook::registration::{CaBundleReconciler, Presence, follow_all};

use crate::fake_server::{FakeApiServer, ca};

const COLLECTION: &str = "/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations";

/// Longer than a test takes.
const LONG: Duration = Duration::from_secs(3600);

struct RunningRegistration {
    server: FakeApiServer,
    bundle: watch::Sender<TrustBundle>,
    registered: watch::Receiver<TrustBundle>,
    gate: Gate,
    tasks: Tasks,
}

fn server(entries: &[&str]) -> FakeApiServer {
    let entry = |name: &&str| {
        json!({
            "name": name,
            "admissionReviewVersions": ["v1"],
            "sideEffects": "None",
            "clientConfig": {},
        })
    };
    let server = FakeApiServer::new(COLLECTION, "enclii-webhook");
    server.put(json!({
        "apiVersion": "admissionregistration.k8s.io/v1",
        "kind": "MutatingWebhookConfiguration",
        "metadata": { "name": "enclii-webhook" },
        "webhooks": entries.iter().map(entry).collect::<Vec<_>>(),
    }));
    server
}

async fn start(server: FakeApiServer, bundle: TrustBundle) -> RunningRegistration {
    start_with(server, bundle, LONG).await
}

async fn start_with(
    server: FakeApiServer,
    bundle: TrustBundle,
    grace_period: Duration,
) -> RunningRegistration {
    let (tasks, readiness) = (Tasks::new(), Readiness::new());
    let client = server.start(&tasks).await;
    let metrics = KeeperMetrics::register(&mut Registry::default(), CertResolver::new());
    let (gate, bundle) = (readiness.gate("registration"), watch::Sender::new(bundle));
    let registration: CaBundleReconciler<MutatingWebhookConfiguration> = CaBundleReconciler::new(
        client,
        ("enclii-webhook".into(), Presence::Required),
        bundle.subscribe(),
        gate.clone(),
        metrics,
        grace_period,
    );
    let registered = registration.registered();
    tasks.spawn("registration", registration.run(tasks.stopping()));
    RunningRegistration { server, bundle, registered, gate, tasks }
}

impl RunningRegistration {
    /// Waits until every entry has this CA.
    async fn until_registered(&self, bundle: &TrustBundle) {
        let wanted = json!(ByteString(bundle.as_pem().as_bytes().to_vec()));
        let all = |object: &Value| {
            let mut entries = object["webhooks"].as_array().unwrap().iter();
            entries.all(|entry| entry["clientConfig"]["caBundle"] == wanted)
        };
        self.server.wait_for(all).await;
    }

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

/// The value of a `caBundle` with these CAs.
fn ca_bundle(cas: &[&Certificate]) -> Value {
    let bundle = TrustBundle::new(cas.iter().copied());
    json!(ByteString(bundle.as_pem().as_bytes().to_vec()))
}

#[tokio::test]
async fn every_entry_gets_the_ca_and_gets_it_back_when_overwritten() {
    let ours = TrustBundle::new([&ca("one")]);
    let running = start(server(&["pods.enclii.io", "more.enclii.io"]), ours.clone()).await;
    running.until_registered(&ours).await;
    running.until_ready().await;
    assert_eq!(*running.registered.borrow(), ours);
    for stolen in [json!(null), json!("bm9uc2Vuc2U=")] {
        running.server.change(|object| object["webhooks"][1]["clientConfig"]["caBundle"] = stolen);
        running.until_registered(&ours).await;
    }
    running.stop().await;
}

#[tokio::test]
async fn a_foreign_ca_stays_beside_ours_for_the_grace_period() {
    let (ours, old) = (ca("ours"), ca("old"));
    let bundle = TrustBundle::new([&ours]);
    let entries = |object: &Value| {
        let all = object["webhooks"].as_array().unwrap().iter();
        all.map(|entry| entry["clientConfig"]["caBundle"].clone()).collect::<Vec<_>>()
    };
    // One entry has both, and one lacks ours: neither may lose the other before its time.
    let server = server(&["pods.enclii.io", "more.enclii.io"]);
    server.change(|object| {
        object["webhooks"][0]["clientConfig"]["caBundle"] = ca_bundle(&[&ours, &old]);
        object["webhooks"][1]["clientConfig"]["caBundle"] = ca_bundle(&[&old]);
    });
    let running = start(server.clone(), bundle.clone()).await;
    let both = ca_bundle(&[&ours, &old]);
    running.server.wait_for(|object| entries(object)[1] != ca_bundle(&[&old])).await;
    assert_eq!(entries(&running.server.object()), [both.clone(), both]);
    running.until_ready().await;
    running.stop().await;

    let running = start_with(server, bundle.clone(), Duration::from_millis(200)).await;
    running.until_registered(&bundle).await;
    running.stop().await;
}

#[tokio::test]
async fn a_ca_rotation_is_registered() {
    let (old, new) = (ca("old"), ca("new"));
    let running = start(server(&["pods.enclii.io"]), TrustBundle::default()).await;
    for bundle in [TrustBundle::new([&old]), TrustBundle::new([&old, &new])] {
        running.bundle.send_replace(bundle.clone());
        running.until_registered(&bundle).await;
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
    let ours = TrustBundle::new([&ca("one")]);
    let server = server(&["pods.enclii.io"]);
    *server.patches_to_fail.lock().unwrap() = 2;
    let running = start(server, ours.clone()).await;
    running.until_registered(&ours).await;
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

const VALIDATING: &str = "/apis/admissionregistration.k8s.io/v1/validatingwebhookconfigurations";

#[tokio::test]
async fn a_registration_that_may_lack_holds_up_nothing_and_gets_the_ca_once_it_is_there() {
    let ours = TrustBundle::new([&ca("one")]);
    let server = FakeApiServer::new(VALIDATING, "enclii-plaintext");
    let (tasks, readiness) = (Tasks::new(), Readiness::new());
    let metrics = KeeperMetrics::register(&mut Registry::default(), CertResolver::new());
    let (gate, bundle) = (readiness.gate("registration"), watch::Sender::new(ours.clone()));
    let reconciler: CaBundleReconciler<ValidatingWebhookConfiguration> = CaBundleReconciler::new(
        server.start(&tasks).await,
        ("enclii-plaintext".into(), Presence::Optional),
        bundle.subscribe(),
        gate.clone(),
        metrics,
        LONG,
    );
    let registered = reconciler.registered();
    tasks.spawn("registration", reconciler.run(tasks.stopping()));
    registered.clone().wait_for(|known| *known == ours).await.unwrap();
    assert!(gate.is_ready());

    let entry = |name: &str| {
        json!({
            "name": name, "admissionReviewVersions": ["v1"], "sideEffects": "None",
            "clientConfig": {},
        })
    };
    server.put(json!({
        "apiVersion": "admissionregistration.k8s.io/v1", "kind": "ValidatingWebhookConfiguration",
        "metadata": { "name": "enclii-plaintext" },
        "webhooks": [entry("warn.plaintext.enclii.io"), entry("deny.plaintext.enclii.io")],
    }));
    let wanted = json!(ByteString(ours.as_pem().as_bytes().to_vec()));
    server
        .wait_for(|object| {
            let entries = object["webhooks"].as_array().unwrap();
            entries.iter().all(|entry| entry["clientConfig"]["caBundle"] == wanted)
        })
        .await;
    let _ = tasks.drain(Duration::from_millis(200)).await;
}

#[tokio::test]
async fn a_certificate_waits_for_both_registrations() {
    let (old, new) = (TrustBundle::new([&ca("old")]), TrustBundle::new([&ca("new")]));
    let senders = [watch::Sender::new(old.clone()), watch::Sender::new(TrustBundle::default())];
    let (tasks, common) = (Tasks::new(), watch::Sender::default());
    let mut known = common.subscribe();
    let both = [senders[0].subscribe(), senders[1].subscribe()];
    tasks.spawn("both", follow_all(both, common, tasks.stopping()));
    tokio::task::yield_now().await;
    assert!(known.borrow_and_update().is_empty(), "one of them has nothing");
    senders[1].send_replace(old.clone());
    known.wait_for(|it| *it == old).await.unwrap();
    senders[0].send_replace(new.clone());
    known.wait_for(TrustBundle::is_empty).await.unwrap();
    senders[1].send_replace(new.clone());
    known.wait_for(|it| *it == new).await.unwrap();
    let _ = tasks.drain(Duration::from_millis(200)).await;
}
