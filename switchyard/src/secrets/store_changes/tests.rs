//! Imports of edits made in 1Password, with a fake Connect server.

#[allow(dead_code, unused_imports, reason = "a test uses the parts that it needs")]
#[path = "../../../../lockbox/tests/fake_connect/mod.rs"]
mod connect;

use std::collections::HashSet;
use std::io::Write as _;
use std::sync::Arc;
use std::time::Duration;

use connect::Connect;
use contract::api::{NewValue, VersionState, WriteRequest};
use contract::layout::MAX_VALUE_BYTES;
use contract::{Redacted, Scope, SecretName, Version};
use jiff::SignedDuration;
use lockbox::database::{Row, query};
use lockbox::{Database, OnePassword, OnePasswordConfig};
use runtime::tasks::Tasks;

use super::super::*;

const CURRENT: &str = "enclii/shop.prod.api/A";

struct StoreFixture {
    connect: Connect,
    secrets: Secrets,
    database: Database,
    fence: Fence,
    refused: HashSet<String>,
    _directory: tempfile::TempDir,
}

impl StoreFixture {
    async fn new() -> Self {
        let connect = Connect::start().await;
        let directory = tempfile::tempdir().unwrap();
        let token_file = directory.path().join("token");
        std::fs::File::create(&token_file).unwrap().write_all(Connect::TOKEN.as_bytes()).unwrap();
        let config = OnePasswordConfig::new(connect.host(), token_file, Connect::VAULT.to_owned());
        let store = Arc::new(
            OnePassword::new(&OnePasswordConfig { timeout: Duration::from_secs(2), ..config })
                .unwrap(),
        );
        let database = Database::open(&directory.path().join("x.db")).await.unwrap();
        let repository = crate::repository::open_signed(database.clone()).await;
        let (audit, writer) = AuditLog::new(repository.clone());
        Tasks::new().spawn("writer", writer.run());
        let fence =
            repository.take_lease("adopt", "me", Duration::from_secs(600)).await.unwrap().unwrap();
        let secrets = Secrets::new(
            repository,
            store,
            audit,
            BundleUpdates::default(),
            SignedDuration::from_hours(1),
        );
        Self { connect, secrets, database, fence, refused: HashSet::new(), _directory: directory }
    }

    async fn write(&self, value: &str) {
        let mut request = WriteRequest::default();
        request.secrets.insert(name(), NewValue::new(Redacted::from(value.to_owned())));
        self.secrets
            .write(&caller(), &scope(), &request, |_| Condition::None, &WriteOptions::default())
            .await
            .unwrap();
    }

    async fn import(&mut self) -> Result<usize, SecretsError> {
        self.secrets.import_once(&self.fence, &mut self.refused).await
    }

    async fn active(&self) -> (Version, String) {
        let read = self
            .secrets
            .read(&caller(), (&scope(), &name()), ReadForm::Resolved, None)
            .await
            .unwrap()
            .value;
        (read.version, String::from_utf8(read.value.expose().to_vec()).unwrap())
    }

    /// Actor and details of the events with that action and outcome.
    async fn events(&self, action: &str, outcome: &str) -> Vec<(String, Option<String>)> {
        let sql = "SELECT actor_type, actor_id, details FROM audit_events WHERE action = $1 AND \
            outcome = $2 ORDER BY sequence";
        let rows = query(sql).bind(action).bind(outcome).fetch_all(self.database.reader()).await;
        let text = |row: &Row, column| row.try_get::<Option<String>>(column).unwrap();
        let event = |row: &Row| {
            let [kind, id] = ["actor_type", "actor_id"].map(|it| text(row, it).unwrap());
            (format!("{kind}:{id}"), text(row, "details"))
        };
        rows.unwrap().iter().map(event).collect()
    }
}

fn scope() -> Scope {
    "shop.prod.api".parse().unwrap()
}

fn name() -> SecretName {
    "A".parse().unwrap()
}

