//! Sealed rows in a real PostgreSQL: manipulated rows, a change of the key, backups.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking, its helpers too")]

mod conformance_suite;

use contract::{Redacted, Scope, SecretName, Version};
use e2e::postgres::Postgres;
use lockbox::embedded::{EmbeddedError, RewrapBatch, RewrapCursor};
use lockbox::key_source::KeySource;
use lockbox::{
    Database, Embedded, KeyConfig, KeyFile, Put, Reference, Store, StoreError, StoredVersion,
};

struct Fixture {
    postgres: Postgres,
    database: Database,
    directory: tempfile::TempDir,
}

fn scope() -> Scope {
    "shop.prod.api".parse().unwrap()
}

fn secret(name: &str) -> SecretName {
    name.parse().unwrap()
}

async fn put(store: &Embedded, name: &str, version: u64, value: &str) -> StoredVersion {
    let (name, value) = (secret(name), Redacted::from(value.to_owned()));
    let references = store
        .write(&scope(), &[Put { name: &name, version: Version(version), value: &value }])
        .await
        .unwrap();
    StoredVersion { version: Version(version), reference: references[0].clone() }
}

async fn get(store: &Embedded, name: &str, stored: &StoredVersion) -> Result<String, StoreError> {
    let value = store.read_version(&scope(), &secret(name), stored).await?;
    Ok(String::from_utf8(value.expose().to_vec()).unwrap())
}

/// Rewraps all rows, batch after batch.
async fn rewrap(store: &Embedded) -> RewrapBatch {
    let current = store.current_key().await.unwrap();
    let mut all = RewrapBatch { next: Some(RewrapCursor::default()), ..RewrapBatch::default() };
    while let Some(from) = all.next {
        let RewrapBatch { done, failed, next } = store.rewrap(&current, from).await.unwrap();
        all.done += done;
        all.failed.extend(failed);
        all.next = next;
    }
    all
}

async fn connect(url: &str) -> Database {
    Database::connect(&Redacted::from(url.to_owned())).await.unwrap()
}

impl Fixture {
    async fn new() -> Self {
        let postgres = Postgres::start().unwrap();
        let database = connect(&postgres.url()).await;
        Self { postgres, database, directory: tempfile::tempdir().unwrap() }
    }

    fn file(&self, name: &str) -> KeyFile {
        KeyFile::new(self.directory.path().join(name))
    }

    async fn open(&self, current: &str, previous: &[&str]) -> Result<Embedded, EmbeddedError> {
        let previous = previous.iter().map(|name| KeySource::File(self.file(name))).collect();
        let keys = KeyConfig { previous, ..KeyConfig::from_file(self.file(current)) };
        Embedded::with_keys(self.database.clone(), &keys).await
    }

