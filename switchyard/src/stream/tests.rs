use std::collections::BTreeMap;

use contract::stream::frame::Decoder;
use contract::stream::{
    AgentMessage, HEARTBEAT_SECONDS, Held, Outcome, SILENCE_SECONDS, ServerMessage,
};
use contract::{Generation, Redacted, Version};
use lockbox::{Database, Embedded, KeyFile};
use prometheus_client::registry::Registry;
use runtime::tasks::Tasks;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream};
use tokio::time::Instant;

use super::*;
use crate::access::Access;
use crate::api::{Health, Strangers};
use crate::audit::{Actor, AuditLog, Origin, Pod};
use crate::identity::{Development, Pods, Tokens};
use crate::namespaces::{Bindings, Namespaces};
use crate::policy::Binding;
use crate::repository::{AuditQuery, Condition, Repository};
use crate::secrets::{Caller, Secrets, WriteOptions};

/// A switchyard without its edges: the namespaces and the CAs are the test's to change.
struct World {
    app: Arc<App>,
    namespaces: watch::Sender<Arc<Bindings>>,
    trust: watch::Sender<TrustBundle>,
    _directory: tempfile::TempDir,
}

fn bindings(project: &str, environment: &str) -> Arc<Bindings> {
    let binding =
        Binding { project: project.parse().unwrap(), environment: environment.parse().unwrap() };
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

impl World {
    async fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let database = Database::open(&directory.path().join("x.db")).await.unwrap();
        let repository = Repository::open(database.clone()).await.unwrap();
        let store = Arc::new(
            Embedded::open(database, &KeyFile::new(directory.path().join("key"))).await.unwrap(),
        );
        let tasks = Tasks::new();
        let (audit, writer) = AuditLog::new(repository.clone());
        tasks.spawn("audit writer", writer.run());
        let (namespaces, bound) = watch::channel(bindings("shop", "prod"));
        let (trust, trusted) = watch::channel(TrustBundle::new([&certificate()]));
        let live = Live::default();
        let identities = directory.path().join("identities.json");
        crate::files::write(&identities, b"{}", crate::files::Readers::Owner).unwrap();
        let app = App {
            checkpoint_public_key: None,
            secrets: Secrets::new(
                repository.clone(),
                store.clone(),
                audit.clone(),
                live.clone(),
                jiff::SignedDuration::from_hours(1),
            ),
            tokens: Tokens::new(repository.clone()),
            access: Access::new(Namespaces::new(bound), repository.clone(), Vec::new()),
            streams: Streams::new(live, trusted),
            pods: Pods::Development(Development::read(&identities).unwrap().0),
            oidc: None,
            metrics: crate::metrics::Metrics::new(&mut Registry::default()),
            rekey: None,
            strangers: Strangers::default(),
            pace: crate::api::Pace::new(0, 0),
            health: Health::default(),
            repository,
            audit,
            tasks,
            store,
        };
        let world = Self { app: Arc::new(app), namespaces, trust, _directory: directory };
        world.set("one").await;
        world
    }

    fn caller() -> Caller {
        Caller { actor: Actor::Pod(pod()), origin: Origin::default() }
    }

    async fn set(&self, value: &str) {
        let mut request = contract::api::WriteRequest::default();
        request.secrets.insert(
            "A".parse().unwrap(),
            contract::api::NewValue::new(Redacted::from(value.to_owned())),
        );
        self.app
            .secrets
            .write(
                &Self::caller(),
                &"shop.prod.api".parse().unwrap(),
                &request,
                |_| Condition::None,
                &WriteOptions::default(),
            )
            .await
            .unwrap();
    }

    /// Opens a stream and says hello.
    async fn open(&self) -> Agent {
        let identified = login::Identified { pod: pod(), caller: Self::caller() };
        let admitted = login::admit(&self.app, &identified, vec!["api-prod".parse().unwrap()])
            .await
            .ok()
            .unwrap();
        let (ours, theirs) = tokio::io::duplex(64 << 10);
        let connection = Connection::new(Arc::clone(&self.app), admitted, Self::caller());
        self.app.tasks.spawn("stream", connection.serve(ours));
        let mut agent = Agent { io: theirs, decoder: Decoder::default() };
        agent.say(&AgentMessage::Hello { agent: "test".into(), holds: vec![] }).await;
        assert!(matches!(agent.next().await, Some(ServerMessage::Trust { .. })));
        assert_eq!(agent.version().await, Version(1));
        agent
    }
}

struct Agent {
    io: DuplexStream,
    decoder: Decoder,
}

impl Agent {
    async fn say(&mut self, message: &AgentMessage) {
        self.io.write_all(message.encode().unwrap().expose()).await.unwrap();
    }

