//! A replica's readiness by the CAs of its registrations.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use certs::alt_names::SubjectAltNames;
use certs::certificate::Certificate;
use certs::issue::{create_ca, issue_leaf};
use certs::resolver::CertResolver;
use k8s_openapi::ByteString;
use k8s_openapi::api::admissionregistration::v1::{
    MutatingWebhookConfiguration, ValidatingWebhookConfiguration,
};
use runtime::readiness::{Gate, Readiness};
use runtime::tasks::Tasks;
use serde_json::{Value, json};
use webhook::registered;
use webhook::registration::RegistrationKind;

use crate::fake_server::{FakeApiServer, ca};

const MUTATING: &str = "/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations";
const VALIDATING: &str = "/apis/admissionregistration.k8s.io/v1/validatingwebhookconfigurations";

async fn until(gate: &Gate, is_ready: bool) {
    let waiting = async {
        while gate.is_ready() != is_ready {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    let waited = tokio::time::timeout(Duration::from_secs(20), waiting).await;
    assert!(waited.is_ok(), "the gate did not become {is_ready}");
}

/// A registration with an entry for each CA; none where an entry has no bundle.
fn object(kind: &str, name: &str, cas: &[Option<&Certificate>]) -> Value {
    let entry = |ca: &Option<&Certificate>| {
        let bundle = ca.map(|ca| ByteString(ca.pem().into()));
        json!({
            "name": "an.entry", "admissionReviewVersions": ["v1"], "sideEffects": "None",
            "clientConfig": { "caBundle": bundle },
        })
    };
    json!({
        "apiVersion": "admissionregistration.k8s.io/v1", "kind": kind,
        "metadata": { "name": name }, "webhooks": cas.iter().map(entry).collect::<Vec<_>>(),
    })
}

async fn follows_every_entry<K: RegistrationKind>(collection: &'static str, name: &'static str) {
    let (now, hour) = (SystemTime::now(), Duration::from_secs(3600));
    let names = SubjectAltNames::of_service("enclii-webhook", "enclii-system").unwrap();
    let pair = create_ca("ours", now, hour).unwrap();
    let (ours, other) = (pair.certificate(), ca("other"));
    let resolver = CertResolver::new();
    let server = FakeApiServer::new(collection, name);
    let (tasks, readiness) = (Tasks::new(), Readiness::new());
    let gate = readiness.gate("registered");
    let client = server.start(&tasks).await;
    let run = registered::run::<K>(
        client,
        name.to_owned(),
        Arc::clone(&resolver),
        gate.clone(),
        tasks.stopping(),
    );
    tasks.spawn("registered", run);
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert!(!gate.is_ready(), "nothing is served yet");
    resolver.swap(&issue_leaf(&pair, &names, now, hour).unwrap()).unwrap();
    // There is no registration, which sends nobody here.
    until(&gate, true).await;

    let kind = K::kind(&());
    for (cas, is_ready) in [
        (&[Some(ours), Some(&other)][..], false),
        (&[Some(ours), Some(ours)], true),
        (&[Some(ours), None], false),
        (&[Some(ours)], true),
    ] {
        server.put(object(&kind, name, cas));
        until(&gate, is_ready).await;
    }
    let _ = tasks.drain(Duration::from_millis(200)).await;
}

#[tokio::test]
async fn a_replica_is_ready_while_every_entry_of_the_registration_trusts_its_certificate() {
    follows_every_entry::<MutatingWebhookConfiguration>(MUTATING, "enclii-webhook").await;
}

#[tokio::test]
async fn the_entries_for_plaintext_count_as_the_others() {
    follows_every_entry::<ValidatingWebhookConfiguration>(VALIDATING, "enclii-plaintext").await;
}
