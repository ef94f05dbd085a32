use contract::Redacted;
use lockbox::{Database, Embedded, KeyFile};
use runtime::tasks::Tasks;

use super::*;

struct World {
    secrets: Secrets,
    store: Arc<Embedded>,
    database: Database,
    _directory: tempfile::TempDir,
}

impl World {
    async fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let database = Database::open(&directory.path().join("x.db")).await.unwrap();
        let repository = Repository::open(database.clone()).await.unwrap();
        let store = Arc::new(Embedded::open(database.clone(), &KeyFile::new(directory.path().join("key"))).await.unwrap());
        let (audit, clerk) = Audit::new(repository.clone());
        Tasks::new().spawn("clerk", clerk.work());
        let secrets = Secrets::new(repository, store.clone(), audit, Live::default());
        Self { secrets, store, database, _directory: directory }
    }

    async fn write(&self, value: &str) -> Result<Written, SecretsError> {
        let mut request = WriteRequest::default();
        request.secrets.insert(name(), NewValue { value: Redacted::from(value.to_owned()) });
        self.secrets.write(&caller(), &scope(), &request).await
    }

    async fn read(&self) -> SecretValue {
        self.secrets.read(&caller(), &scope(), &name()).await.unwrap()
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
async fn what_a_crash_left_in_the_store_is_never_seen() {
    let world = World::new().await;
    world.write("one").await.unwrap();
    // What a process leaves that dies after the store's write and before the ledger's.
    let orphan = Redacted::from("orphan".to_owned());
    world.store.write(&scope(), &[Put { name: &name(), version: Version(2), value: &orphan }]).await.unwrap();
    assert_eq!(world.read().await.value.expose(), b"one");
    let written = world.write("two").await.unwrap();
    assert_eq!(written.versions[&name()], Version(2));
    let bundle = world.secrets.repository.bundle(&scope()).await.unwrap().unwrap();
    for generation in [1, 2] {
        let held = world.secrets.open(&bundle, Generation(generation)).await.unwrap();
        let expected = if generation == 1 { b"one" } else { b"two" };
        assert_eq!(held.secrets[&name()].value.expose(), expected);
    }
    assert_eq!(world.read().await.value.expose(), b"two");
}

#[tokio::test]
async fn what_the_ledger_refuses_is_taken_back_from_the_store() {
    let world = World::new().await;
    world.write("one").await.unwrap();
    let mut request = WriteRequest::default();
    for at in 0..9 {
        request.secrets.insert(format!("BIG_{at}").parse().unwrap(), NewValue { value: vec![0; 1 << 20].into() });
    }
    let error = world.secrets.write(&caller(), &scope(), &request).await.unwrap_err();
    assert!(matches!(error, SecretsError::Change(ChangeError::TooLarge { .. })), "{error}");
    for name in request.secrets.keys() {
        assert_eq!(world.store.list_versions(&scope(), name).await.unwrap(), []);
    }
}

#[tokio::test]
async fn a_write_whose_end_is_not_known_keeps_its_value() {
    let world = World::new().await;
    world.write("one").await.unwrap();
    let full = "CREATE TRIGGER full BEFORE INSERT ON generations BEGIN SELECT RAISE(ABORT, 'disk full'); END";
    sqlx::query(full).execute(world.database.writer()).await.unwrap();
    world.write("two").await.unwrap_err();
    // The database failed, so the value stays in the store: the ledger might refer to it.
    assert_eq!(world.store.list_versions(&scope(), &name()).await.unwrap().len(), 2);
    assert_eq!(world.read().await.value.expose(), b"one");
    sqlx::query("DROP TRIGGER full").execute(world.database.writer()).await.unwrap();
    assert_eq!(world.write("three").await.unwrap().versions[&name()], Version(2));
    assert_eq!(world.read().await.value.expose(), b"three");
}

#[tokio::test]
async fn writers_at_one_moment_get_versions_of_their_own() {
    let world = World::new().await;
    let values: Vec<String> = (0..20).map(|at| at.to_string()).collect();
    let written = futures_util::future::join_all(values.iter().map(|value| world.write(value))).await;
    let mut versions: Vec<_> = written.into_iter().map(|written| written.unwrap().versions[&name()].0).collect();
    versions.sort_unstable();
    assert_eq!(versions, (1..=20).collect::<Vec<_>>());
}
