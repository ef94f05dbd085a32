//! Creating and replacing an item exactly once, even if the answer is lost or Connect shows the
//! item late.

use std::time::Duration;

use contract::Redacted;

use super::error::ConnectError;
use super::item::{Item, ItemSummary};
use super::mac::{ItemReference, Seal};
use super::vault::ConnectVault;
use super::visibility;
use crate::value::ValueId;

/// How often an item is created or replaced, each time after looking for the earlier attempt.
const MAX_ATTEMPTS: u32 = 5;

/// An item to create.
pub(super) struct NewItem<'a> {
    pub(super) title: String,
    pub(super) id: ValueId<'a>,
    pub(super) value: &'a Redacted,
    pub(super) seal: Seal,
}

impl NewItem<'_> {
    fn is_same_write(&self, item: &Item) -> bool {
        item.title == self.title
            && item.content().is_ok_and(|content| {
                content.seal.as_ref() == Some(&self.seal) && content.value == *self.value
            })
    }
}

impl ConnectVault {
    /// Creates an item and returns its id. Connect has accepted it then, but may not show it yet.
    pub(super) async fn create(&self, new: &NewItem<'_>) -> Result<String, ConnectError> {
        let vault = self.id().await?;
        let item = Item::new(vault, new.title.clone(), new.id, new.value, &new.seal);
        let _lock = self.lock_for_write().await?;
        let mut attempts = 1;
        loop {
            let error = match self.client.create(vault, &item).await {
                Ok(created) => return Ok(created.id),
                Err(error) => error,
            };
            if !error.may_have_succeeded() {
                return Err(error);
            }
            // The answer is lost. This is long enough for a created item to become visible.
            let timeout = self.visibility_timeout / 2;
            if let Some(id) = visibility::until(timeout, || self.find_created(new)).await? {
                return Ok(id);
            }
            if attempts == MAX_ATTEMPTS {
                return Err(error);
            }
            attempts += 1;
        }
    }

    /// Waits until a created item is visible by its id and in the list, and returns the reference.
    /// If one write made two items, the older one stays.
    pub(super) async fn wait_until_visible(
        &self,
        new: &NewItem<'_>,
        id: String,
    ) -> Result<ItemReference, ConnectError> {
        let vault = self.id().await?;
        let timeout = self.visibility_timeout;
        let visible = visibility::until(timeout, || async {
            let Some(item) = self.client.item(vault, &id).await? else { return Ok(None) };
            if !new.is_same_write(&item) {
                return Ok(None);
            }
            let same_title = self.client.items_titled(vault, &new.title).await?;
            Ok(same_title.iter().any(|summary| summary.id == id).then_some(same_title))
        });
        let same_title = visible.await?.ok_or_else(|| ConnectError::NotVisible {
            what: format!("item {:?}", new.title),
            timeout,
        })?;
        let id =
            if same_title.len() > 1 { self.keep_oldest(new, same_title, id).await? } else { id };
        Ok(ItemReference { id, mac: new.seal.mac.clone() })
    }

    /// Replaces an item that was read at version `seen`, and returns its version now. If the answer
    /// is lost, it looks first: repeating blindly would overwrite what a person typed since.
    pub(super) async fn replace(&self, item: &Item, seen: i64) -> Result<i64, ConnectError> {
        let vault = self.id().await?;
        let mut attempts = 1;
        loop {
            let error = match self.client.replace(vault, item).await {
                Ok(replaced) => return Ok(replaced.version),
                Err(error) => error,
            };
            if !error.may_have_succeeded() || attempts == MAX_ATTEMPTS {
                return Err(error);
            }
            attempts += 1;
            let changed = visibility::until(self.visibility_timeout / 2, || async {
                let now = self.client.item(vault, &item.id).await?.map(|item| item.version);
                Ok(now.filter(|version| *version > seen))
            });
            if let Some(version) = changed.await? {
                return Ok(version);
            }
        }
    }

    async fn find_created(&self, new: &NewItem<'_>) -> Result<Option<String>, ConnectError> {
        Ok(self.all_created(new).await?.into_iter().next())
    }

    /// The visible items that this write created, the oldest first.
    async fn all_created(&self, new: &NewItem<'_>) -> Result<Vec<String>, ConnectError> {
        let same_title = self.client.items_titled(self.id().await?, &new.title).await?;
        self.copies(new, &same_title).await
    }

    /// The items of one title that this write created, the oldest first.
    async fn copies(
        &self,
        new: &NewItem<'_>,
        same_title: &[ItemSummary],
    ) -> Result<Vec<String>, ConnectError> {
        let vault = self.id().await?;
        let mut copies = Vec::new();
        for summary in same_title {
            let item = self.client.item(vault, &summary.id).await?;
            if item.is_some_and(|item| new.is_same_write(&item)) {
                copies.push(summary.id.clone());
            }
        }
        Ok(copies)
    }

    async fn keep_oldest(
        &self,
        new: &NewItem<'_>,
        same_title: Vec<ItemSummary>,
        id: String,
    ) -> Result<String, ConnectError> {
        let copies = self.copies(new, &same_title).await?;
        if copies.len() < same_title.len() {
            // Another writer's. It died before its reference reached the ledger, or is about to
            // learn that it lost.
            tracing::warn!(
                title = new.title,
                others = same_title.len() - copies.len(),
                "another write has the same title"
            );
        }
        let Some((oldest, younger)) = copies.split_first() else { return Ok(id) };
        if !younger.is_empty() {
            tracing::warn!(
                title = new.title,
                copies = younger.len(),
                "one write created several items; the oldest stays"
            );
            self.remove(younger).await?;
        }
        Ok(oldest.clone())
    }

    /// Removes what a failed write created, as far as it can be found in time. No reference names
    /// what remains.
    pub(super) async fn roll_back(&self, new_items: &[NewItem<'_>], created: &[String]) {
        let timeout = self.visibility_timeout * 2;
        if tokio::time::timeout(timeout, self.remove_created(new_items, created)).await.is_err() {
            tracing::warn!(
                titles = titles(new_items),
                ?timeout,
                "items of a failed write were not removed in time"
            );
        }
    }

    async fn remove_created(&self, new_items: &[NewItem<'_>], created: &[String]) {
        let mut ids = created.to_vec();
        for new in new_items {
            match self.all_created(new).await {
                Ok(copies) => ids.extend(copies),
                // Looking for the others would fail too.
                Err(error) => {
                    let titles = titles(new_items);
                    tracing::warn!(titles, %error, "cannot look for the items of a failed write");
                    break;
                }
            }
        }
        ids.sort();
        ids.dedup();
        if ids.is_empty() {
            return;
        }
        if let Err(error) = self.remove(&ids).await {
            let items = ids.join(",");
            tracing::warn!(items, %error, "some items of a failed write were not removed");
        }
    }

    /// How long a read waits for an item that another server may not show yet.
    pub(super) fn read_retry_timeout(&self) -> Duration {
        self.visibility_timeout.min(Duration::from_secs(1))
    }
}

fn titles(new_items: &[NewItem<'_>]) -> String {
    new_items.iter().map(|new| new.title.as_str()).collect::<Vec<_>>().join(", ")
}
