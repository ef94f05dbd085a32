//! Two replicas and what they share.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use e2e::agent::Agent;
use e2e::loopback::{Identity, NamespaceScope, write_identities};
use e2e::postgres::Postgres;
use e2e::proxy::TcpProxy;
use e2e::switchyard::Switchyard;
use serde_json::{Value, json};
use tempfile::TempDir;

/// For a step that has to happen: far longer than it takes.
pub(crate) const STEP_TIMEOUT: Duration = Duration::from_secs(60);

pub(crate) const SCOPE: &str = "shop.prod.api";
pub(crate) const BUNDLE: &str = "api-prod";
const PODS: usize = 8;

/// Two replicas on one database. The second one connects through a proxy that can stall.
pub(crate) struct ReplicaPair {
    // Dropped in this order: the replicas before the database.
    pub(crate) one: Switchyard,
    pub(crate) two: Switchyard,
    pub(crate) network: TcpProxy,
    pub(crate) postgres: Postgres,
    pub(crate) directory: TempDir,
}

/// The token of a pod.
pub(crate) fn token(number: usize) -> String {
    format!("pod-{number}")
}

impl ReplicaPair {
    pub(crate) fn start() -> Self {
        let mut pair = Self::stopped(&[]);
        pair.one.run().unwrap();
        pair.two.run().unwrap();
        pair
    }

    /// Makes both without starting them.
    pub(crate) fn stopped(settings: &[(&str, &str)]) -> Self {
        let (postgres, directory) = (Postgres::start().unwrap(), tempfile::tempdir().unwrap());
        let places =
            [NamespaceScope { namespace: "shop-prod", project: "shop", environment: "prod" }];
        let pod = |number: usize| Identity {
            namespace: "shop-prod".to_owned(),
            service_account: "api".to_owned(),
            pod: format!("api-{number}"),
            uid: number.to_string(),
            token: token(number),
        };
        write_identities(directory.path(), &places, &(0..PODS).map(pod).collect::<Vec<_>>())
            .unwrap();
        let network = TcpProxy::open(&[postgres.port()]).unwrap();
        let replica = |name: &str, url: &str| {
            let settings: Vec<_> =
                settings.iter().copied().chain([("ENCLII_DATABASE_URL", url)]).collect();
            Switchyard::new(directory.path(), name, &settings).unwrap()
        };
        let one = replica("one", &postgres.url());
        let two = replica("two", &postgres.url_via_port(network.port(), "enclii"));
        Self { one, two, network, postgres, directory }
    }

    /// Starts the agent of pod `number`, which connects to switchyard at this port.
    pub(crate) fn agent(&self, number: usize, port: u16) -> Agent {
        Agent::start(&self.one.ca(), &token(number), BUNDLE, port).unwrap()
    }

    /// A proxy that alternates between the two.
    pub(crate) fn balancer(&self) -> TcpProxy {
        TcpProxy::open(&[self.one.port(), self.two.port()]).unwrap()
    }
}

/// The body of a write.
pub(crate) fn body(values: &[(&str, &str)]) -> Value {
    let secrets: serde_json::Map<_, _> = values
        .iter()
        .map(|(name, value)| ((*name).to_owned(), json!({"value": STANDARD.encode(value)})))
        .collect();
    json!({ "secrets": secrets })
}

/// Writes values at one of them. Returns the generation.
pub(crate) fn write(at: &Switchyard, values: &[(&str, &str)]) -> u64 {
    let (status, answer) = at.post(&format!("/v1/secrets/{SCOPE}/"), &body(values)).unwrap();
    assert_eq!(status, 200, "{answer}");
    answer["bundles"][0]["generation"].as_u64().unwrap()
}
