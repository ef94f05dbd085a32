//! Edits that people make in 1Password, and the current items that they make them in.
//!
//! A pass first asks for the vault's content version. While that and the ledger are unchanged, it
//! is the only call. Otherwise one list shows which items moved, and only those are fetched. A
//! secret is done when its current item shows the active version. An edit is reported until the
//! ledger has its value, so a pass that is interrupted loses none.

use std::collections::HashSet;

use contract::{Redacted, Version};

use super::backend::{OnePassword, content};
use super::current_item::{CurrentItemState, current_item_state};
use super::error::ConnectError;
use super::item::{Item, ItemContent, ItemSummary};
use super::item_title;
use super::mac::{ItemReference, Seal};
use super::sync_state::{ItemIndex, SecretKey};
use super::visibility;
use super::write::NewItem;
use crate::store::{ActiveSecret, ExternalChange};
use crate::value::ValueId;

/// After this many polls without a change the list is fetched anyway. Connect is observed to raise
/// the content version with every change, but does not promise it.
const MAX_QUIET_POLLS: u32 = 30;
/// How many secrets one pass looks at, so that it ends.
const MAX_SECRETS_PER_PASS: usize = 100;

enum SyncOutcome {
    /// Nothing left to do for this secret.
    Synced,
    /// An item changed meanwhile, or this pass changed it. The next pass looks again.
    Pending,
    Changed(ExternalChange),
}

impl OnePassword {
    /// Brings the current items up to date with the active versions, and returns people's edits.
    pub(super) async fn sync(
        &self,
        active: &[ActiveSecret],
    ) -> Result<Vec<ExternalChange>, ConnectError> {
        let mut state = self.sync_state.lock().await;
        let content_version = self.vault.fetch().await?.content_version;
        let keys: HashSet<_> = active.iter().map(key).collect();
        state.synced.retain(|key, _| keys.contains(key));
        let ledger_moved = active.iter().any(|secret| {
            state.synced.get(&key(secret)).is_none_or(|synced| synced.stored != secret.stored)
        });
        state.quiet_polls += 1;
        if !ledger_moved
            && state.content_version == Some(content_version)
            && state.quiet_polls < MAX_QUIET_POLLS
        {
            return Ok(Vec::new());
        }
        // Set again when the pass is complete. An interrupted pass does not count.
        state.content_version = None;
        state.quiet_polls = 0;
        let index = ItemIndex::new(self.vault.client.items(self.vault.id().await?).await?);
        let (mut changes, mut complete, mut looked_at) = (Vec::new(), true, 0);
        for secret in active {
            let snapshot = index.snapshot(secret);
            if state.synced.get(&key(secret)) == Some(&snapshot) {
                continue;
            }
            if looked_at == MAX_SECRETS_PER_PASS {
                complete = false;
                break;
            }
            looked_at += 1;
            state.synced.remove(&key(secret));
            match self.sync_one(secret, &index).await {
                Ok(SyncOutcome::Synced) => drop(state.synced.insert(key(secret), snapshot)),
                Ok(SyncOutcome::Pending) => complete = false,
                Ok(SyncOutcome::Changed(change)) => changes.push(change),
                // Logged once, and again when the item changes.
                Err(error @ (ConnectError::Item { .. } | ConnectError::Edited { .. })) => {
                    warn(secret, &error);
                    state.synced.insert(key(secret), snapshot);
                }
                Err(error @ (ConnectError::Token { .. } | ConnectError::Unreachable(_))) => {
                    return Err(error);
                }
                Err(error) => {
                    warn(secret, &error);
                    complete = false;
                }
            }
        }
        if complete {
            state.content_version = Some(content_version);
        }
        Ok(changes)
    }

    async fn sync_one(
        &self,
        secret: &ActiveSecret,
        index: &ItemIndex,
    ) -> Result<SyncOutcome, ConnectError> {
        let Some(reference) = ItemReference::parse(&secret.stored.reference) else {
            return Ok(SyncOutcome::Synced);
        };
        let id =
            ValueId { scope: &secret.scope, name: &secret.name, version: secret.stored.version };
        let item = self.current_item(id, index.currents(secret)).await?;
        let current = item.as_ref().map(content).transpose()?;
        let state = current_item_state(id, &reference.mac, current.as_ref());
        // A record is written once. One with a later version was edited or repaired.
        if state == CurrentItemState::InSync
            && index.versions.get(&reference.id).is_some_and(|version| *version <= 1)
        {
            return Ok(SyncOutcome::Synced);
        }
        let record = self.vault.client.item(self.vault.id().await?, &reference.id).await?;
        let active = match &record {
            Some(record) => Some((record, content(record)?)),
            None => None,
        };
        let intact = active.as_ref().filter(|(_, content)| content.matches(id, &reference.mac));
        match (state, &active, intact, item, current) {
            (CurrentItemState::Edited, _, intact, Some(item), Some(current))
                if intact.is_none_or(|(_, it)| it.value != current.value) =>
            {
                Ok(SyncOutcome::Changed(external_change(secret, &item, current.value)))
            }
            // The person edited the record instead of the current item.
            (_, Some((record, edited)), None, _, _) => {
                Ok(SyncOutcome::Changed(external_change(secret, record, edited.value.clone())))
            }
            (CurrentItemState::InSync, ..) => Ok(SyncOutcome::Synced),
            (CurrentItemState::Absent, _, Some((_, content)), ..) => {
                self.create_current_item(id, content).await
            }
            (_, _, Some((_, content)), Some(item), Some(current)) => {
                self.update_current_item(id, item, &current, content).await
            }
            _ => {
                tracing::warn!(
                    scope = %secret.scope, name = %secret.name, version = %secret.stored.version,
                    "the record of the active version is gone from 1Password"
                );
                Ok(SyncOutcome::Synced)
            }
        }
    }

