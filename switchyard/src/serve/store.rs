//! Opens the configured store.

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
    /// The embedded store cannot be opened.
    #[error(transparent)]
    Embedded(#[from] EmbeddedError),
    /// A required flag is missing.
    #[error(transparent)]
    Needed(#[from] Needed),
    /// Vault's configuration is invalid.
    #[error(transparent)]
    Vault(#[from] ConfigError),
    /// 1Password's configuration is invalid.
    #[error(transparent)]
    OnePassword(#[from] SetupError),
}

/// The store. `embedded` is set if it is the embedded one, whose keys can be rotated.
pub(super) struct OpenedStore {
    pub(super) store: Arc<dyn Store>,
    pub(super) embedded: Option<Arc<Embedded>>,
}

/// Opens the store and starts the tasks that it needs.
pub(super) async fn open(
    args: &ServeArgs,
    database: Database,
    tasks: &Tasks,
) -> Result<OpenedStore, StoreOpenError> {
    let opened = choose(args, database, tasks).await?;
    check_health(Arc::clone(&opened.store), tasks);
    Ok(opened)
}

/// Logs at start whether the store is unhealthy. Nothing waits for it: the store's server may start
/// later, and until then each request fails with the reason.
fn check_health(store: Arc<dyn Store>, tasks: &Tasks) {
    let stopping = tasks.stopping();
    tasks.spawn("store health check", async move {
        if let Some(Err(error)) = stopping.run_until_cancelled(store.health()).await {
            tracing::error!(error = %ErrorChain(&error), "the store cannot be used: reads and \
                writes fail until it can");
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
            let token_renewal = Arc::clone(&store);
            super::spawn(tasks, "vault token", async move { token_renewal.keep().await });
            tracing::info!(address = %config.address, mount = %config.mount,
                prefix = %config.prefix, "store is Vault");
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
