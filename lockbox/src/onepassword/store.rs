//! [`Store`] on a vault: writing, reading and destroying values.

use std::time::Duration;

use contract::{Redacted, Scope, SecretName};
use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;

use super::backend::{OnePassword, content, run_concurrently};
use super::error::ConnectError;
use super::item::ItemSummary;
use super::item_title;
use super::mac::{ItemReference, Seal};
use super::visibility;
use super::write::NewItem;
use crate::store::{
    ActiveSecret, Capabilities, ExternalChange, Store, StoreError, reject_duplicate_names,
};
use crate::value::{Put, Reference, StoredVersion, ValueId};

impl OnePassword {
    async fn write_all(
        &self,
        scope: &Scope,
        puts: &[Put<'_>],
    ) -> Result<Vec<Reference>, StoreError> {
        reject_duplicate_names(scope, puts)?;
        let step = "write values to 1Password";
        let new_items: Vec<NewItem<'_>> = puts
            .iter()
            .map(|put| new_record(scope, *put))
            .collect::<Result<_, _>>()
            .map_err(|error| error.at_step(step))?;
        let mut created = Vec::with_capacity(new_items.len());
        match self.write_each(&new_items, &mut created).await {
            Ok(references) => Ok(references.into_iter().map(Reference::from).collect()),
            Err(error) => {
                self.vault.roll_back(&new_items, &created).await;
                Err(error.at_step(step))
            }
        }
    }

    /// Creates all items, one after the other, and then waits until all of them are visible.
    async fn write_each(
        &self,
        new_items: &[NewItem<'_>],
        created: &mut Vec<String>,
    ) -> Result<Vec<ItemReference>, ConnectError> {
        for new in new_items {
            created.push(self.vault.create(new).await?);
        }
        let waits = new_items.iter().zip(created.iter());
        let waits = waits.map(|(new, id)| self.vault.wait_until_visible(new, id.clone())).collect();
        run_concurrently(waits).await
    }

    /// Reads the value that a reference names: from its item, from another item of the same write,
    /// or, if somebody edited or deleted the record, from the current item.
    async fn find_value(
        &self,
        id: ValueId<'_>,
        reference: &ItemReference,
    ) -> Result<Option<Redacted>, ConnectError> {
        let vault = self.vault.id().await?;
        let item = self.vault.client.item(vault, &reference.id).await?;
        let problem = match &item {
            Some(item) => match content(item) {
                Ok(content) if content.matches(id, &reference.mac) => {
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
            item_title::record(id.scope, id.name, id.version),
            item_title::current(id.scope, id.name),
        ] {
            for summary in self.vault.client.items_titled(vault, &title).await? {
                let Some(item) = self.vault.client.item(vault, &summary.id).await? else {
                    continue;
                };
                if let Ok(content) = item.content()
                    && content.matches(id, &reference.mac)
                {
                    return Ok(Some(content.value));
                }
            }
        }
        problem.map_or(Ok(None), Err)
    }

    async fn read_value(
        &self,
        scope: &Scope,
        name: &SecretName,
        stored: &StoredVersion,
    ) -> Result<Redacted, StoreError> {
        let absent = || not_found(scope, name, stored);
        let reference = ItemReference::parse(&stored.reference).ok_or_else(absent)?;
        let id = ValueId { scope, name, version: stored.version };
        // One address may stand for several servers, and another one may have taken the write.
        let found =
            visibility::until(self.vault.read_retry_timeout(), || self.find_value(id, &reference))
                .await;
        found.map_err(|error| error.at_step("read value from 1Password"))?.ok_or_else(absent)
    }

    /// Deletes every copy of a value: the record, others of the same write, and the current item if
    /// it still shows this version.
    async fn destroy_copies(
        &self,
        scope: &Scope,
        name: &SecretName,
        stored: &StoredVersion,
    ) -> Result<(), StoreError> {
        let step = "destroy value in 1Password";
        let absent = || not_found(scope, name, stored);
        let reference = ItemReference::parse(&stored.reference).ok_or_else(absent)?;
        let id = ValueId { scope, name, version: stored.version };
        let copies = self.find_copies(id, &reference).await.map_err(|error| error.at_step(step))?;
        if copies.is_empty() {
            return Err(absent());
        }
        self.vault.remove(&copies).await.map_err(|error| error.at_step(step))
    }

    async fn find_copies(
        &self,
        id: ValueId<'_>,
        reference: &ItemReference,
    ) -> Result<Vec<String>, ConnectError> {
        let vault = self.vault.id().await?;
        let (records, currents) = self.items(id.scope, id.name).await?;
        let mut copies = Vec::new();
        for (version, summary) in records {
            // The record goes even if it was edited, because the reference names it.
            if version == id.version
                && (summary.id == reference.id
                    || self.holds(vault, &summary, id, reference).await?)
            {
                copies.push(summary.id);
            }
        }
        for summary in currents {
            if self.holds(vault, &summary, id, reference).await? {
                copies.push(summary.id);
            }
        }
        Ok(copies)
    }

    async fn holds(
        &self,
        vault: &str,
        summary: &ItemSummary,
        id: ValueId<'_>,
        reference: &ItemReference,
    ) -> Result<bool, ConnectError> {
        let item = self.vault.client.item(vault, &summary.id).await?;
        Ok(item.is_some_and(|item| {
            item.content().is_ok_and(|content| content.matches(id, &reference.mac))
        }))
    }
}

fn new_record<'a>(scope: &'a Scope, put: Put<'a>) -> Result<NewItem<'a>, ConnectError> {
    let id = put.id(scope);
    let title = item_title::record(scope, put.name, put.version);
    Ok(NewItem { title, id, value: put.value, seal: Seal::new(id, put.value)? })
}

fn not_found(scope: &Scope, name: &SecretName, stored: &StoredVersion) -> StoreError {
    let StoredVersion { version, reference } = stored;
    StoreError::NotFound(format!("{scope}/{name} version {version} ({reference})"))
}

impl Store for OnePassword {
    fn capabilities(&self) -> Capabilities {
        Capabilities {
            versions: true,
            compare_and_set: false,
            read_your_writes: true,
            atomic_writes: false,
        }
    }

    fn write<'a>(
        &'a self,
        scope: &'a Scope,
        puts: &'a [Put<'a>],
    ) -> BoxFuture<'a, Result<Vec<Reference>, StoreError>> {
        self.write_all(scope, puts).boxed()
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
        self.destroy_copies(scope, name, stored).boxed()
    }

    fn health(&self) -> BoxFuture<'_, Result<(), StoreError>> {
        async move { self.vault.check().await.map_err(|error| error.at_step("check 1Password")) }
            .boxed()
    }

    fn poll_interval(&self) -> Option<Duration> {
        Some(self.poll_interval)
    }

    fn poll_changes<'a>(
        &'a self,
        active: &'a [ActiveSecret],
    ) -> BoxFuture<'a, Result<Vec<ExternalChange>, StoreError>> {
        async move {
            self.sync(active).await.map_err(|error| error.at_step("look for changes in 1Password"))
        }
        .boxed()
    }
}
