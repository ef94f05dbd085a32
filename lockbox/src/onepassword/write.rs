//! Making an item once, and replacing one once: also where the answer is lost, or Connect shows it
//! late.

use std::time::Duration;

use contract::Redacted;

use super::error::ConnectError;
use super::item::{Item, Summary};
use super::proof::{ItemReference, Place, Seal};
use super::settle;
use super::vault::Vault;

/// How often an item is tried to be made or replaced, each time after looking for the one before.
const TRIES: u32 = 5;

/// An item to make.
pub(super) struct New<'a> {
    pub(super) title: String,
    pub(super) place: Place<'a>,
    pub(super) value: &'a Redacted,
    pub(super) seal: Seal,
}

impl New<'_> {
    fn is_it(&self, item: &Item) -> bool {
        item.title == self.title
            && item.content().is_ok_and(|content| {
                content.seal.as_ref() == Some(&self.seal) && content.value == *self.value
            })
    }
}

impl Vault {
    /// Makes an item. When this returns, Connect has taken it; it may not be to be seen yet.
    pub(super) async fn make(&self, new: &New<'_>) -> Result<String, ConnectError> {
        let vault = self.id().await?;
        let item = Item::new(vault, new.title.clone(), new.place, new.value, &new.seal);
        let _turn = self.turn().await?;
        let mut tries = 1;
        loop {
            let error = match self.client.create(vault, &item).await {
                Ok(made) => return Ok(made.id),
                Err(error) => error,
            };
            if !error.maybe_done() {
                return Err(error);
            }
            // The answer is lost. Long enough for an item that was made to show.
            if let Some(id) = settle::until(self.settle / 2, || self.find(new)).await? {
                return Ok(id);
            }
            if tries == TRIES {
                return Err(error);
            }
            tries += 1;
        }
    }

    /// Waits until an item that was made can be seen by its id and in the list, and answers with
    /// the reference. Where one write made two items, the older one stays.
    pub(super) async fn see(
        &self,
        new: &New<'_>,
        id: String,
    ) -> Result<ItemReference, ConnectError> {
        let vault = self.id().await?;
        let limit = self.settle;
        let seen = settle::until(limit, || async {
            let Some(item) = self.client.item(vault, &id).await? else { return Ok(None) };
            if !new.is_it(&item) {
                return Ok(None);
            }
            let titled = self.client.titled(vault, &new.title).await?;
            Ok(titled.iter().any(|summary| summary.id == id).then_some(titled))
        });
        let titled = seen.await?.ok_or_else(|| ConnectError::Unsettled {
            what: format!("item {:?}", new.title),
            limit,
        })?;
        let id = if titled.len() > 1 { self.keep_oldest(new, titled, id).await? } else { id };
        Ok(ItemReference { id, code: new.seal.code.clone() })
    }

    /// Replaces an item that was seen at that version, and answers with the version that it has
    /// now. Where the answer is lost, whoever repeats it without a look overwrites what a person
    /// typed since.
    pub(super) async fn replace(&self, item: &Item, seen: i64) -> Result<i64, ConnectError> {
        let vault = self.id().await?;
        let mut tries = 1;
        loop {
            let error = match self.client.replace(vault, item).await {
                Ok(replaced) => return Ok(replaced.version),
                Err(error) => error,
            };
            if !error.maybe_done() || tries == TRIES {
                return Err(error);
            }
            tries += 1;
            let moved = settle::until(self.settle / 2, || async {
                let now = self.client.item(vault, &item.id).await?.map(|item| item.version);
                Ok(now.filter(|version| *version > seen))
            });
            if let Some(version) = moved.await? {
                return Ok(version);
            }
        }
    }

    async fn find(&self, new: &New<'_>) -> Result<Option<String>, ConnectError> {
        Ok(self.made(new).await?.into_iter().next())
    }

    /// The items that this write made, as far as they show, the oldest first.
    async fn made(&self, new: &New<'_>) -> Result<Vec<String>, ConnectError> {
        self.copies(new, &self.client.titled(self.id().await?, &new.title).await?).await
    }

    /// The items among those of one title that this write made, the oldest first.
    async fn copies(&self, new: &New<'_>, titled: &[Summary]) -> Result<Vec<String>, ConnectError> {
        let vault = self.id().await?;
        let mut copies = Vec::new();
        for summary in titled {
            if self.client.item(vault, &summary.id).await?.is_some_and(|item| new.is_it(&item)) {
                copies.push(summary.id.clone());
            }
        }
        Ok(copies)
    }

    async fn keep_oldest(
        &self,
        new: &New<'_>,
        titled: Vec<Summary>,
        id: String,
    ) -> Result<String, ConnectError> {
        let copies = self.copies(new, &titled).await?;
        if copies.len() < titled.len() {
            // Another writer's, who may have died before anybody heard of it, or is about to be
            // told that it lost.
            tracing::warn!(
                title = new.title,
                others = titled.len() - copies.len(),
                "another write has the same title"
            );
        }
        let Some((oldest, younger)) = copies.split_first() else { return Ok(id) };
        if !younger.is_empty() {
            tracing::warn!(
                title = new.title,
                copies = younger.len(),
                "one write made several items; the oldest stays"
            );
            self.remove(younger).await?;
        }
        Ok(oldest.clone())
    }

    /// Takes back what was made of a write that failed, as far as it can be found in time. What
    /// stays is referred to by nothing.
    pub(super) async fn undo(&self, news: &[New<'_>], made: &[String]) {
        let limit = self.settle * 2;
        if tokio::time::timeout(limit, self.take_back(news, made)).await.is_err() {
            tracing::warn!(
                titles = titles(news),
                ?limit,
                "items of a failed write not taken back in time"
            );
        }
    }

    async fn take_back(&self, news: &[New<'_>], made: &[String]) {
        let mut ids = made.to_vec();
        for new in news {
            match self.made(new).await {
                Ok(copies) => ids.extend(copies),
                // The others would be asked for in vain too.
                Err(error) => {
                    tracing::warn!(titles = titles(news), %error, "items of a failed write not looked for");
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
            tracing::warn!(items = ids.join(","), %error, "items of a failed write not all taken back");
        }
    }

    /// How long an operation that reads may wait for an item that another server has not shown yet.
    pub(super) fn patience(&self) -> Duration {
        self.settle.min(Duration::from_secs(1))
    }
}

fn titles(news: &[New<'_>]) -> String {
    news.iter().map(|new| new.title.as_str()).collect::<Vec<_>>().join(", ")
}