fn caller() -> Caller {
    Caller { actor: Actor::Token { name: "test".into() }, origin: Origin::default() }
}

#[tokio::test]
async fn a_persons_edit_becomes_the_next_version() {
    let mut fixture = StoreFixture::new().await;
    fixture.write("one").await;
    for _ in 0..2 {
        assert_eq!(fixture.import().await.unwrap(), 0, "the first scan finds no change");
    }
    fixture.connect.state().type_in(CURRENT, "value", "from a person");
    assert_eq!(fixture.import().await.unwrap(), 1);
    assert_eq!(fixture.active().await, (Version(2), "from a person".to_owned()));
    for _ in 0..3 {
        assert_eq!(fixture.import().await.unwrap(), 0, "one edit becomes one version");
    }
    let events = fixture.events("rotate", "allowed").await;
    assert_eq!(events.len(), 1);
    assert_eq!(events[0].0, "store:DOIHOHSV2NHK5HMSOLCWJUXFDM");
    assert!(
        events[0].1.as_deref().unwrap().starts_with("changed in the store itself"),
        "{events:?}"
    );
    // A rollback to the previous version also updates the item that people see.
    fixture
        .secrets
        .rollback(&caller(), &scope(), &name(), Version(1), &WriteOptions::default())
        .await
        .unwrap();
    assert_eq!(fixture.active().await, (Version(1), "one".to_owned()));
    assert_eq!(fixture.import().await.unwrap(), 0);
    assert_eq!(fixture.connect.state().titled(CURRENT)[0]["fields"][0]["value"], "one");
    let versions = fixture.secrets.repository.versions(&scope(), &name(), None, 9).await.unwrap();
    let states: Vec<_> = versions.iter().map(|it| (it.version.0, it.state)).collect();
    assert_eq!(states, [(2, VersionState::Archived), (1, VersionState::Active)]);
}

#[tokio::test]
async fn a_value_too_large_for_a_pod_is_reported_once() {
    let mut fixture = StoreFixture::new().await;
    fixture.write("one").await;
    assert_eq!(fixture.import().await.unwrap(), 0);
    fixture.connect.state().type_in(CURRENT, "value", &"x".repeat(MAX_VALUE_BYTES + 1));
    for _ in 0..3 {
        assert_eq!(fixture.import().await.unwrap(), 0);
    }
    assert_eq!(fixture.events("rotate", "failed").await.len(), 1);
    assert_eq!(fixture.active().await, (Version(1), "one".to_owned()));
    // A further edit is a new change.
    fixture.connect.state().type_in(CURRENT, "value", "smaller");
    assert_eq!(fixture.import().await.unwrap(), 1);
    assert_eq!(fixture.active().await, (Version(2), "smaller".to_owned()));
}

#[tokio::test]
async fn deleted_secrets_are_skipped_and_a_superseded_leader_imports_nothing() {
    let mut fixture = StoreFixture::new().await;
    fixture.write("one").await;
    assert_eq!(fixture.import().await.unwrap(), 0);
    fixture.connect.state().type_in(CURRENT, "value", "edited");
    fixture.secrets.delete(&caller(), &scope(), &name(), &WriteOptions::default()).await.unwrap();
    assert_eq!(fixture.import().await.unwrap(), 0);
    fixture.secrets.undelete(&caller(), &scope(), &name(), &WriteOptions::default()).await.unwrap();
    let another = fixture
        .secrets
        .repository
        .take_lease("adopt", "another", Duration::from_secs(600))
        .await
        .unwrap()
        .unwrap();
    let error = fixture.import().await.unwrap_err();
    assert!(matches!(error, SecretsError::Change(ChangeError::Fenced(_))), "{error}");
    assert_eq!(fixture.active().await, (Version(1), "one".to_owned()));
    fixture.fence = another;
    assert_eq!(fixture.import().await.unwrap(), 1);
    assert_eq!(fixture.active().await, (Version(2), "edited".to_owned()));
}