    /// The current item, which is the oldest of that title. Younger copies of ours are removed.
    async fn current_item(
        &self,
        id: ValueId<'_>,
        currents: &[ItemSummary],
    ) -> Result<Option<Item>, ConnectError> {
        let Some((oldest, younger)) = currents.split_first() else { return Ok(None) };
        let vault = self.vault.id().await?;
        for summary in younger {
            let Some(item) = self.vault.client.item(vault, &summary.id).await? else { continue };
            tracing::warn!(
                title = summary.title,
                id = summary.id,
                "there are several items with this title; the oldest counts"
            );
            if item.content().is_ok_and(|content| content.is_as_written(id)) {
                self.vault.remove(std::slice::from_ref(&summary.id)).await?;
            }
        }
        self.vault.client.item(vault, &oldest.id).await
    }

    async fn create_current_item(
        &self,
        id: ValueId<'_>,
        content: &ItemContent,
    ) -> Result<SyncOutcome, ConnectError> {
        let Some(seal) = content.seal.clone() else { return Ok(SyncOutcome::Synced) };
        let title = item_title::current(id.scope, id.name);
        let new = NewItem { title, id, value: &content.value, seal };
        let created = self.vault.create(&new).await?;
        self.vault.wait_until_visible(&new, created).await?;
        Ok(SyncOutcome::Pending)
    }

    /// Writes the active version into the current item, which nobody edited.
    async fn update_current_item(
        &self,
        id: ValueId<'_>,
        item: Item,
        current: &ItemContent,
        content: &ItemContent,
    ) -> Result<SyncOutcome, ConnectError> {
        let Some(seal) = content.seal.as_ref() else { return Ok(SyncOutcome::Synced) };
        if let (Some(version), Some(seal)) = (current.version, &current.seal)
            && current.is_as_written(id)
        {
            self.repair_record(ValueId { version, ..id }, &current.value, seal).await?;
        }
        self.replace_if_unchanged(item, id, &content.value, seal).await?;
        Ok(SyncOutcome::Pending)
    }

    /// Before the current item moves on from a version: if the record of that version was edited,
    /// puts the value back into it. A record that is gone was destroyed, and stays so.
    async fn repair_record(
        &self,
        id: ValueId<'_>,
        value: &Redacted,
        seal: &Seal,
    ) -> Result<(), ConnectError> {
        let vault = self.vault.id().await?;
        let title = item_title::record(id.scope, id.name, id.version);
        for summary in self.vault.client.items_titled(vault, &title).await? {
            if summary.version <= 1 {
                continue;
            }
            let Some(record) = self.vault.client.item(vault, &summary.id).await? else { continue };
            let edited = record.content().is_ok_and(|content| {
                content.seal.as_ref() == Some(seal) && content.value != *value
            });
            if edited {
                tracing::warn!(
                    title = summary.title,
                    "the record of a version was edited; its value is restored"
                );
                self.replace_if_unchanged(record, id, value, seal).await?;
            }
        }
        Ok(())
    }

    /// Replaces an item that is still as it was read. Connect offers no condition for that, so the
    /// item is read again before and its version checked after: an edit in between makes it one
    /// higher than expected.
    async fn replace_if_unchanged(
        &self,
        seen: Item,
        id: ValueId<'_>,
        value: &Redacted,
        seal: &Seal,
    ) -> Result<(), ConnectError> {
        let vault = self.vault.id().await?;
        let lock = self.vault.lock_for_write().await?;
        let Some(mut item) = self
            .vault
            .client
            .item(vault, &seen.id)
            .await?
            .filter(|item| item.version == seen.version)
        else {
            return Ok(());
        };
        item.set(id, value, seal);
        let replaced = self.vault.replace(&item, seen.version).await?;
        drop(lock);
        if replaced > seen.version + 1 {
            tracing::warn!(
                title = item.title,
                id = item.id,
                "an edit made at the same moment may have been overwritten; 1Password's item \
                 history has it"
            );
        }
        let timeout = self.vault.visibility_timeout;
        let visible = visibility::until(timeout, || async {
            let item = self.vault.client.item(vault, &seen.id).await?;
            Ok(item.filter(|item| item.version >= replaced))
        });
        visible.await?.map(drop).ok_or_else(|| ConnectError::NotVisible {
            what: format!("item {:?}", item.title),
            timeout,
        })
    }
}

fn key(secret: &ActiveSecret) -> SecretKey {
    (secret.scope.clone(), secret.name.clone())
}

fn external_change(secret: &ActiveSecret, item: &Item, value: Redacted) -> ExternalChange {
    let ActiveSecret { scope, name, stored } = secret.clone();
    let by = item.editor().unwrap_or("1password").to_owned();
    ExternalChange {
        scope,
        name,
        on: stored,
        value,
        by,
        revision: format!("{}:{}", item.id, item.version),
    }
}

fn warn(secret: &ActiveSecret, error: &ConnectError) {
    let version: Version = secret.stored.version;
    let cause = std::error::Error::source(error).map(ToString::to_string).unwrap_or_default();
    tracing::warn!(
        scope = %secret.scope, name = %secret.name, %version, %error, cause,
        "skipped the current item of a secret"
    );
}
