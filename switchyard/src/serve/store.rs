//! The backend that was chosen.

use std::sync::Arc;

use lockbox::embedded::EmbeddedError;
use lockbox::onepassword::SetupError;
use lockbox::vault::ConfigError;
use lockbox::{Database, Embedded, OnePassword, Store, Vault};
use runtime::logs::ErrorChain;
use runtime::tasks::Tasks;

use crate::args::{Needed, ServeArgs, StoreKind};

/// Why the store cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum StoreOpenError {
    /// The rows in the database, or their key.
    #[error(transparent)]
    Embedded(#[from] EmbeddedError),
    /// A flag is missing.
    #[error(transparent)]
    Needed(#[from] Needed),
    /// Vault's configuration.
    #[error(transparent)]
    Vault(#[from] ConfigError),
    /// 1Password's configuration.
    #[error(transparent)]
    OnePassword(#[from] SetupError),
}

/// The store, and the same again where it has keys of its own that can be changed.
pub(super) struct OpenedStore {
    pub(super) store: Arc<dyn Store>,
    pub(super) embedded: Option<Arc<Embedded>>,
}

/// Opens the store, and keeps alive what it needs.
pub(super) async fn open(
    args: &ServeArgs,
    database: Database,
    tasks: &Tasks,
) -> Result<OpenedStore, StoreOpenError> {
    let opened = choose(args, database, tasks).await?;
    look(Arc::clone(&opened.store), tasks);
    Ok(opened)
}

/// Says once, at the start, what is wrong with the store. Nothing waits for it: a server may come
/// up later than we do, and until then whoever reads or writes is told.
fn look(store: Arc<dyn Store>, tasks: &Tasks) {
    let stopping = tasks.stopping();
    tasks.spawn("look at the store", async move {
        if let Some(Err(error)) = stopping.run_until_cancelled(store.health()).await {
            tracing::error!(error = %ErrorChain(&error), "the store cannot be used, and until it can nothing is read or written");
        }
    });
}

async fn choose(
    args: &ServeArgs,
    database: Database,
    tasks: &Tasks,
) -> Result<OpenedStore, StoreOpenError> {
    match args.store.store {
        StoreKind::Embedded => {
            let store = Arc::new(
                Embedded::with_keys(database, &args.keys.keys(&args.data, &args.store)?).await?,
            );
            tracing::info!(keys = store.keys().names(), "store opened");
            Ok(OpenedStore { store: Arc::clone(&store) as Arc<dyn Store>, embedded: Some(store) })
        }
        StoreKind::Vault => {
            let config = args.store.vault()?;
            let store = Arc::new(Vault::open(&config)?);
            let keeper = Arc::clone(&store);
            super::spawn(tasks, "vault token", async move { keeper.keep().await });
            tracing::info!(address = %config.address, mount = %config.mount, prefix = %config.prefix, "store is Vault");
            Ok(OpenedStore { store, embedded: None })
        }
        StoreKind::OnePassword => {
            let config = args.store.onepassword.config()?;
            let store = Arc::new(OnePassword::new(&config)?);
            tracing::info!(host = %config.host, vault = %config.vault, "store is 1Password");
            Ok(OpenedStore { store, embedded: None })
        }
    }
}