    async fn next(&mut self) -> Option<ServerMessage> {
        loop {
            if let Some(frame) = self.decoder.next_frame().unwrap() {
                return Some(ServerMessage::decode(&frame).unwrap());
            }
            let mut bytes = [0; 4096];
            match self.io.read(&mut bytes).await.unwrap() {
                0 => return None,
                read => self.decoder.push(&bytes[..read]),
            }
        }
    }

    /// The version of the one secret in what it is told to hold.
    async fn version(&mut self) -> Version {
        match self.next().await {
            Some(ServerMessage::Hold(snapshot)) => {
                snapshot.bundles[0].secrets[&"A".parse().unwrap()].version
            }
            other => panic!("{other:?}"),
        }
    }
}

#[tokio::test]
async fn a_namespace_that_loses_its_labels_loses_its_streams() {
    let world = World::new().await;
    let mut agent = world.open().await;
    world.namespaces.send_replace(Arc::default());
    match agent.next().await {
        Some(ServerMessage::Refused { detail }) => {
            assert!(detail.contains("shop-prod/api may not read bundle api-prod"), "{detail}")
        }
        other => panic!("{other:?}"),
    }
    assert!(agent.next().await.is_none());
    let query = AuditQuery { action: Some("denied".into()), limit: 10, ..AuditQuery::default() };
    let denied = world.app.repository.audit(&query).await.unwrap();
    assert_eq!((denied.len(), denied[0].pod.clone()), (1, Some(pod())));
}

#[tokio::test]
async fn a_namespace_that_moves_to_another_project_gets_nothing_of_the_old_one() {
    let world = World::new().await;
    let mut agent = world.open().await;
    world.namespaces.send_replace(bindings("other", "prod"));
    // No refusal: the pod may read api-prod, of the other project, and comes back for it.
    assert!(agent.next().await.is_none());
    world.set("two").await;
    let reads = AuditQuery { action: Some("read".into()), limit: 10, ..AuditQuery::default() };
    assert_eq!(world.app.repository.audit(&reads).await.unwrap().len(), 1);
}

#[tokio::test]
async fn another_namespace_changes_nothing() {
    let world = World::new().await;
    let mut agent = world.open().await;
    let mut more = Bindings::clone(&bindings("shop", "prod"));
    more.insert("another".into(), bindings("x", "y")["shop-prod"].clone());
    world.namespaces.send_replace(Arc::new(more));
    world.set("two").await;
    assert_eq!(agent.version().await, Version(2));
}

#[tokio::test]
async fn new_cas_are_told_on_open_streams() {
    let world = World::new().await;
    let mut agent = world.open().await;
    let bundle = TrustBundle::new([&certificate(), &certificate()]);
    world.trust.send_replace(bundle.clone());
    match agent.next().await {
        Some(ServerMessage::Trust { ca }) => assert_eq!(ca, bundle.as_pem()),
        other => panic!("{other:?}"),
    }
}

fn applied(generation: u64) -> AgentMessage {
    let holds =
        vec![Held { bundle: "api-prod".parse().unwrap(), generation: Generation(generation) }];
    AgentMessage::Applied { holds, reload: Outcome::NotNeeded }
}

#[tokio::test]
async fn an_agent_reports_what_it_was_sent_however_often_and_nothing_else() {
    let world = World::new().await;
    let mut agent = world.open().await;
    agent.say(&applied(1)).await;
    for version in 2..=100 {
        world.set("another").await;
        assert_eq!(agent.version().await, Version(version));
        agent.say(&applied(version)).await;
    }
    let report = applied(100).encode().unwrap();
    let mut taken = 0;
    while agent.io.write_all(report.expose()).await.is_ok() {
        taken += 1;
        assert!(taken < 100_000, "it may say what it likes");
    }
    assert!(agent.next().await.is_none());
}

#[tokio::test]
async fn a_stream_lives_as_long_as_the_agent_answers() {
    let world = World::new().await;
    let mut agent = world.open().await;
    // From here on nothing but the clock moves, and nobody asks the database.
    tokio::time::pause();
    let opened = Instant::now();
    for _ in 0..8 {
        assert!(matches!(agent.next().await, Some(ServerMessage::Ping)));
        agent.say(&AgentMessage::Pong).await;
    }
    assert!(opened.elapsed() > Duration::from_secs(2 * SILENCE_SECONDS));
    let last = Instant::now();
    while let Some(message) = agent.next().await {
        assert!(matches!(message, ServerMessage::Ping));
    }
    let silent = last.elapsed().as_secs();
    assert!((SILENCE_SECONDS..SILENCE_SECONDS + HEARTBEAT_SECONDS).contains(&silent), "{silent} s");
}
