//! The 1Password backend against a fake Connect server, and against a real one if there is one.

#![expect(clippy::unwrap_used, reason = "a test may")]

#[allow(dead_code, reason = "a test uses the parts that it needs")]
#[path = "../fake_connect/mod.rs"]
mod fake_connect;
#[allow(dead_code, reason = "a test uses the parts that it needs")]
#[path = "../fault_proxy/mod.rs"]
mod fault_proxy;

mod conformance;
mod fake_server;
mod fault_injection;
mod manual_edits;
mod setup;
mod writes;

use std::io::Write as _;
use std::path::Path;
use std::time::Duration;

use contract::{Redacted, Scope, SecretName, Version};
use fake_connect::Connect;
use lockbox::{
    ActiveSecret, OnePassword, OnePasswordConfig, Put, Store, StoreError, StoredVersion,
};

/// A fake Connect server and a store on it.
struct TestStore {
    connect: Connect,
    store: OnePassword,
    directory: tempfile::TempDir,
}

impl TestStore {
    async fn new() -> Self {
        Self::with(|_| {}).await
    }

    async fn with(change: impl FnOnce(&mut OnePasswordConfig)) -> Self {
        let connect = Connect::start().await;
        let directory = tempfile::tempdir().unwrap();
        let mut config = config(connect.host(), directory.path());
        change(&mut config);
        let store = OnePassword::new(&config).unwrap();
        Self { connect, store, directory }
    }

    /// Another replica's store on the same vault.
    fn replica(&self) -> OnePassword {
        OnePassword::new(&config(self.connect.host(), self.directory.path())).unwrap()
    }

    async fn put(&self, name: &str, version: u64, value: &str) -> StoredVersion {
        put(&self.store, name, version, value).await.unwrap()
    }

    async fn get(&self, name: &str, stored: &StoredVersion) -> Result<String, StoreError> {
        let value = self.store.read_version(&scope(), &secret(name), stored).await?;
        Ok(String::from_utf8(value.expose().to_vec()).unwrap())
    }
}

fn config(host: String, directory: &Path) -> OnePasswordConfig {
    let token_file = directory.join("token");
    write(&token_file, Connect::TOKEN);
    let config = OnePasswordConfig::new(host, token_file, Connect::VAULT.to_owned());
    OnePasswordConfig {
        timeout: Duration::from_millis(500),
        visibility_timeout: Duration::from_secs(4),
        ..config
    }
}

fn write(file: &Path, text: &str) {
    std::fs::File::create(file).unwrap().write_all(text.as_bytes()).unwrap();
}

fn scope() -> Scope {
    "shop.prod.api".parse().unwrap()
}

fn secret(name: &str) -> SecretName {
    name.parse().unwrap()
}

async fn put(
    store: &OnePassword,
    name: &str,
    version: u64,
    value: &str,
) -> Result<StoredVersion, StoreError> {
    let (name, value) = (secret(name), Redacted::from(value.to_owned()));
    let references = store
        .write(&scope(), &[Put { name: &name, version: Version(version), value: &value }])
        .await?;
    Ok(StoredVersion { version: Version(version), reference: references[0].clone() })
}

fn known(name: &str, stored: &StoredVersion) -> ActiveSecret {
    ActiveSecret { scope: scope(), name: secret(name), stored: stored.clone() }
}

/// An error with its causes, on one line.
fn error_chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(deeper) = cause {
        text = format!("{text}: {deeper}");
        cause = deeper.source();
    }
    text
}
