//! The `vault` backend against a real Vault: the suite that every backend passes, plain and between
//! faults, through kill -9, with logins that end, and with people who change things by hand.

#![expect(clippy::unwrap_used, reason = "a test may")]

mod disturbed;
#[allow(dead_code, reason = "a test uses the parts that it needs")]
#[path = "../faults/mod.rs"]
mod faults;
mod hands;
mod login;
mod server;
mod store;
mod transit;

use std::time::Duration;

use contract::{Redacted, Scope, SecretName, Version};
use lockbox::{Put, Store, Stored, Vault, VaultConfig, VaultLogin};
use server::Server;

/// What switchyard's token may do, as the guide has it.
const POLICY: &str = r#"
path "secret/data/enclii/*"     { capabilities = ["create", "read", "update"] }
path "secret/metadata/enclii/*" { capabilities = ["create", "read", "update", "delete", "list"] }
path "secret/destroy/enclii/*"  { capabilities = ["update"] }
"#;

fn config(server: &Server) -> VaultConfig {
    VaultConfig {
        address: server.address(),
        allow_plain_http: false,
        mount: "secret".to_owned(),
        prefix: "enclii".to_owned(),
        namespace: None,
        login: VaultLogin::Token(server.root_file()),
        ca_file: server.address().starts_with("https").then(|| server.ca()),
        timeout: VaultConfig::TIMEOUT,
        max_versions: VaultConfig::MAX_VERSIONS,
    }
}

fn scope() -> Scope {
    "shop.prod.api".parse().unwrap()
}

fn secret(name: &str) -> SecretName {
    name.parse().unwrap()
}

async fn put(store: &Vault, name: &str, version: u64, value: &[u8]) -> Stored {
    let (name, value) = (secret(name), Redacted::from(value));
    let references = store
        .write(&scope(), &[Put { name: &name, version: Version(version), value: &value }])
        .await
        .unwrap();
    Stored { version: Version(version), reference: references.into_iter().next().unwrap() }
}

async fn read(store: &Vault, name: &str, stored: &Stored) -> Result<Vec<u8>, lockbox::StoreError> {
    store.read_version(&scope(), &secret(name), stored).await.map(|value| value.expose().to_vec())
}

/// Asks until it is so: for what Vault does in its own time.
async fn until(what: &str, mut there: impl AsyncFnMut() -> bool) {
    let end = tokio::time::Instant::now() + Duration::from_secs(60);
    while !there().await {
        assert!(tokio::time::Instant::now() < end, "waited for {what}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}
