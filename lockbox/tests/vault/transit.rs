//! The embedded store under a key of Vault's transit engine.

use contract::{Redacted, Scope, SecretName, Version};
use lockbox::conformance::ConformanceStore as _;
use lockbox::database::query_built;
use lockbox::embedded::{EmbeddedError, RewrapBatch, RewrapCursor};
use lockbox::key::KeyId;
use lockbox::key_source::{KeyError, KeySource};
use lockbox::seal::SealError;
use lockbox::{
    Database, Embedded, KeyConfig, KeyFile, Put, Store, StoreError, StoredVersion, VaultConfig,
    VaultLogin,
};
use reqwest::Method;
use serde_json::json;

use crate::server::VaultServer;

struct TransitSetup {
    server: VaultServer,
    database: Database,
    vault: VaultConfig,
    directory: tempfile::TempDir,
}

fn scope() -> Scope {
    "shop.prod.api".parse().unwrap()
}

async fn put(store: &Embedded, name: &str, version: u64, value: &str) -> StoredVersion {
    let (name, value): (SecretName, _) = (name.parse().unwrap(), Redacted::from(value.to_owned()));
    let references = store
        .write(&scope(), &[Put { name: &name, version: Version(version), value: &value }])
        .await
        .unwrap();
    StoredVersion { version: Version(version), reference: references[0].clone() }
}

async fn get(store: &Embedded, name: &str, stored: &StoredVersion) -> Result<Vec<u8>, StoreError> {
    Ok(store.read_version(&scope(), &name.parse().unwrap(), stored).await?.expose().to_vec())
}

async fn rewrap(store: &Embedded) -> RewrapBatch {
    let current = store.current_key().await.unwrap();
    store.rewrap(&current, RewrapCursor::default()).await.unwrap()
}

impl TransitSetup {
    /// A Vault with a key `enclii`, and a token that may only wrap and unwrap with it.
    async fn new() -> Self {
        let server = VaultServer::start(true).await;
        server.api(Method::POST, "sys/mounts/transit", Some(json!({"type": "transit"}))).await;
        server.api(Method::POST, "transit/keys/enclii", Some(json!({}))).await;
        let policy = "path \"transit/encrypt/enclii\" { capabilities = [\"update\"] }\npath \
             \"transit/decrypt/enclii\" { capabilities = [\"update\"] }";
        server.api(Method::PUT, "sys/policies/acl/enclii", Some(json!({"policy": policy}))).await;
        let made = server
            .api(
                Method::POST,
                "auth/token/create",
                Some(json!({"policies": ["enclii"], "no_parent": true})),
            )
            .await;
        let token = server.file("token", made["auth"]["client_token"].as_str().unwrap());
        let vault = VaultConfig {
            address: server.address(),
            allow_plain_http: false,
            mount: "secret".to_owned(),
            prefix: "enclii".to_owned(),
            namespace: None,
            login: VaultLogin::Token(token),
            ca_file: Some(server.ca()),
            timeout: VaultConfig::TIMEOUT,
            max_versions: VaultConfig::MAX_VERSIONS,
        };
        let directory = tempfile::tempdir().unwrap();
        let database = Database::open(&directory.path().join("switchyard.db")).await.unwrap();
        Self { server, database, vault, directory }
    }

    fn keys(&self, current: &str, previous: &[&str]) -> KeyConfig {
        let source = |text: &str| match text {
            "file" => KeySource::File(KeyFile::new(self.directory.path().join("key"))),
            other => format!("transit:transit/{other}").parse().unwrap(),
        };
        let previous = previous.iter().map(|text| source(text)).collect();
        KeyConfig {
            current: source(current),
            previous,
            lost: Vec::new(),
            vault: Some(self.vault.clone()),
        }
    }

    async fn open(&self, current: &str, previous: &[&str]) -> Result<Embedded, EmbeddedError> {
        Embedded::with_keys(self.database.clone(), &self.keys(current, previous)).await
    }

