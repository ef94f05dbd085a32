//! Publishes our CAs for the webhook, which writes them into every agent's configuration.

use std::path::PathBuf;
use std::time::Duration;

use certs::bundle::TrustBundle;
use runtime::backoff::Backoff;
use runtime::logs::ErrorChain;
use tokio::sync::watch;
use tokio::time::sleep;

use crate::cluster::{Cluster, ClusterError, TRUST_KEY};
use crate::files::{self, Readers};

/// How often the target is checked, in case someone else changed it.
const RESYNC_INTERVAL: Duration = Duration::from_secs(60);

/// Where the CAs are published.
#[derive(Clone, Debug)]
pub(crate) enum TrustTarget {
    /// The ConfigMap `enclii-trust`.
    Cluster(Cluster),
    /// The file `ca.crt` in a directory.
    Directory(PathBuf),
}

#[derive(Debug, thiserror::Error)]
enum TrustError {
    #[error(transparent)]
    Cluster(#[from] ClusterError),
    #[error("write {path}")]
    File { path: PathBuf, source: std::io::Error },
}

/// Keeps the published CAs equal to `bundle`. Never returns.
pub(crate) async fn publish(target: TrustTarget, mut bundle: watch::Receiver<TrustBundle>) {
    let mut delays = Backoff::NETWORK.delays();
    loop {
        let ca = bundle.borrow_and_update().clone();
        let put = if ca.is_empty() { Ok(()) } else { target.put(ca.as_pem()).await };
        let wait = match put {
            Ok(()) => {
                delays.reset();
                RESYNC_INTERVAL
            }
            Err(error) => {
                let delay = delays.next_delay();
                let failures = delays.failures();
                tracing::warn!(error = %ErrorChain(&error), failures, "publish trust bundle");
                delay
            }
        };
        tokio::select! {
            () = sleep(wait) => {}
            Ok(()) = bundle.changed() => {}
        }
    }
}

impl TrustTarget {
    async fn put(&self, ca: &str) -> Result<(), TrustError> {
        match self {
            Self::Cluster(cluster) => Ok(cluster.put_trust(ca).await?),
            Self::Directory(directory) => {
                let path = directory.join(TRUST_KEY);
                if std::fs::read(&path).is_ok_and(|found| found == ca.as_bytes()) {
                    return Ok(());
                }
                files::write(&path, ca.as_bytes(), Readers::All)
                    .map_err(|source| TrustError::File { path, source })
            }
        }
    }
}
