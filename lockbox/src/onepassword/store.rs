//! [`Store`] on a vault.

use std::time::Duration;

use contract::{Redacted, Scope, SecretName, Version};
use futures_util::future::BoxFuture;
use futures_util::{FutureExt as _, StreamExt as _, TryStreamExt as _};
use tokio::sync::Mutex;

use super::config::{OnePasswordConfig, SetupError};
use super::error::ConnectError;
use super::item::{Content, Item, Summary};
use super::proof::{ItemReference, Place, Seal};
use super::settle;
use super::title;
use super::vault::Vault;
use super::watch::Watch;
use super::write::New;
use crate::store::{Capabilities, Changed, Known, Put, Reference, Store, StoreError, Stored};

/// How many items are fetched at a time.
const AT_ONCE: usize = 8;

/// Values in a vault of 1Password.
#[derive(Debug)]
pub struct OnePassword {
    pub(super) vault: Vault,
    pub(super) seen: Mutex<Watch>,
    watch: Duration,
}

impl OnePassword {
    /// The backend of that configuration. Connect is not asked yet; [`Store::health`] does.
    ///
    /// # Errors
    /// Where the configuration cannot work at all.
    pub fn new(config: &OnePasswordConfig) -> Result<Self, SetupError> {
        Ok(Self { vault: Vault::new(config)?, seen: Mutex::default(), watch: config.watch })
    }

