//! The vault that values are kept in, and its write lock.

use std::time::Duration;

use tokio::sync::{Mutex, MutexGuard, OnceCell};

use super::client::ConnectClient;
use super::config::{OnePasswordConfig, SetupError};
use super::error::ConnectError;
use super::item;
use super::item_title;
use super::visibility;

/// How long a write waits for other writes to the vault.
const WRITE_LOCK_TIMEOUT: Duration = Duration::from_secs(30);

/// A vault behind Connect.
#[derive(Debug)]
pub(super) struct ConnectVault {
    pub(super) client: ConnectClient,
    pub(super) visibility_timeout: Duration,
    name: String,
    id: OnceCell<String>,
    // Concurrent writes to one vault conflict in 1Password.
    write_lock: Mutex<()>,
}

impl ConnectVault {
    pub(super) fn new(config: &OnePasswordConfig) -> Result<Self, SetupError> {
        let client = ConnectClient::new(config)?;
        Ok(Self {
            client,
            visibility_timeout: config.visibility_timeout,
            name: config.vault.clone(),
            id: OnceCell::new(),
            write_lock: Mutex::default(),
        })
    }

    /// The vault's id. It is resolved at first use, since Connect may start later than this
    /// process.
    pub(super) async fn id(&self) -> Result<&str, ConnectError> {
        self.id.get_or_try_init(|| self.resolve()).await.map(String::as_str)
    }

    /// Tries the text as an id if it looks like one, then as a name: a name may look like an id.
    async fn resolve(&self) -> Result<String, ConnectError> {
        let vaults = self.client.vaults().await?;
        if item_title::looks_like_id(&self.name) && vaults.iter().any(|vault| vault.id == self.name)
        {
            return Ok(self.name.clone());
        }
        let mut named = vaults.into_iter().filter(|vault| vault.name == self.name);
        match (named.next(), named.count()) {
            (Some(vault), 0) => Ok(vault.id),
            (Some(_), more) => Err(ConnectError::AmbiguousVault(self.name.clone(), more + 1)),
            (None, _) => Err(ConnectError::NoVault(self.name.clone())),
        }
    }

    /// Waits for the write lock.
    pub(super) async fn lock_for_write(&self) -> Result<MutexGuard<'_, ()>, ConnectError> {
        tokio::time::timeout(WRITE_LOCK_TIMEOUT, self.write_lock.lock())
            .await
            .map_err(|_| ConnectError::WriteLockTimeout(WRITE_LOCK_TIMEOUT))
    }

    /// Fetches the vault's metadata.
    pub(super) async fn fetch(&self) -> Result<item::VaultInfo, ConnectError> {
        self.client.vault(self.id().await?).await
    }

    /// Checks that Connect works: first a call with the token, which also initialises a server that
    /// nobody has used yet, then the health of its components.
    pub(super) async fn check(&self) -> Result<(), ConnectError> {
        self.fetch().await?;
        self.client.health().await?.check()
    }

    /// Deletes items and waits until none of them is visible.
    pub(super) async fn remove(&self, ids: &[String]) -> Result<(), ConnectError> {
        let vault = self.id().await?;
        let lock = self.lock_for_write().await?;
        for id in ids {
            self.client.remove(vault, id).await?;
        }
        drop(lock);
        let gone = visibility::until(self.visibility_timeout, || async {
            let items = self.client.items(vault).await?;
            if items.iter().any(|summary| summary.is_active() && ids.contains(&summary.id)) {
                return Ok(None);
            }
            for id in ids {
                if self.client.item(vault, id).await?.is_some() {
                    return Ok(None);
                }
            }
            Ok(Some(()))
        });
        gone.await?.ok_or_else(|| ConnectError::NotVisible {
            what: format!("the deletion of {}", ids.join(", ")),
            timeout: self.visibility_timeout,
        })
    }
}
