//! The one vault that values are kept in, and the turn to write to it.

use std::time::Duration;

use tokio::sync::{Mutex, MutexGuard, OnceCell};

use super::client::Client;
use super::config::{OnePasswordConfig, SetupError};
use super::error::ConnectError;
use super::item;
use super::settle;
use super::title;

/// How long to wait for others' writes to the vault.
const TURN: Duration = Duration::from_secs(30);

/// A vault behind Connect.
#[derive(Debug)]
pub(super) struct Vault {
    pub(super) client: Client,
    pub(super) settle: Duration,
    name: String,
    id: OnceCell<String>,
    // Writes to one vault at the same time meet in 1Password as conflicts.
    turn: Mutex<()>,
}

impl Vault {
    pub(super) fn new(config: &OnePasswordConfig) -> Result<Self, SetupError> {
        let client = Client::new(config)?;
        Ok(Self {
            client,
            settle: config.settle,
            name: config.vault.clone(),
            id: OnceCell::new(),
            turn: Mutex::default(),
        })
    }

    /// The vault's id. It is looked for once, at first use, since Connect may come up later than we
    /// do.
    pub(super) async fn id(&self) -> Result<&str, ConnectError> {
        self.id.get_or_try_init(|| self.resolve()).await.map(String::as_str)
    }

    /// By id where the text may be one, then by name: a name may have the form of an id.
    async fn resolve(&self) -> Result<String, ConnectError> {
        let vaults = self.client.vaults().await?;
        if title::looks_like_id(&self.name) && vaults.iter().any(|vault| vault.id == self.name) {
            return Ok(self.name.clone());
        }
        let mut named = vaults.into_iter().filter(|vault| vault.name == self.name);
        match (named.next(), named.count()) {
            (Some(vault), 0) => Ok(vault.id),
            (Some(_), more) => Err(ConnectError::VaultTwice(self.name.clone(), more + 1)),
            (None, _) => Err(ConnectError::NoVault(self.name.clone())),
        }
    }

    /// Waits for the turn to write.
    pub(super) async fn turn(&self) -> Result<MutexGuard<'_, ()>, ConnectError> {
        tokio::time::timeout(TURN, self.turn.lock()).await.map_err(|_| ConnectError::Busy(TURN))
    }

    /// The vault as it is now.
    pub(super) async fn now(&self) -> Result<item::Vault, ConnectError> {
        self.client.vault(self.id().await?).await
    }

    /// Whether Connect can do its work: asked with the token, which also wakes a server that nobody
    /// has used yet, and then by what it says of its parts.
    pub(super) async fn check(&self) -> Result<(), ConnectError> {
        self.now().await?;
        self.client.health().await?.judge()
    }

    /// Deletes items and waits until none of them is to be seen.
    pub(super) async fn remove(&self, ids: &[String]) -> Result<(), ConnectError> {
        let vault = self.id().await?;
        let turn = self.turn().await?;
        for id in ids {
            self.client.remove(vault, id).await?;
        }
        drop(turn);
        let gone = settle::until(self.settle, || async {
            let items = self.client.items(vault).await?;
            if items.iter().any(|summary| summary.lives() && ids.contains(&summary.id)) {
                return Ok(None);
            }
            for id in ids {
                if self.client.item(vault, id).await?.is_some() {
                    return Ok(None);
                }
            }
            Ok(Some(()))
        });
        gone.await?.ok_or_else(|| ConnectError::Unsettled {
            what: format!("the deletion of {}", ids.join(", ")),
            limit: self.settle,
        })
    }
}
