//! Follows changes made by other replicas, with PostgreSQL's LISTEN. The ledger is the source of
//! truth and a notification only names a changed bundle. Everything is read again after each
//! reconnect and periodically, in case a notification was lost.

use std::time::Duration;

use runtime::backoff::Backoff;
use runtime::logs::ErrorChain;
use sqlx::postgres::PgListener;
use tokio::time::{Instant, sleep, timeout_at};

use crate::bundle_updates::BundleUpdates;
use crate::repository::{BundleId, CHANNEL, Repository, RepositoryError};

/// How often everything is read again, in case the connection is dead without an error.
const RESYNC_INTERVAL: Duration = Duration::from_secs(30);

/// The time limit for connecting.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

#[derive(Debug, thiserror::Error)]
enum ListenError {
    #[error("listen for changes of other replicas")]
    Database(#[from] sqlx::Error),
    #[error("listen for changes of other replicas: no connection within {CONNECT_TIMEOUT:?}")]
    Slow,
    #[error(transparent)]
    Repository(#[from] RepositoryError),
}

/// Publishes other replicas' changes to `live`. Never returns; on SQLite it does nothing.
pub(crate) async fn listen(repository: Repository, updates: BundleUpdates) {
    let Some(address) = repository.database().address().cloned() else {
        return std::future::pending().await;
    };
    let address = String::from_utf8_lossy(address.expose()).into_owned();
    let mut delays = Backoff::NETWORK.delays();
    loop {
        let began = Instant::now();
        if let Err(error) = follow(&address, &repository, &updates).await {
            tracing::warn!(error = %ErrorChain(&error), "follow changes of other replicas");
        }
        if began.elapsed() > RESYNC_INTERVAL {
            delays.reset();
        }
        sleep(delays.next_delay()).await;
    }
}

async fn follow(
    address: &str,
    repository: &Repository,
    updates: &BundleUpdates,
) -> Result<(), ListenError> {
    let connecting = async {
        let mut listener = PgListener::connect(address).await?;
        listener.listen(CHANNEL).await?;
        Ok::<_, sqlx::Error>(listener)
    };
    let mut listener = tokio::time::timeout(CONNECT_TIMEOUT, connecting)
        .await
        .map_err(|_| ListenError::Slow)??;
    resync(repository, updates).await?;
    let mut resync_at = Instant::now() + RESYNC_INTERVAL;
    loop {
        match timeout_at(resync_at, listener.try_recv()).await {
            Ok(Ok(Some(notification))) => match notification.payload().parse().map(BundleId) {
                Ok(id) => {
                    if let Some(bundle) = repository.bundle_by_id(id).await? {
                        updates.publish(bundle);
                    }
                }
                Err(_) => resync(repository, updates).await?,
            },
            // The connection was lost; the next call makes another.
            Ok(Ok(None)) => resync(repository, updates).await?,
            Ok(Err(error)) => return Err(error.into()),
            Err(_) => {
                resync(repository, updates).await?;
                resync_at = Instant::now() + RESYNC_INTERVAL;
            }
        }
    }
}

async fn resync(repository: &Repository, updates: &BundleUpdates) -> Result<(), RepositoryError> {
    for bundle in repository.bundles().await? {
        updates.publish(bundle);
    }
    Ok(())
}