    async fn run(&self, sql: &str) {
        let changed = self.database.execute(query_built(sql.to_owned())).await.unwrap();
        assert_eq!(changed, 1, "{sql}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_suite_passes_under_a_key_in_vault() {
    let setup = TransitSetup::new().await;
    let store = setup.open("enclii", &[]).await.unwrap();
    lockbox::conformance::run(&store, &"suite".parse().unwrap()).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_under_a_transit_key_are_bound_to_their_ids() {
    let setup = TransitSetup::new().await;
    let store = setup.open("enclii", &[]).await.unwrap();
    let one = put(&store, "A", 1, "one").await;
    let two = put(&store, "A", 2, "two").await;
    assert_eq!(store.current_key().await.unwrap(), KeyId::new("transit:transit/enclii:v1".into()));
    assert_eq!(get(&store, "A", &two).await.unwrap(), b"two");
    let attacks = [
        "wrapped_key = (SELECT wrapped_key FROM lockbox_values WHERE version = 1)",
        "wrapped_key = substr(wrapped_key, 1, length(wrapped_key) - 4)",
        "wrapped_key = x'00ff'",
        "key_id = 'transit:transit/enclii:v2'",
    ];
    for (version, attack) in (3..).zip(attacks) {
        let stored = put(&store, "A", version, "value").await;
        assert_eq!(get(&store, "A", &stored).await.unwrap(), b"value");
        setup.run(&format!("UPDATE lockbox_values SET {attack} WHERE version = {version}")).await;
        let error = get(&store, "A", &stored).await.unwrap_err();
        let row = format!("A version {version} (");
        assert!(
            matches!(&error, StoreError::Seal(SealError::Integrity(named)) if named.contains(&row)),
            "{attack}: {error}"
        );
    }
    assert_eq!(get(&store, "A", &one).await.unwrap(), b"one");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_version_of_the_key_takes_over() {
    let setup = TransitSetup::new().await;
    let store = setup.open("enclii", &[]).await.unwrap();
    let one = put(&store, "A", 1, "one").await;
    setup.server.api(Method::POST, "transit/keys/enclii/rotate", None).await;
    let two = put(&store, "A", 2, "two").await;
    let current = store.current_key().await.unwrap();
    assert_eq!(current, KeyId::new("transit:transit/enclii:v2".into()));
    assert_eq!(store.rekey_progress(&current).await.unwrap().remaining, 1);
    // The old version may only go when no row needs it. Until then Vault refuses the read.
    setup
        .server
        .api(Method::POST, "transit/keys/enclii/config", Some(json!({"min_decryption_version": 2})))
        .await;
    assert!(matches!(get(&store, "A", &one).await.unwrap_err(), StoreError::Backend { .. }));
    setup
        .server
        .api(Method::POST, "transit/keys/enclii/config", Some(json!({"min_decryption_version": 1})))
        .await;
    assert_eq!(
        (rewrap(&store).await.done, store.rekey_progress(&current).await.unwrap().remaining),
        (1, 0)
    );
    setup
        .server
        .api(Method::POST, "transit/keys/enclii/config", Some(json!({"min_decryption_version": 2})))
        .await;
    let store = setup.open("enclii", &[]).await.unwrap();
    assert_eq!(
        (get(&store, "A", &one).await.unwrap(), get(&store, "A", &two).await.unwrap()),
        (b"one".to_vec(), b"two".to_vec())
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn the_key_can_move_from_a_file_to_vault_and_back() {
    let setup = TransitSetup::new().await;
    let store = setup.open("file", &[]).await.unwrap();
    let mut rows = Vec::new();
    for version in 1..=30 {
        rows.push(put(&store, "A", version, &format!("value {version}")).await);
    }
    for (current, previous) in [("enclii", "file"), ("file", "enclii")] {
        let store = setup.open(current, &[previous]).await.unwrap();
        let batch = rewrap(&store).await;
        assert_eq!((batch.done, batch.failed), (30, Vec::new()));
        let store = setup.open(current, &[]).await.unwrap();
        for stored in &rows {
            assert_eq!(
                get(&store, "A", stored).await.unwrap(),
                format!("value {}", stored.version).into_bytes()
            );
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn while_vault_is_sealed_nothing_opens_and_nothing_is_lost() {
    let setup = TransitSetup::new().await;
    let store = setup.open("enclii", &[]).await.unwrap();
    let one = put(&store, "A", 1, "one").await;
    setup.server.seal().await;
    assert!(matches!(get(&store, "A", &one).await.unwrap_err(), StoreError::Backend { .. }));
    let (name, value): (SecretName, _) = ("A".parse().unwrap(), Redacted::from(b"two".as_slice()));
    let put = [Put { name: &name, version: Version(2), value: &value }];
    assert!(matches!(store.write(&scope(), &put).await.unwrap_err(), StoreError::Backend { .. }));
    assert!(matches!(
        store.rewrap(&KeyId::new("other".into()), RewrapCursor::default()).await.unwrap_err(),
        StoreError::Backend { .. }
    ));
    setup.server.unseal().await;
    assert_eq!(get(&store, "A", &one).await.unwrap(), b"one");
    assert_eq!(store.list_versions(&scope(), &name).await.unwrap(), [one]);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unusable_key_fails_at_start() {
    let setup = TransitSetup::new().await;
    // Using a missing key does not create it: the token does not permit that.
    let error = setup.open("another", &[]).await.unwrap_err();
    assert!(matches!(error, EmbeddedError::Key(KeyError::Wrap { .. })), "{error}");
    let keys = KeyConfig { vault: None, ..setup.keys("enclii", &[]) };
    let error = Embedded::with_keys(setup.database.clone(), &keys).await.unwrap_err();
    assert!(matches!(error, EmbeddedError::Key(KeyError::VaultNotConfigured(_))), "{error}");
}
