//! What the other replicas changed: PostgreSQL's LISTEN. The ledger is the truth and a notification
//! only says where to look, so whatever may have been missed is read again: after every connection,
//! and now and then.

use std::time::Duration;

use runtime::backoff::{Backoff, random};
use runtime::logs::ErrorChain;
use sqlx::postgres::PgListener;
use tokio::time::{Instant, sleep, timeout_at};

use crate::live::Live;
use crate::repository::{BundleId, CHANNEL, Repository, RepositoryError};

/// How often everything is read again, in case the connection is dead and nobody said so.
const LOOK_AGAIN: Duration = Duration::from_secs(30);

const CONNECT: Duration = Duration::from_secs(10);

#[derive(Debug, thiserror::Error)]
enum ListenError {
    #[error("listen for changes of other replicas")]
    Database(#[from] sqlx::Error),
    #[error("listen for changes of other replicas: no connection within {CONNECT:?}")]
    Slow,
    #[error(transparent)]
    Repository(#[from] RepositoryError),
}

/// Tells what other replicas changed, for ever. On SQLite there are none.
pub(crate) async fn listen(repository: Repository, live: Live) {
    let Some(address) = repository.database().address().cloned() else {
        return std::future::pending().await;
    };
    let address = String::from_utf8_lossy(address.expose().trim_ascii()).into_owned();
    let mut failures = 0;
    loop {
        let began = Instant::now();
        if let Err(error) = follow(&address, &repository, &live).await {
            tracing::warn!(error = %ErrorChain(&error), "hear of other replicas' changes");
        }
        failures = if began.elapsed() > LOOK_AGAIN { 1 } else { failures + 1 };
        sleep(Backoff::NETWORK.delay(failures, random())).await;
    }
}

async fn follow(address: &str, repository: &Repository, live: &Live) -> Result<(), ListenError> {
    let connecting = async {
        let mut listener = PgListener::connect(address).await?;
        listener.listen(CHANNEL).await?;
        Ok::<_, sqlx::Error>(listener)
    };
    let mut listener =
        tokio::time::timeout(CONNECT, connecting).await.map_err(|_| ListenError::Slow)??;
    tell_all(repository, live).await?;
    let mut look_again = Instant::now() + LOOK_AGAIN;
    loop {
        match timeout_at(look_again, listener.try_recv()).await {
            Ok(Ok(Some(notification))) => match notification.payload().parse().map(BundleId) {
                Ok(id) => {
                    if let Some(bundle) = repository.bundle_by_id(id).await? {
                        live.tell(bundle);
                    }
                }
                Err(_) => tell_all(repository, live).await?,
            },
            // The connection was lost; the next call makes another.
            Ok(Ok(None)) => tell_all(repository, live).await?,
            Ok(Err(error)) => return Err(error.into()),
            Err(_) => {
                tell_all(repository, live).await?;
                look_again = Instant::now() + LOOK_AGAIN;
            }
        }
    }
}

async fn tell_all(repository: &Repository, live: &Live) -> Result<(), RepositoryError> {
    for bundle in repository.bundles().await? {
        live.tell(bundle);
    }
    Ok(())
}