    async fn write_all(
        &self,
        scope: &Scope,
        puts: &[Put<'_>],
    ) -> Result<Vec<Reference>, StoreError> {
        for (at, put) in puts.iter().enumerate() {
            if puts[..at].iter().any(|earlier| earlier.name == put.name) {
                return Err(StoreError::Twice(format!("{scope}/{}", put.name)));
            }
        }
        let step = "write values to 1Password";
        let news: Vec<New<'_>> = puts
            .iter()
            .map(|put| new(scope, *put))
            .collect::<Result<_, _>>()
            .map_err(|error| error.during(step))?;
        let mut made = Vec::with_capacity(news.len());
        match self.write_each(&news, &mut made).await {
            Ok(references) => Ok(references.into_iter().map(Reference::from).collect()),
            Err(error) => {
                self.vault.undo(&news, &made).await;
                Err(error.during(step))
            }
        }
    }

    /// Makes all items, one after the other, and then waits for all of them.
    async fn write_each(
        &self,
        news: &[New<'_>],
        made: &mut Vec<String>,
    ) -> Result<Vec<ItemReference>, ConnectError> {
        for new in news {
            made.push(self.vault.make(new).await?);
        }
        let waits = news.iter().zip(made.iter()).map(|(new, id)| self.vault.see(new, id.clone()));
        // Collected first: a future that borrows cannot be told to outlive the closure that makes
        // it.
        let waits: Vec<_> = waits.collect();
        futures_util::stream::iter(waits).buffered(AT_ONCE).try_collect().await
    }

    /// All items of a secret: its records by version, newest first, and for one version the oldest
    /// item first; then its current items.
    async fn items(
        &self,
        scope: &Scope,
        name: &SecretName,
    ) -> Result<(Vec<(Version, Summary)>, Vec<Summary>), ConnectError> {
        let current_title = title::current(scope, name);
        let (mut records, mut currents) = (Vec::new(), Vec::new());
        for summary in self.vault.client.items(self.vault.id().await?).await? {
            if !summary.lives() {
                continue;
            }
            match title::version_of(&summary.title, scope, name) {
                Some(version) => records.push((version, summary)),
                None if summary.title == current_title => currents.push(summary),
                None => {}
            }
        }
        records.sort_by(|(a, old), (b, new)| b.cmp(a).then_with(|| old.age().cmp(&new.age())));
        Ok((records, currents))
    }

    /// What a record says, with the reference that its write was answered with. `None` for an item
    /// that was deleted meanwhile, or that carries no seal of ours.
    async fn record(
        &self,
        summary: &Summary,
    ) -> Result<Option<(Reference, Content)>, ConnectError> {
        let Some(item) = self.vault.client.item(self.vault.id().await?, &summary.id).await? else {
            return Ok(None);
        };
        let content = content(&item)?;
        let Some(seal) = &content.seal else { return Ok(None) };
        let reference = ItemReference { id: summary.id.clone(), code: seal.code.clone() };
        Ok(Some((reference.into(), content)))
    }

    async fn list(&self, scope: &Scope, name: &SecretName) -> Result<Vec<Stored>, ConnectError> {
        let (records, _) = self.items(scope, name).await?;
        let found = records.iter().map(|(version, summary)| async move {
            let found = self.record(summary).await?;
            Ok::<_, ConnectError>(
                found.map(|(reference, content)| (*version, reference, content.seal)),
            )
        });
        let found: Vec<_> = found.collect();
        let found: Vec<_> =
            futures_util::stream::iter(found).buffered(AT_ONCE).try_collect().await?;
        let (mut seals, mut listed): (Vec<Option<Seal>>, Vec<Stored>) = (Vec::new(), Vec::new());
        for (version, reference, seal) in found.into_iter().flatten() {
            // Two items of one write are one value.
            if !seals.contains(&seal) {
                seals.push(seal);
                listed.push(Stored { version, reference });
            }
        }
        Ok(listed)
    }

    async fn newest(
        &self,
        scope: &Scope,
        name: &SecretName,
    ) -> Result<Option<(Stored, Content)>, ConnectError> {
        let (records, _) = self.items(scope, name).await?;
        for (version, summary) in records {
            if let Some((reference, content)) = self.record(&summary).await? {
                return Ok(Some((Stored { version, reference }, content)));
            }
        }
        Ok(None)
    }

    /// The value that a reference means: in its item, in another item of the same write, or, where
    /// somebody edited or deleted the record, in the current item.
    async fn value(
        &self,
        place: Place<'_>,
        reference: &ItemReference,
    ) -> Result<Option<Redacted>, ConnectError> {
        let vault = self.vault.id().await?;
        let item = self.vault.client.item(vault, &reference.id).await?;
        let problem = match &item {
            Some(item) => match content(item) {
                Ok(content) if content.fits(place, &reference.code) => {
                    return Ok(Some(content.value));
                }
                Ok(_) => {
                    Some(ConnectError::Edited { title: item.title.clone(), id: item.id.clone() })
                }
                Err(error) => Some(error),
            },
            None => None,
        };
        for title in [
            title::record(place.scope, place.name, place.version),
            title::current(place.scope, place.name),
        ] {
            for summary in self.vault.client.titled(vault, &title).await? {
                let Some(item) = self.vault.client.item(vault, &summary.id).await? else {
                    continue;
                };
                if let Ok(content) = item.content()
                    && content.fits(place, &reference.code)
                {
                    return Ok(Some(content.value));
                }
            }
        }
        problem.map_or(Ok(None), Err)
    }

    async fn open(
        &self,
        scope: &Scope,
        name: &SecretName,
        stored: &Stored,
    ) -> Result<Redacted, StoreError> {
        let absent = || {
            StoreError::NotFound(format!(
                "{scope}/{name} version {} ({})",
                stored.version, stored.reference
            ))
        };
        let reference = ItemReference::parse(&stored.reference).ok_or_else(absent)?;
        let place = Place { scope, name, version: stored.version };
        // Behind one address there may be several servers, and another one may have taken the
        // write.
        let found = settle::until(self.vault.patience(), || self.value(place, &reference)).await;
        found.map_err(|error| error.during("read value from 1Password"))?.ok_or_else(absent)
    }

    async fn replace(
        &self,
        scope: &Scope,
        put: Put<'_>,
        on: &Reference,
    ) -> Result<Reference, StoreError> {
        let step = "rotate value in 1Password";
        let secret = format!("{scope}/{}", put.name);
        let newest = self.newest(scope, put.name).await.map_err(|error| error.during(step))?;
        let (newest, _) = newest.ok_or_else(|| StoreError::NotFound(secret.clone()))?;
        if !is_same(&newest.reference, on) {
            return Err(StoreError::Conflict { secret, newest: newest.reference });
        }
        let written = self.write_all(scope, &[put]).await?;
        let ours =
            written.into_iter().next().ok_or_else(|| StoreError::NotFound(secret.clone()))?;
        // Connect cannot compare and set. Who finds an older rival after writing gives way.
        let (records, _) = self.items(scope, put.name).await.map_err(|error| error.during(step))?;
        for (version, summary) in records {
            if version != put.version {
                continue;
            }
            match self.record(&summary).await.map_err(|error| error.during(step))? {
                Some((reference, _)) if is_same(&reference, &ours) => break,
                Some((rival, _)) => {
                    self.forget(scope, put.name, &Stored { version, reference: ours }).await?;
                    return Err(StoreError::Conflict { secret, newest: rival });
                }
                None => {}
            }
        }
        Ok(ours)
    }

    /// Deletes every copy of a value: the record, others of the same write, and the current item
    /// where it still shows this version.
    async fn forget(
        &self,
        scope: &Scope,
        name: &SecretName,
        stored: &Stored,
    ) -> Result<(), StoreError> {
        let step = "destroy value in 1Password";
        let absent = || {
            StoreError::NotFound(format!(
                "{scope}/{name} version {} ({})",
                stored.version, stored.reference
            ))
        };
        let reference = ItemReference::parse(&stored.reference).ok_or_else(absent)?;
        let place = Place { scope, name, version: stored.version };
        let ids = self.copies(place, &reference).await.map_err(|error| error.during(step))?;
        if ids.is_empty() {
            return Err(absent());
        }
        self.vault.remove(&ids).await.map_err(|error| error.during(step))
    }

    async fn copies(
        &self,
        place: Place<'_>,
        reference: &ItemReference,
    ) -> Result<Vec<String>, ConnectError> {
        let vault = self.vault.id().await?;
        let (records, currents) = self.items(place.scope, place.name).await?;
        let mut ids = Vec::new();
        for (version, summary) in records {
            // The record goes also where it was edited: the reference names it.
            if version == place.version
                && (summary.id == reference.id
                    || self.has(vault, &summary, place, reference).await?)
            {
                ids.push(summary.id);
            }
        }
        for summary in currents {
            if self.has(vault, &summary, place, reference).await? {
                ids.push(summary.id);
            }
        }
        Ok(ids)
    }

    async fn has(
        &self,
        vault: &str,
        summary: &Summary,
        place: Place<'_>,
        reference: &ItemReference,
    ) -> Result<bool, ConnectError> {
        let item = self.vault.client.item(vault, &summary.id).await?;
        Ok(item.is_some_and(|item| {
            item.content().is_ok_and(|content| content.fits(place, &reference.code))
        }))
    }

    async fn remove_all(&self, scope: &Scope, name: &SecretName) -> Result<(), StoreError> {
        let step = "delete secret in 1Password";
        let (records, currents) =
            self.items(scope, name).await.map_err(|error| error.during(step))?;
        let ids: Vec<String> = records
            .into_iter()
            .map(|(_, summary)| summary)
            .chain(currents)
            .map(|summary| summary.id)
            .collect();
        if ids.is_empty() {
            return Err(StoreError::NotFound(format!("{scope}/{name}")));
        }
        self.vault.remove(&ids).await.map_err(|error| error.during(step))
    }
}

fn new<'a>(scope: &'a Scope, put: Put<'a>) -> Result<New<'a>, ConnectError> {
    let place = Place { scope, name: put.name, version: put.version };
    let seal = Seal::new(place, put.value)?;
    Ok(New { title: title::record(scope, put.name, put.version), place, value: put.value, seal })
}

/// What an item says, or an error that names it.
pub(super) fn content(item: &Item) -> Result<Content, ConnectError> {
    item.content().map_err(|source| ConnectError::Item {
        title: item.title.clone(),
        id: item.id.clone(),
        source,
    })
}

/// Whether two references mean one write. The ids may differ, where one write made two items.
fn is_same(a: &Reference, b: &Reference) -> bool {
    match (ItemReference::parse(a), ItemReference::parse(b)) {
        (Some(a), Some(b)) => a.code == b.code,
        _ => false,
    }
}

impl Store for OnePassword {
    fn capabilities(&self) -> Capabilities {
        Capabilities {
            versions: true,
            compare_and_set: false,
            read_your_writes: true,
            atomic_writes: false,
            push: false,
        }
    }

    fn write<'a>(
        &'a self,
        scope: &'a Scope,
        puts: &'a [Put<'a>],
    ) -> BoxFuture<'a, Result<Vec<Reference>, StoreError>> {
        self.write_all(scope, puts).boxed()
    }

    fn read<'a>(
        &'a self,
        scope: &'a Scope,
        name: &'a SecretName,
    ) -> BoxFuture<'a, Result<(Stored, Redacted), StoreError>> {
        async move {
            let newest = self
                .newest(scope, name)
                .await
                .map_err(|error| error.during("find newest value in 1Password"))?;
            let (stored, _) =
                newest.ok_or_else(|| StoreError::NotFound(format!("{scope}/{name}")))?;
            let value = self.open(scope, name, &stored).await?;
            Ok((stored, value))
        }
        .boxed()
    }

    fn read_version<'a>(
        &'a self,
        scope: &'a Scope,
        name: &'a SecretName,
        stored: &'a Stored,
    ) -> BoxFuture<'a, Result<Redacted, StoreError>> {
        self.open(scope, name, stored).boxed()
    }

    fn list_versions<'a>(
        &'a self,
        scope: &'a Scope,
        name: &'a SecretName,
    ) -> BoxFuture<'a, Result<Vec<Stored>, StoreError>> {
        async move {
            self.list(scope, name).await.map_err(|error| error.during("list values in 1Password"))
        }
        .boxed()
    }

    fn rotate<'a>(
        &'a self,
        scope: &'a Scope,
        put: Put<'a>,
        on: &'a Reference,
    ) -> BoxFuture<'a, Result<Reference, StoreError>> {
        self.replace(scope, put, on).boxed()
    }

    fn destroy<'a>(
        &'a self,
        scope: &'a Scope,
        name: &'a SecretName,
        stored: &'a Stored,
    ) -> BoxFuture<'a, Result<(), StoreError>> {
        self.forget(scope, name, stored).boxed()
    }

    fn delete<'a>(
        &'a self,
        scope: &'a Scope,
        name: &'a SecretName,
    ) -> BoxFuture<'a, Result<(), StoreError>> {
        self.remove_all(scope, name).boxed()
    }

    fn health(&self) -> BoxFuture<'_, Result<(), StoreError>> {
        async move { self.vault.check().await.map_err(|error| error.during("check 1Password")) }
            .boxed()
    }

    fn watch_interval(&self) -> Option<Duration> {
        Some(self.watch)
    }

    fn changes<'a>(
        &'a self,
        known: &'a [Known],
    ) -> BoxFuture<'a, Result<Vec<Changed>, StoreError>> {
        async move {
            self.look_for_changes(known)
                .await
                .map_err(|error| error.during("look for changes in 1Password"))
        }
        .boxed()
    }
}
