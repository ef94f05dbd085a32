//! The backend: reads of places, and changes as a loop of read, decide, write with compare-and-set.

use contract::{Redacted, Scope, SecretName};
use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;

use super::apart::Apart;
use super::call::CallError;
use super::client::Client;
use super::config::{ConfigError, VaultConfig};
use super::entry::{Entry, EntryError, Held, Kept};
use super::kv::{Engine, Found};
use super::paths::Paths;
use super::place::Place;
use super::session::Session;
use super::write::{Change, Turns};
use crate::store::{Capabilities, Put, Reference, Store, StoreError, Stored};

/// Values in Vault's KV v2 engine.
#[derive(Debug)]
pub struct Vault {
    pub(super) engine: Engine,
    pub(super) paths: Paths,
    pub(super) max_versions: u32,
    pub(super) turns: Turns,
}

/// What a place in Vault turned out to be.
pub(super) enum AtPlace {
    Value(Redacted),
    /// The KV version is there, and the value lies apart.
    Apart,
    /// The KV version was destroyed or deleted.
    Gone,
    /// There is no such KV version, or not any more.
    Absent,
    /// The KV version is there and does not have it.
    Other,
}

impl Vault {
    /// The backend of that configuration. Nothing is sent yet: a Vault that is away is no reason
    /// not to start, and [`Store::health`] says whether it is there.
    ///
    /// # Errors
    /// Where the configuration cannot be used.
    pub fn open(config: &VaultConfig) -> Result<Self, ConfigError> {
        let session = Session::new(Client::new(config)?, config.login.clone());
        let engine = Engine::new(session, &config.mount);
        Ok(Self {
            engine,
            paths: Paths::new(&config.prefix),
            max_versions: config.max_versions,
            turns: Turns::default(),
        })
    }

    /// Keeps the token alive: to be run as a task for as long as the process does. Without it a
    /// token is used to its end and then got anew by whoever calls first.
    pub async fn keep(&self) {
        self.engine.session().keep().await;
    }

    /// What is at a place, without looking apart.
    pub(super) async fn at(
        &self,
        scope: &Scope,
        name: &SecretName,
        stored: &Stored,
        place: Place,
    ) -> Result<AtPlace, StoreError> {
        match self.engine.read(&self.paths.scope(scope), Some(place.at)).await.map_err(failed)? {
            Found::Absent => Ok(AtPlace::Absent),
            Found::Gone { .. } => Ok(AtPlace::Gone),
            Found::Live { at, data } => match Entry::parse(at, data) {
                Ok((entry, write)) if at == place.at && write == place.write => {
                    Ok(match entry.held(name, stored.version, place) {
                        Held::Here(value) => AtPlace::Value(value.clone()),
                        Held::Apart => AtPlace::Apart,
                        Held::Nothing => AtPlace::Other,
                    })
                }
                // What somebody else made, also under a number that was ours before the entry was
                // removed.
                Ok(_) | Err(EntryError::Foreign(_)) => Ok(AtPlace::Other),
                Err(error) => Err(entry_failed("read value", &error)),
            },
        }
    }

    async fn value(
        &self,
        scope: &Scope,
        name: &SecretName,
        stored: &Stored,
    ) -> Result<Redacted, StoreError> {
        let what = || format!("{scope}/{name} version {} ({})", stored.version, stored.reference);
        let Ok(place) = stored.reference.as_str().parse::<Place>() else {
            return Err(StoreError::NotFound(what()));
        };
        let there = self.at(scope, name, stored, place).await?;
        match there {
            AtPlace::Value(value) => return Ok(value),
            AtPlace::Other => return Err(StoreError::NotFound(what())),
            AtPlace::Apart | AtPlace::Gone | AtPlace::Absent => {}
        }
        let kept = Kept { version: stored.version, place, apart: true };
        let apart = Apart::new(&self.engine, &self.paths, scope, name, kept);
        let Some(value) = apart.get().await.map_err(failed)? else {
            return Err(if matches!(there, AtPlace::Absent) {
                StoreError::NotFound(what())
            } else {
                StoreError::Destroyed(what())
            });
        };
        // A replica that lost a race may have put it there after it was destroyed.
        let base = self.base(scope).await?;
        let listed = base.entry.kept.get(name).is_some_and(|kept| {
            kept.iter().any(|it| it.place == place && it.version == stored.version)
        });
        if listed { Ok(value) } else { Err(StoreError::Destroyed(what())) }
    }

