mod credential;
mod duplex_agent;
mod refused;

use std::collections::BTreeMap;

use certs::bundle::TrustBundle;
use contract::api::{Access, GrantRequest, Subject, SubjectKind};
use contract::stream::frame::Decoder;
use contract::stream::{
    AgentMessage, BundleGeneration, HEARTBEAT_SECONDS, ReloadOutcome, SILENCE_SECONDS,
    ServerMessage,
};
use contract::{Generation, Redacted, Version};
use lockbox::{Database, Embedded, KeyFile};
use prometheus_client::registry::Registry;
use runtime::tasks::Tasks;
use tokio::io::AsyncWriteExt as _;
use tokio::sync::watch;
use tokio::time::Instant;

use super::*;
use crate::access::{AccessControl, WorkloadRules};
use crate::agents::Agents;
use crate::app::{
    HealthCache, ListedBundles, PodEvents, RateLimiter, RefusalLog, StreamLimits, StreamState,
    byte_budget,
};
use crate::audit::{self, Action, Actor, AuditLog, Event, Origin, Pod, Resource, ResourceKind};
use crate::bundle_updates::BundleUpdates;
use crate::disk::DiskSpace;
use crate::identity::{
    DevelopmentIdentities, PodAuthenticator, TokenAuthenticator, WorkloadIssuers,
};
use crate::namespaces::{NamespaceBindings, Namespaces};
use crate::policy::{NamespaceBinding, Reach};
use crate::repository::{AuditQuery, Condition, GrantExtent, NewGrant};
use crate::secrets::{Caller, Secrets, WriteOptions};
use duplex_agent::DuplexAgent;

/// The token of the pod in most tests. It does not end.
const TOKEN: &str = "token";

/// A switchyard without a listener and a cluster. The test changes the namespaces and the CAs.
struct TestSwitchyard {
    app: Arc<AppState>,
    namespaces: watch::Sender<Arc<NamespaceBindings>>,
    trust: watch::Sender<TrustBundle>,
    _directory: tempfile::TempDir,
}

fn bindings(project: &str, environment: &str) -> Arc<NamespaceBindings> {
    let binding = NamespaceBinding {
        project: project.parse().unwrap(),
        environment: environment.parse().unwrap(),
    };
    Arc::new(BTreeMap::from([("shop-prod".to_owned(), binding)]))
}

fn certificate() -> certs::certificate::Certificate {
    certs::issue::create_ca(
        "test",
        std::time::SystemTime::UNIX_EPOCH + Duration::from_secs(1_800_000_000),
        Duration::from_secs(3600),
    )
    .unwrap()
    .certificate()
    .clone()
}

fn pod() -> Pod {
    Pod {
        namespace: "shop-prod".into(),
        service_account: "api".into(),
        name: "api-1".into(),
        uid: "1".into(),
    }
}

fn identities_file(tokens: &[(Redacted, Pod)]) -> String {
    let one = |(token, pod): &(Redacted, Pod)| {
        serde_json::json!({"token": std::str::from_utf8(token.expose()).unwrap(),
            "namespace": pod.namespace, "service_account": pod.service_account,
            "pod": pod.name, "uid": pod.uid})
    };
    serde_json::json!({"identities": tokens.iter().map(one).collect::<Vec<_>>()}).to_string()
}

impl TestSwitchyard {
    async fn new() -> Self {
        Self::with_tokens(&[(Redacted::from(TOKEN.to_owned()), pod())]).await
    }

