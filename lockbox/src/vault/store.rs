//! [`Store`] on Vault: reading values, and handing writes to `write`.

use contract::{Redacted, Scope, SecretName};
use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;

use super::backend::{Lookup, Vault, failed};
use super::entry::VersionRecord;
use super::entry_version::EntryVersion;
use super::overflow::OverflowValue;
use super::response::VaultError;
use super::write::EntryChange;
use crate::store::{Capabilities, Store, StoreError};
use crate::value::{Put, Reference, StoredVersion};

impl Vault {
    async fn read_value(
        &self,
        scope: &Scope,
        name: &SecretName,
        stored: &StoredVersion,
    ) -> Result<Redacted, StoreError> {
        let what = || format!("{scope}/{name} version {} ({})", stored.version, stored.reference);
        let Ok(entry_version) = stored.reference.as_str().parse::<EntryVersion>() else {
            return Err(StoreError::NotFound(what()));
        };
        let found = self.lookup(scope, name, stored, entry_version).await?;
        match found {
            Lookup::Value(value) => return Ok(value),
            Lookup::Other => return Err(StoreError::NotFound(what())),
            Lookup::Overflow | Lookup::Deleted | Lookup::Absent => {}
        }
        let record = VersionRecord { version: stored.version, entry_version, overflow: true };
        let overflow = OverflowValue::new(&self.engine, &self.paths, scope, name, record);
        let Some(value) = overflow.get().await.map_err(failed)? else {
            return Err(if matches!(found, Lookup::Absent) {
                StoreError::NotFound(what())
            } else {
                StoreError::Destroyed(what())
            });
        };
        // A replica that lost a race may have put it there after it was destroyed.
        let state = self.entry_state(scope).await?;
        let listed = state.entry.versions.get(name).is_some_and(|records| {
            records
                .iter()
                .any(|it| it.entry_version == entry_version && it.version == stored.version)
        });
        if listed { Ok(value) } else { Err(StoreError::Destroyed(what())) }
    }

    async fn check(&self) -> Result<(), StoreError> {
        // No entry has this many KV versions, so the write always conflicts. Vault answers so only
        // after it has checked the token, the policy and the storage.
        match self
            .engine
            .write(&self.paths.probe(), u64::from(u32::MAX), serde_json::Map::new())
            .await
        {
            Ok(()) | Err(VaultError::Conflict { .. }) => Ok(()),
            Err(error) => Err(failed(error)),
        }
    }
}

impl Store for Vault {
    fn capabilities(&self) -> Capabilities {
        Capabilities {
            versions: true,
            compare_and_set: true,
            read_your_writes: true,
            atomic_writes: true,
        }
    }

    fn write<'a>(
        &'a self,
        scope: &'a Scope,
        puts: &'a [Put<'a>],
    ) -> BoxFuture<'a, Result<Vec<Reference>, StoreError>> {
        async move {
            let written = self.change(scope, EntryChange::Put { puts, on: None }).await?;
            Ok(puts.iter().map(|_| Reference::new(written.to_string())).collect())
        }
        .boxed()
    }

    fn read_version<'a>(
        &'a self,
        scope: &'a Scope,
        name: &'a SecretName,
        stored: &'a StoredVersion,
    ) -> BoxFuture<'a, Result<Redacted, StoreError>> {
        self.read_value(scope, name, stored).boxed()
    }

    fn destroy<'a>(
        &'a self,
        scope: &'a Scope,
        name: &'a SecretName,
        stored: &'a StoredVersion,
    ) -> BoxFuture<'a, Result<(), StoreError>> {
        self.change(scope, EntryChange::Destroy { name, stored }).map(|done| done.map(drop)).boxed()
    }

    fn health(&self) -> BoxFuture<'_, Result<(), StoreError>> {
        self.check().boxed()
    }
}