    async fn list(&self, scope: &Scope, name: &SecretName) -> Result<Vec<Stored>, StoreError> {
        let base = self.base(scope).await?;
        Ok(base
            .entry
            .kept
            .get(name)
            .into_iter()
            .flatten()
            .rev()
            .map(|kept| stored(*kept))
            .collect())
    }

    async fn newest(
        &self,
        scope: &Scope,
        name: &SecretName,
    ) -> Result<(Stored, Redacted), StoreError> {
        let mut base = self.base(scope).await?;
        let newest = base
            .entry
            .newest(name)
            .ok_or_else(|| StoreError::NotFound(format!("{scope}/{name}")))?;
        let newest = stored(newest);
        if let Some(value) = base.entry.values.remove(name) {
            return Ok((newest, value));
        }
        let value = self.value(scope, name, &newest).await?;
        Ok((newest, value))
    }

    async fn check(&self) -> Result<(), StoreError> {
        // No entry has so many KV versions, so this writes nothing, and Vault says so after it has
        // looked at the token, the policy and the storage.
        match self
            .engine
            .write(&self.paths.probe(), u64::from(u32::MAX), serde_json::Map::new())
            .await
        {
            Ok(()) | Err(CallError::Conflict { .. }) => Ok(()),
            Err(error) => Err(failed(error)),
        }
    }
}

pub(super) fn stored(kept: Kept) -> Stored {
    Stored { version: kept.version, reference: Reference::new(kept.place.to_string()) }
}

pub(super) fn failed(error: CallError) -> StoreError {
    StoreError::Backend { step: "use Vault", source: Box::new(error) }
}

pub(super) fn entry_failed(step: &'static str, error: &EntryError) -> StoreError {
    failed(CallError::Entry { step, what: error.to_string() })
}

impl Store for Vault {
    fn capabilities(&self) -> Capabilities {
        Capabilities {
            versions: true,
            compare_and_set: true,
            read_your_writes: true,
            atomic_writes: true,
            push: false,
        }
    }

    fn write<'a>(
        &'a self,
        scope: &'a Scope,
        puts: &'a [Put<'a>],
    ) -> BoxFuture<'a, Result<Vec<Reference>, StoreError>> {
        async move {
            let place = self.change(scope, Change::Put { puts, on: None }).await?;
            Ok(puts.iter().map(|_| Reference::new(place.to_string())).collect())
        }
        .boxed()
    }

    fn read<'a>(
        &'a self,
        scope: &'a Scope,
        name: &'a SecretName,
    ) -> BoxFuture<'a, Result<(Stored, Redacted), StoreError>> {
        self.newest(scope, name).boxed()
    }

    fn read_version<'a>(
        &'a self,
        scope: &'a Scope,
        name: &'a SecretName,
        stored: &'a Stored,
    ) -> BoxFuture<'a, Result<Redacted, StoreError>> {
        self.value(scope, name, stored).boxed()
    }

    fn list_versions<'a>(
        &'a self,
        scope: &'a Scope,
        name: &'a SecretName,
    ) -> BoxFuture<'a, Result<Vec<Stored>, StoreError>> {
        self.list(scope, name).boxed()
    }

    fn rotate<'a>(
        &'a self,
        scope: &'a Scope,
        put: Put<'a>,
        on: &'a Reference,
    ) -> BoxFuture<'a, Result<Reference, StoreError>> {
        async move {
            let place = self.change(scope, Change::Put { puts: &[put], on: Some(on) }).await?;
            Ok(Reference::new(place.to_string()))
        }
        .boxed()
    }

    fn destroy<'a>(
        &'a self,
        scope: &'a Scope,
        name: &'a SecretName,
        stored: &'a Stored,
    ) -> BoxFuture<'a, Result<(), StoreError>> {
        self.change(scope, Change::Destroy { name, stored }).map(|done| done.map(drop)).boxed()
    }

    fn delete<'a>(
        &'a self,
        scope: &'a Scope,
        name: &'a SecretName,
    ) -> BoxFuture<'a, Result<(), StoreError>> {
        self.change(scope, Change::Delete { name }).map(|done| done.map(drop)).boxed()
    }

    fn health(&self) -> BoxFuture<'_, Result<(), StoreError>> {
        self.check().boxed()
    }
}