    /// A switchyard that accepts these tokens.
    async fn with_tokens(tokens: &[(Redacted, Pod)]) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let database = Database::open(&directory.path().join("x.db")).await.unwrap();
        let repository = crate::repository::open_signed(database.clone()).await;
        let store = Arc::new(
            Embedded::open(database, &KeyFile::new(directory.path().join("key"))).await.unwrap(),
        );
        let tasks = Tasks::new();
        let (audit, writer) = AuditLog::new(repository.clone());
        tasks.spawn("audit writer", writer.run());
        let (namespaces, bound) = watch::channel(bindings("shop", "prod"));
        let (trust, trusted) = watch::channel(TrustBundle::new([&certificate()]));
        let updates = BundleUpdates::default();
        let (bound, rules) = (Namespaces::new(bound), WorkloadRules::default());
        let identities = directory.path().join("identities.json");
        let text = identities_file(tokens);
        crate::files::write(&identities, text.as_bytes(), crate::files::Readers::Owner).unwrap();
        let metrics = crate::metrics::Metrics::new(&mut Registry::default());
        let app = AppState {
            checkpoint_public_key: None,
            secrets: Secrets::new(
                repository.clone(),
                store.clone(),
                audit.clone(),
                updates.clone(),
                jiff::SignedDuration::from_hours(1),
            ),
            tokens: TokenAuthenticator::new(repository.clone()),
            access: AccessControl::new(bound, repository.clone(), vec![], rules),
            streams: StreamState::new(updates, trusted, StreamLimits::new(100, 100)),
            pods: PodAuthenticator::Development(
                DevelopmentIdentities::read(&identities).unwrap().0,
            ),
            oidc: None,
            workloads: WorkloadIssuers::default(),
            refusals: RefusalLog::new(audit.clone(), DiskSpace::default(), metrics.clone()),
            disk: DiskSpace::default(),
            bytes: byte_budget(),
            metrics: metrics.clone(),
            rekey: None,
            rate_limiter: RateLimiter::new(0, 0),
            health: HealthCache::default(),
            listed_bundles: ListedBundles::default(),
            agents: Agents::default(),
            pod_events: PodEvents::off(metrics.clone()),
            repository,
            audit,
            tasks,
            store,
        };
        let switchyard = Self { app: Arc::new(app), namespaces, trust, _directory: directory };
        switchyard.write("one").await;
        switchyard
    }

    fn caller() -> Caller {
        Caller { actor: Actor::Pod(pod()), origin: Origin::default() }
    }

    /// Writes the secret `A` of `shop.prod.api`.
    async fn write(&self, value: &str) {
        self.write_to("shop.prod.api", &["A"], value).await;
    }

    async fn write_to(&self, scope: &str, names: &[&str], value: &str) {
        let mut request = contract::api::WriteRequest::default();
        for name in names {
            let value = contract::api::NewValue::new(Redacted::from(value.to_owned()));
            request.secrets.insert(name.parse().unwrap(), value);
        }
        self.app
            .secrets
            .write(
                &Self::caller(),
                &scope.parse().unwrap(),
                &request,
                |_| Condition::None,
                &WriteOptions::default(),
            )
            .await
            .unwrap();
    }

    /// Grants read access to a service account of `shop-prod`.
    async fn grant(&self, account: &str, scope: &str, secret: Option<&str>, reach: Reach) {
        let grant = GrantRequest {
            expires_at: None,
            subject: Subject {
                kind: SubjectKind::ServiceAccount,
                name: format!("shop-prod/{account}"),
            },
            scope: scope.parse().unwrap(),
            secret: secret.map(|it| it.parse().unwrap()),
            access: Access::Read,
        };
        let event = Event {
            actor: Actor::Anonymous,
            action: Action::Grant,
            resource: Resource { kind: ResourceKind::Grant, id: "x".into(), scope: None },
            version: None,
            outcome: audit::Outcome::Allowed,
            origin: Origin::default(),
            details: None,
        };
        let new = NewGrant {
            request: grant,
            extent: GrantExtent { expires_at: None, reach },
            by: "system:test".into(),
            idempotency: None,
        };
        self.app.repository.add_grant(&new, &event).await.unwrap();
    }

    async fn admit(&self, pod: Pod, bundles: &[&str]) -> AdmittedPod {
        self.admit_with(Redacted::from(TOKEN.to_owned()), pod, bundles).await
    }

    async fn admit_with(&self, token: Redacted, pod: Pod, bundles: &[&str]) -> AdmittedPod {
        let caller = Caller { actor: Actor::Pod(pod.clone()), origin: Origin::default() };
        let authenticated = login::AuthenticatedPod { pod, token, caller };
        let names = bundles.iter().map(|it| it.parse().unwrap()).collect();
        login::admit(&self.app, &authenticated, names).await.ok().unwrap()
    }

    /// Opens a stream for `api-prod` and says hello.
    async fn open(&self) -> DuplexAgent {
        let admitted = self.admit(pod(), &["api-prod"]).await;
        let mut agent = self.connect(admitted).await;
        assert_eq!(agent.version().await, Version(1));
        agent
    }

    /// Opens a stream for an admitted pod and says hello.
    async fn connect(&self, admitted: AdmittedPod) -> DuplexAgent {
        self.connect_with(admitted, vec![], vec![]).await
    }

    async fn connect_with(
        &self,
        admitted: AdmittedPod,
        holds: Vec<BundleGeneration>,
        refused: Vec<BundleGeneration>,
    ) -> DuplexAgent {
        let (io, agent_io) = tokio::io::duplex(64 << 10);
        let connection = Connection::new(Arc::clone(&self.app), admitted, Self::caller());
        self.app.tasks.spawn("stream", connection.serve(io));
        let mut agent = DuplexAgent { io: agent_io, decoder: Decoder::default() };
        agent
            .send(&AgentMessage::Hello {
                agent: "test".into(),
                holds,
                refused,
                counts_requests: false,
            })
            .await;
        assert!(matches!(agent.next().await, Some(ServerMessage::Trust { .. })));
        agent
    }
}

