//! The `vault` backend against a real Vault: the conformance suite, faults, SIGKILL, expiring
//! tokens, and manual changes.

#![expect(clippy::unwrap_used, reason = "a test may")]

mod fault_injection;
#[allow(dead_code, reason = "a test uses the parts that it needs")]
#[path = "../fault_proxy/mod.rs"]
mod fault_proxy;
mod login;
mod manual_edits;
mod server;
mod store;
mod transit;

use std::time::Duration;

use contract::{Redacted, Scope, SecretName, Version};
use lockbox::{Put, Store, StoredVersion, Vault, VaultConfig, VaultLogin};
use server::VaultServer;

/// The policy of switchyard's token, as in docs/vault.md.
const POLICY: &str = r#"
path "secret/data/enclii/*"     { capabilities = ["create", "read", "update"] }
path "secret/metadata/enclii/*" { capabilities = ["create", "read", "update", "delete", "list"] }
path "secret/destroy/enclii/*"  { capabilities = ["update"] }
"#;

fn config(server: &VaultServer) -> VaultConfig {
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

async fn put(store: &Vault, name: &str, version: u64, value: &[u8]) -> StoredVersion {
    let (name, value) = (secret(name), Redacted::from(value));
    let references = store
        .write(&scope(), &[Put { name: &name, version: Version(version), value: &value }])
        .await
        .unwrap();
    StoredVersion { version: Version(version), reference: references.into_iter().next().unwrap() }
}

async fn read(
    store: &Vault,
    name: &str,
    stored: &StoredVersion,
) -> Result<Vec<u8>, lockbox::StoreError> {
    store.read_version(&scope(), &secret(name), stored).await.map(|value| value.expose().to_vec())
}

/// Polls until a condition holds.
async fn until(what: &str, mut condition: impl AsyncFnMut() -> bool) {
    let end = tokio::time::Instant::now() + Duration::from_secs(60);
    while !condition().await {
        assert!(tokio::time::Instant::now() < end, "waited for {what}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}
