//! The backend's state, and finding the items of a secret.

use std::time::Duration;

use contract::{Scope, SecretName, Version};
use futures_util::{StreamExt as _, TryStreamExt as _};
use tokio::sync::Mutex;

use super::config::{OnePasswordConfig, SetupError};
use super::error::ConnectError;
use super::item::{Item, ItemContent, ItemSummary};
use super::item_title;
use super::sync_state::SyncState;
use super::vault::ConnectVault;

/// How many calls run at a time.
const MAX_CONCURRENT_CALLS: usize = 8;

/// Values in a 1Password vault.
#[derive(Debug)]
pub struct OnePassword {
    pub(super) vault: ConnectVault,
    pub(super) sync_state: Mutex<SyncState>,
    pub(super) poll_interval: Duration,
}

impl OnePassword {
    /// Sets up the backend. Nothing is sent yet; [`Store::health`](crate::Store::health) checks the
    /// connection.
    ///
    /// # Errors
    /// If the configuration is invalid.
    pub fn new(config: &OnePasswordConfig) -> Result<Self, SetupError> {
        Ok(Self {
            vault: ConnectVault::new(config)?,
            sync_state: Mutex::default(),
            poll_interval: config.poll_interval,
        })
    }

    /// All items of a secret: its records by version, newest first, and for one version the oldest
    /// item first; then its current items.
    pub(super) async fn items(
        &self,
        scope: &Scope,
        name: &SecretName,
    ) -> Result<(Vec<(Version, ItemSummary)>, Vec<ItemSummary>), ConnectError> {
        let current_title = item_title::current(scope, name);
        let (mut records, mut currents) = (Vec::new(), Vec::new());
        for summary in self.vault.client.items(self.vault.id().await?).await? {
            if !summary.is_active() {
                continue;
            }
            match item_title::version_of(&summary.title, scope, name) {
                Some(version) => records.push((version, summary)),
                None if summary.title == current_title => currents.push(summary),
                None => {}
            }
        }
        records.sort_by(|(a, old), (b, new)| b.cmp(a).then_with(|| old.age().cmp(&new.age())));
        Ok((records, currents))
    }
}

/// The content of an item, or an error that names the item.
pub(super) fn content(item: &Item) -> Result<ItemContent, ConnectError> {
    item.content().map_err(|source| ConnectError::Item {
        title: item.title.clone(),
        id: item.id.clone(),
        source,
    })
}

/// Runs calls a few at a time. Returns their results in order, or the first error.
pub(super) async fn run_concurrently<T>(
    calls: Vec<impl Future<Output = Result<T, ConnectError>>>,
) -> Result<Vec<T>, ConnectError> {
    futures_util::stream::iter(calls).buffered(MAX_CONCURRENT_CALLS).try_collect().await
}