#[tokio::test]
async fn a_namespace_that_loses_its_labels_loses_its_streams() {
    let switchyard = TestSwitchyard::new().await;
    let mut agent = switchyard.open().await;
    switchyard.namespaces.send_replace(Arc::default());
    match agent.next().await {
        Some(ServerMessage::Refused { detail }) => {
            assert!(detail.contains("shop-prod/api may not read bundle api-prod"), "{detail}")
        }
        other => panic!("{other:?}"),
    }
    assert!(agent.next().await.is_none());
    let query = AuditQuery { action: Some("denied".into()), limit: 10, ..AuditQuery::default() };
    let denied = switchyard.app.repository.audit(&query).await.unwrap();
    assert_eq!((denied.len(), denied[0].pod.clone()), (1, Some(pod())));
}

#[tokio::test]
async fn a_pod_of_a_moved_namespace_gets_nothing_of_the_old_project() {
    let switchyard = TestSwitchyard::new().await;
    let mut agent = switchyard.open().await;
    switchyard.namespaces.send_replace(bindings("other", "prod"));
    // The pod is not refused: it may read api-prod of the other project, and reconnects for it.
    assert!(agent.next().await.is_none());
    switchyard.write("two").await;
    let reads = AuditQuery { action: Some("read".into()), limit: 10, ..AuditQuery::default() };
    assert_eq!(switchyard.app.repository.audit(&reads).await.unwrap().len(), 1);
}

#[tokio::test]
async fn a_change_of_another_namespace_has_no_effect() {
    let switchyard = TestSwitchyard::new().await;
    let mut agent = switchyard.open().await;
    let mut more = NamespaceBindings::clone(&bindings("shop", "prod"));
    more.insert("another".into(), bindings("x", "y")["shop-prod"].clone());
    switchyard.namespaces.send_replace(Arc::new(more));
    switchyard.write("two").await;
    assert_eq!(agent.version().await, Version(2));
}

#[tokio::test]
async fn new_cas_are_sent_on_open_streams() {
    let switchyard = TestSwitchyard::new().await;
    let mut agent = switchyard.open().await;
    let bundle = TrustBundle::new([&certificate(), &certificate()]);
    switchyard.trust.send_replace(bundle.clone());
    match agent.next().await {
        Some(ServerMessage::Trust { ca }) => assert_eq!(ca, bundle.as_pem()),
        other => panic!("{other:?}"),
    }
}

