//! The backend's state, and reading one KV version of a scope's entry.

use contract::{Redacted, Scope, SecretName};

use super::client::Client;
use super::config::{ConfigError, VaultConfig};
use super::entry::{Entry, EntryError, ValueLocation, VersionRecord};
use super::entry_version::EntryVersion;
use super::kv::{KvEngine, KvRead};
use super::paths::Paths;
use super::response::VaultError;
use super::scope_locks::ScopeLocks;
use super::session::Session;
use crate::store::StoreError;
use crate::value::{Reference, StoredVersion};

/// Values in Vault's KV v2 engine.
#[derive(Debug)]
pub struct Vault {
    pub(super) engine: KvEngine,
    pub(super) paths: Paths,
    pub(super) max_versions: u32,
    pub(super) scope_locks: ScopeLocks,
}

/// What one KV version holds of a value.
pub(super) enum Lookup {
    Value(Redacted),
    /// The KV version is there, and the value has entries of its own.
    Overflow,
    /// The KV version was destroyed or deleted.
    Deleted,
    /// There is no such KV version, or no longer.
    Absent,
    /// The KV version is there and does not hold the value.
    Other,
}

impl Vault {
    /// Opens the backend. Nothing is sent yet, so an unreachable Vault does not keep the process
    /// from starting. [`Store::health`](crate::Store::health) checks the connection.
    ///
    /// # Errors
    /// If the configuration is invalid.
    pub fn open(config: &VaultConfig) -> Result<Self, ConfigError> {
        let session = Session::new(Client::new(config)?, config.login.clone());
        let engine = KvEngine::new(session, &config.mount);
        Ok(Self {
            engine,
            paths: Paths::new(&config.prefix),
            max_versions: config.max_versions,
            scope_locks: ScopeLocks::default(),
        })
    }

    /// Renews the token for as long as the process runs. Run it as a task: without it a token is
    /// used until it expires, and the next caller waits for a login. It never returns.
    pub async fn keep_token_alive(&self) {
        self.engine.session().keep_token_alive().await;
    }

    /// Reads a value from the KV version it was written in. Overflow entries are not read.
    pub(super) async fn lookup(
        &self,
        scope: &Scope,
        name: &SecretName,
        stored: &StoredVersion,
        entry_version: EntryVersion,
    ) -> Result<Lookup, StoreError> {
        let path = self.paths.scope(scope);
        let read = self.engine.read(&path, Some(entry_version.kv_version)).await.map_err(failed)?;
        let (kv_version, data) = match read {
            KvRead::Absent => return Ok(Lookup::Absent),
            KvRead::Deleted { .. } => return Ok(Lookup::Deleted),
            KvRead::Live { kv_version, data } => (kv_version, data),
        };
        match Entry::parse(kv_version, data) {
            Ok((entry, write)) if EntryVersion { kv_version, write } == entry_version => {
                Ok(match entry.locate(name, stored.version, entry_version) {
                    ValueLocation::Inline(value) => Lookup::Value(value.clone()),
                    ValueLocation::Overflow => Lookup::Overflow,
                    ValueLocation::Absent => Lookup::Other,
                })
            }
            // Somebody else made it, perhaps under a number that was ours before the entry was
            // removed.
            Ok(_) | Err(EntryError::Foreign(_)) => Ok(Lookup::Other),
            Err(error) => Err(entry_failed("read value", &error)),
        }
    }
}

pub(super) fn stored(record: VersionRecord) -> StoredVersion {
    let reference = Reference::new(record.entry_version.to_string());
    StoredVersion { version: record.version, reference }
}

pub(super) fn failed(error: VaultError) -> StoreError {
    StoreError::Backend { step: "use Vault", source: Box::new(error) }
}

pub(super) fn entry_failed(step: &'static str, error: &EntryError) -> StoreError {
    failed(VaultError::Entry { step, what: error.to_string() })
}
