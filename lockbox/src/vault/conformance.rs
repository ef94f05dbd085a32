//! What the conformance suite needs of the backend beyond [`Store`](crate::Store).

use contract::{Redacted, Scope, SecretName};
use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;

use super::backend::{Vault, stored};
use super::write::EntryChange;
use crate::conformance::ConformanceStore;
use crate::store::{Store as _, StoreError};
use crate::value::{Put, Reference, StoredVersion};

impl ConformanceStore for Vault {
    fn read_newest<'a>(
        &'a self,
        scope: &'a Scope,
        name: &'a SecretName,
    ) -> BoxFuture<'a, Result<(StoredVersion, Redacted), StoreError>> {
        async move {
            let mut state = self.entry_state(scope).await?;
            let newest = state
                .entry
                .newest(name)
                .ok_or_else(|| StoreError::NotFound(format!("{scope}/{name}")))?;
            let newest = stored(newest);
            if let Some(value) = state.entry.values.remove(name) {
                return Ok((newest, value));
            }
            let value = self.read_version(scope, name, &newest).await?;
            Ok((newest, value))
        }
        .boxed()
    }

    fn list_versions<'a>(
        &'a self,
        scope: &'a Scope,
        name: &'a SecretName,
    ) -> BoxFuture<'a, Result<Vec<StoredVersion>, StoreError>> {
        async move {
            let state = self.entry_state(scope).await?;
            let records = state.entry.versions.get(name).into_iter().flatten();
            Ok(records.rev().map(|record| stored(*record)).collect())
        }
        .boxed()
    }

    fn rotate<'a>(
        &'a self,
        scope: &'a Scope,
        put: Put<'a>,
        on: &'a Reference,
    ) -> BoxFuture<'a, Result<Reference, StoreError>> {
        async move {
            let written =
                self.change(scope, EntryChange::Put { puts: &[put], on: Some(on) }).await?;
            Ok(Reference::new(written.to_string()))
        }
        .boxed()
    }

    fn delete<'a>(
        &'a self,
        scope: &'a Scope,
        name: &'a SecretName,
    ) -> BoxFuture<'a, Result<(), StoreError>> {
        self.change(scope, EntryChange::Delete { name }).map(|done| done.map(drop)).boxed()
    }
}
