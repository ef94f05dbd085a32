//! What the conformance suite needs of the backend beyond [`Store`](crate::Store).

use contract::{Redacted, Scope, SecretName};
use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;

use super::backend::{OnePassword, content, run_concurrently};
use super::error::ConnectError;
use super::item::{ItemContent, ItemSummary};
use super::mac::{ItemReference, Seal};
use crate::conformance::ConformanceStore;
use crate::store::{Store as _, StoreError};
use crate::value::{Put, Reference, StoredVersion};

impl OnePassword {
    /// What a record holds, with the reference that its write returned. `None` for an item that was
    /// deleted meanwhile, or that carries no seal.
    async fn record(
        &self,
        summary: &ItemSummary,
    ) -> Result<Option<(Reference, ItemContent)>, ConnectError> {
        let Some(item) = self.vault.client.item(self.vault.id().await?, &summary.id).await? else {
            return Ok(None);
        };
        let content = content(&item)?;
        let Some(seal) = &content.seal else { return Ok(None) };
        let reference = ItemReference { id: summary.id.clone(), mac: seal.mac.clone() };
        Ok(Some((reference.into(), content)))
    }

    async fn list(
        &self,
        scope: &Scope,
        name: &SecretName,
    ) -> Result<Vec<StoredVersion>, ConnectError> {
        let (records, _) = self.items(scope, name).await?;
        let found = records.iter().map(|(version, summary)| async move {
            let found = self.record(summary).await?;
            Ok(found.map(|(reference, content)| (*version, reference, content.seal)))
        });
        let found = run_concurrently(found.collect()).await?;
        let (mut seals, mut listed): (Vec<Option<Seal>>, Vec<StoredVersion>) =
            (Vec::new(), Vec::new());
        for (version, reference, seal) in found.into_iter().flatten() {
            // Two items of one write are one value.
            if !seals.contains(&seal) {
                seals.push(seal);
                listed.push(StoredVersion { version, reference });
            }
        }
        Ok(listed)
    }

    async fn newest(
        &self,
        scope: &Scope,
        name: &SecretName,
    ) -> Result<Option<StoredVersion>, ConnectError> {
        let (records, _) = self.items(scope, name).await?;
        for (version, summary) in records {
            if let Some((reference, _)) = self.record(&summary).await? {
                return Ok(Some(StoredVersion { version, reference }));
            }
        }
        Ok(None)
    }

    async fn replace_newest(
        &self,
        scope: &Scope,
        put: Put<'_>,
        on: &Reference,
    ) -> Result<Reference, StoreError> {
        let step = "rotate value in 1Password";
        let secret = format!("{scope}/{}", put.name);
        let newest = self.newest(scope, put.name).await.map_err(|error| error.at_step(step))?;
        let newest = newest.ok_or_else(|| StoreError::NotFound(secret.clone()))?;
        if !is_same_write(&newest.reference, on) {
            return Err(StoreError::Conflict { secret, newest: newest.reference });
        }
        let written = self.write(scope, &[put]).await?;
        let own = written.into_iter().next().ok_or_else(|| StoreError::NotFound(secret.clone()))?;
        // Connect cannot compare and set. A writer that finds an older rival afterwards gives way.
        let (records, _) =
            self.items(scope, put.name).await.map_err(|error| error.at_step(step))?;
        for (version, summary) in records {
            if version != put.version {
                continue;
            }
            match self.record(&summary).await.map_err(|error| error.at_step(step))? {
                Some((reference, _)) if is_same_write(&reference, &own) => break,
                Some((rival, _)) => {
                    let own = StoredVersion { version, reference: own };
                    self.destroy(scope, put.name, &own).await?;
                    return Err(StoreError::Conflict { secret, newest: rival });
                }
                None => {}
            }
        }
        Ok(own)
    }

    async fn remove_all(&self, scope: &Scope, name: &SecretName) -> Result<(), StoreError> {
        let step = "delete secret in 1Password";
        let (records, currents) =
            self.items(scope, name).await.map_err(|error| error.at_step(step))?;
        let records = records.into_iter().map(|(_, summary)| summary);
        let ids: Vec<String> = records.chain(currents).map(|summary| summary.id).collect();
        if ids.is_empty() {
            return Err(StoreError::NotFound(format!("{scope}/{name}")));
        }
        self.vault.remove(&ids).await.map_err(|error| error.at_step(step))
    }
}

/// Whether two references name one write. The ids may differ if one write made two items.
fn is_same_write(a: &Reference, b: &Reference) -> bool {
    match (ItemReference::parse(a), ItemReference::parse(b)) {
        (Some(a), Some(b)) => a.mac == b.mac,
        _ => false,
    }
}

impl ConformanceStore for OnePassword {
    fn read_newest<'a>(
        &'a self,
        scope: &'a Scope,
        name: &'a SecretName,
    ) -> BoxFuture<'a, Result<(StoredVersion, Redacted), StoreError>> {
        async move {
            let newest = self
                .newest(scope, name)
                .await
                .map_err(|error| error.at_step("find newest value in 1Password"))?;
            let stored = newest.ok_or_else(|| StoreError::NotFound(format!("{scope}/{name}")))?;
            let value = self.read_version(scope, name, &stored).await?;
            Ok((stored, value))
        }
        .boxed()
    }

    fn list_versions<'a>(
        &'a self,
        scope: &'a Scope,
        name: &'a SecretName,
    ) -> BoxFuture<'a, Result<Vec<StoredVersion>, StoreError>> {
        async move {
            self.list(scope, name).await.map_err(|error| error.at_step("list values in 1Password"))
        }
        .boxed()
    }

    fn rotate<'a>(
        &'a self,
        scope: &'a Scope,
        put: Put<'a>,
        on: &'a Reference,
    ) -> BoxFuture<'a, Result<Reference, StoreError>> {
        self.replace_newest(scope, put, on).boxed()
    }

    fn delete<'a>(
        &'a self,
        scope: &'a Scope,
        name: &'a SecretName,
    ) -> BoxFuture<'a, Result<(), StoreError>> {
        self.remove_all(scope, name).boxed()
    }
}