fn applied(generation: u64) -> AgentMessage {
    let holds = vec![BundleGeneration {
        bundle: "api-prod".parse().unwrap(),
        generation: Generation(generation),
        tag: None,
    }];
    AgentMessage::Applied { holds, reload: ReloadOutcome::NotNeeded }
}

#[tokio::test]
async fn reports_are_limited_to_the_deliveries_and_a_few_more() {
    let switchyard = TestSwitchyard::new().await;
    let mut agent = switchyard.open().await;
    agent.send(&applied(1)).await;
    for version in 2..=100 {
        switchyard.write("another").await;
        assert_eq!(agent.version().await, Version(version));
        agent.send(&applied(version)).await;
    }
    let report = applied(100).encode().unwrap();
    let mut accepted = 0;
    while agent.io.write_all(report.expose()).await.is_ok() {
        accepted += 1;
        assert!(accepted < 100_000, "unsolicited reports are not limited");
    }
    assert!(agent.next().await.is_none());
}

#[tokio::test]
async fn a_stream_ends_when_the_agent_stops_answering() {
    let switchyard = TestSwitchyard::new().await;
    let mut agent = switchyard.open().await;
    // From here on only the clock advances, and nothing reads the database.
    tokio::time::pause();
    let opened = Instant::now();
    for _ in 0..8 {
        assert!(matches!(agent.next().await, Some(ServerMessage::Ping)));
        agent.send(&AgentMessage::Pong).await;
    }
    assert!(opened.elapsed() > Duration::from_secs(2 * SILENCE_SECONDS));
    let last = Instant::now();
    while let Some(message) = agent.next().await {
        assert!(matches!(message, ServerMessage::Ping));
    }
    let silent = last.elapsed().as_secs();
    assert!((SILENCE_SECONDS..SILENCE_SECONDS + HEARTBEAT_SECONDS).contains(&silent), "{silent} s");
}

/// The deliveries, filters and rules of several bundles must not be paired by position: a bundle
/// without an update would shift them, and the pod would get one bundle with another's grant.
#[tokio::test]
async fn a_bundle_without_an_update_does_not_shift_the_grants_of_the_others() {
    let switchyard = TestSwitchyard::new().await;
    switchyard.write_to("shop.prod.web", &["A"], "web").await;
    switchyard.write_to("shop.prod.api", &["B"], "hidden").await;
    switchyard.grant("jobs", "shop.prod.web", None, Reach::Project).await;
    switchyard.grant("jobs", "shop.prod.api", Some("A"), Reach::Project).await;
    let jobs = Pod { service_account: "jobs".into(), name: "jobs-1".into(), ..pod() };
    let mut admitted = switchyard.admit(jobs, &["web-prod", "api-prod"]).await;
    let no_updates = BundleUpdates::default();
    admitted.bundles[0].subscription = no_updates.subscribe(&admitted.bundles[0].scope);
    let mut agent = switchyard.connect(admitted).await;
    let Some(ServerMessage::Hold(snapshot)) = agent.next().await else { panic!("no delivery") };
    let held: Vec<(&str, Vec<&str>)> = snapshot
        .bundles
        .iter()
        .map(|it| (it.bundle.as_str(), it.secrets.keys().map(|name| name.as_str()).collect()))
        .collect();
    assert_eq!(held, [("api-prod", vec!["A"])]);
    let reads = AuditQuery { action: Some("read".into()), limit: 10, ..AuditQuery::default() };
    let reads = switchyard.app.repository.audit(&reads).await.unwrap();
    assert_eq!(
        reads.iter().map(|it| it.details.as_deref()).collect::<Vec<_>>(),
        [Some("grant-of-secrets: A")]
    );
}
