//! Opens the configured store.

use std::sync::Arc;

use lockbox::embedded::EmbeddedError;
use lockbox::onepassword::SetupError;
use lockbox::vault::ConfigError;
use lockbox::{Capabilities, Database, Embedded, OnePassword, Store, Vault};
use runtime::logs::ErrorChain;
use runtime::tasks::Tasks;

use crate::args::{MissingFlag, ServeArgs, StoreKind};

/// Why the store cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum StoreOpenError {
    /// The embedded store cannot be opened.
    #[error(transparent)]
    Embedded(#[from] EmbeddedError),
    /// A required flag is missing.
    #[error(transparent)]
    MissingFlag(#[from] MissingFlag),
    /// Vault's configuration is invalid.
    #[error(transparent)]
    Vault(#[from] ConfigError),
    /// 1Password's configuration is invalid.
    #[error(transparent)]
    OnePassword(#[from] SetupError),
    /// The store lacks a capability that nothing can substitute.
    #[error("open store: {0}")]
    Unsupported(&'static str),
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
    for substitute in check_capabilities(opened.store.capabilities())? {
        tracing::info!(substitute, "the store lacks a capability");
    }
    check_health(Arc::clone(&opened.store), tasks);
    Ok(opened)
}

/// Refuses a store that cannot hold what switchyard promises, and names what switchyard itself does
/// in place of other missing capabilities.
fn check_capabilities(of: Capabilities) -> Result<Vec<&'static str>, StoreOpenError> {
    // Agents and rollbacks read older versions, and a write is read as soon as it is acknowledged.
    if !of.versions {
        return Err(StoreOpenError::Unsupported("it does not keep older versions"));
    }
    if !of.read_your_writes {
        return Err(StoreOpenError::Unsupported("a read may miss an acknowledged write"));
    }
    let mut substitutes = Vec::new();
    if !of.compare_and_set {
        substitutes.push("no compare-and-set: the ledger's lock detects concurrent writes");
    }
    if !of.atomic_writes {
        substitutes.push("no atomic writes: the ledger refers to all values of a write or to none");
    }
    Ok(substitutes)
}

/// Logs at start whether the store is unhealthy. Its server may start later: the start waits for
/// the ledger's key, and afterwards each request fails with the reason.
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
            super::spawn(
                tasks,
                "vault token",
                async move { token_renewal.keep_token_alive().await },
            );
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

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: Capabilities = Capabilities {
        versions: true,
        compare_and_set: true,
        read_your_writes: true,
        atomic_writes: true,
    };

    #[test]
    fn missing_capabilities_are_refused_or_substituted() {
        assert!(check_capabilities(ALL).unwrap().is_empty());
        for refused in [
            Capabilities { versions: false, ..ALL },
            Capabilities { read_your_writes: false, ..ALL },
        ] {
            assert!(matches!(check_capabilities(refused), Err(StoreOpenError::Unsupported(_))));
        }
        let weak = Capabilities { compare_and_set: false, atomic_writes: false, ..ALL };
        assert_eq!(check_capabilities(weak).unwrap().len(), 2);
    }
}