    /// Changes the database directly, without the store.
    fn sql(&self, statement: &str) -> String {
        self.postgres.sql("enclii", statement).unwrap()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_manipulated_row_yields_no_value() {
    let fixture = Fixture::new().await;
    let store = fixture.open("key", &[]).await.unwrap();
    let older = put(&store, "A", 1, "older value").await;
    let current = put(&store, "A", 2, "current value").await;
    let other = put(&store, "B", 1, "another value").await;
    fixture.sql("CREATE TABLE kept AS SELECT * FROM lockbox_values");
    let from = |columns: &str, whose: &str| {
        format!(
            "UPDATE lockbox_values SET ({columns}) = (SELECT {columns} FROM kept WHERE {whose}) \
             WHERE name = 'A' AND version = 2"
        )
    };
    let here = "WHERE name = 'A' AND version = 2";
    let token = current.reference.as_str().split_once('.').unwrap().0;
    let attacks = [
        from("wrapped_key, sealed", "name = 'B'"),
        from("wrapped_key, sealed", "name = 'A' AND version = 1"),
        from("wrapped_key, sealed, format, key_id", "name = 'A' AND version = 1"),
        from("sealed, key_id", "name = 'A' AND version = 1"),
        from("wrapped_key, key_id", "name = 'A' AND version = 1"),
        format!(
            "UPDATE lockbox_values \
             SET sealed = set_byte(sealed, 13, get_byte(sealed, 13) # 1) {here}"
        ),
        format!(
            "UPDATE lockbox_values \
             SET wrapped_key = set_bit(wrapped_key, 7, 1 - get_bit(wrapped_key, 7)) {here}"
        ),
        format!("UPDATE lockbox_values SET sealed = substr(sealed, 1, length(sealed) - 1) {here}"),
        format!("UPDATE lockbox_values SET sealed = '' {here}"),
        format!("UPDATE lockbox_values SET sealed = NULL {here}"),
        format!("UPDATE lockbox_values SET wrapped_key = NULL {here}"),
        format!("UPDATE lockbox_values SET format = 1 {here}"),
        format!("UPDATE lockbox_values SET format = 3 {here}"),
        format!("UPDATE lockbox_values SET key_id = 'ffff' {here}"),
    ];
    for attack in &attacks {
        fixture.sql(attack);
        let error = get(&store, "A", &current).await.unwrap_err();
        let text = error.to_string();
        assert!(
            matches!(error, StoreError::Seal(_)) && text.contains("shop.prod.api/A version 2 ("),
            "{attack}: {text}"
        );
        assert!(!text.contains("value"), "{attack}: {text}");
        assert_eq!(get(&store, "A", &older).await.unwrap(), "older value", "{attack}");
        assert_eq!(get(&store, "B", &other).await.unwrap(), "another value", "{attack}");
        fixture.sql(&from(
            "wrapped_key, sealed, format, key_id",
            &format!("reference = '{}'", current.reference),
        ));
        assert_eq!(get(&store, "A", &current).await.unwrap(), "current value");
    }
    // A reference without its hash is not one that the store issued.
    fixture.sql(&format!("UPDATE lockbox_values SET reference = '{token}' {here}"));
    let asked = StoredVersion { reference: Reference::new(token.to_owned()), ..current };
    assert!(matches!(get(&store, "A", &asked).await.unwrap_err(), StoreError::Seal(_)));
}

/// Two replicas with different keys start on an empty database.
#[tokio::test(flavor = "multi_thread")]
async fn the_first_replica_determines_the_key() {
    let fixture = Fixture::new().await;
    for round in 0..5 {
        let url = fixture.postgres.create_database(&format!("empty{round}")).unwrap();
        let (one, two) = (connect(&url).await, connect(&url).await);
        let open = |database: &Database, key: &str| {
            let (database, file) = (database.clone(), fixture.file(&format!("{key}{round}")));
            async move { Embedded::open(database, &file).await }
        };
        let (first, second) = tokio::join!(open(&one, "one"), open(&two, "two"));
        let error = match (first, second) {
            (Ok(store), Err(error)) | (Err(error), Ok(store)) => {
                let stored = put(&store, "A", 1, "value").await;
                assert_eq!(get(&store, "A", &stored).await.unwrap(), "value");
                error
            }
            (first, second) => panic!("{:?} {:?}", first.err(), second.err()),
        };
        let refused = matches!(error, EmbeddedError::WrongKey { .. } | EmbeddedError::Key(_));
        assert!(refused, "{error}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_is_replaced_while_values_are_destroyed() {
    let fixture = Fixture::new().await;
    let store = fixture.open("old", &[]).await.unwrap();
    let mut rows = Vec::new();
    for version in 1..=300 {
        rows.push(put(&store, "A", version, &format!("value {version}")).await);
    }
    let store = fixture.open("new", &["old"]).await.unwrap();
    let destroyed = async {
        for stored in rows.iter().step_by(3) {
            store.destroy(&scope(), &secret("A"), stored).await.unwrap();
        }
    };
    // Two at the same time, as two replicas would.
    let (one, two, ()) = tokio::join!(rewrap(&store), rewrap(&store), destroyed);
    assert!(one.failed.is_empty() && two.failed.is_empty());
    let current = store.current_key().await.unwrap();
    let standing = store.rekey_progress(&current).await.unwrap();
    assert_eq!((standing.total, standing.remaining), (200, 0));
    let store = fixture.open("new", &[]).await.unwrap();
    for (at, stored) in rows.iter().enumerate() {
        match get(&store, "A", stored).await {
            Ok(value) => assert!(at % 3 != 0 && value == format!("value {}", stored.version)),
            Err(StoreError::Destroyed(_)) => assert_eq!(at % 3, 0),
            Err(other) => panic!("{other}"),
        }
    }
    let error = fixture.open("old", &[]).await.unwrap_err();
    assert!(matches!(error, EmbeddedError::KeyMissing { rows: 200, .. }), "{error}");
}

/// `pg_dump` while values are written, `pg_restore` into another database.
#[tokio::test(flavor = "multi_thread")]
async fn backups_by_postgresqls_own_tools_restore() {
    let fixture = Fixture::new().await;
    let store = fixture.open("key", &[]).await.unwrap();
    let mut rows = Vec::new();
    for version in 1..=50 {
        rows.push(put(&store, "A", version, &format!("value {version}")).await);
    }
    let destroyed = rows.remove(0);
    let gone =
        fixture.sql("SELECT encode(wrapped_key, 'hex') FROM lockbox_values WHERE version = 1");
    let kept =
        fixture.sql("SELECT encode(wrapped_key, 'hex') FROM lockbox_values WHERE version = 2");
    store.destroy(&scope(), &secret("A"), &destroyed).await.unwrap();
    let dump = fixture.directory.path().join("dump");
    let plain = fixture.directory.path().join("dump.sql");
    let run = |program: &str, arguments: &[&str]| {
        let output = fixture.postgres.client(program).args(arguments).output().unwrap();
        assert!(output.status.success(), "{program}: {}", String::from_utf8_lossy(&output.stderr));
    };
    run("pg_dump", &["--format=custom", "--file", dump.to_str().unwrap(), "enclii"]);
    run("pg_dump", &["--file", plain.to_str().unwrap(), "enclii"]);
    // A backup does not hold what was destroyed before.
    let text = std::fs::read_to_string(&plain).unwrap();
    assert!(text.contains(&kept) && !text.contains(&gone));
    let restored = fixture.postgres.create_database("restored").unwrap();
    run("pg_restore", &["--exit-on-error", "--dbname", "restored", dump.to_str().unwrap()]);
    let database = Database::connect(&Redacted::from(restored)).await.unwrap();
    assert!(
        Embedded::open(database.clone(), &fixture.file("another")).await.is_err(),
        "a backup opens without its key"
    );
    let copy = Embedded::open(database, &fixture.file("key")).await.unwrap();
    for stored in &rows {
        assert_eq!(get(&copy, "A", stored).await.unwrap(), format!("value {}", stored.version));
    }
    assert!(matches!(get(&copy, "A", &destroyed).await.unwrap_err(), StoreError::Destroyed(_)));
    // The restored database accepts new versions.
    let next = put(&copy, "A", 51, "value 51").await;
    assert_eq!(get(&copy, "A", &next).await.unwrap(), "value 51");
}
