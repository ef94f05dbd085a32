//! Our own CAs, put where the webhook finds them: it writes them into every agent's configuration.

use std::path::PathBuf;
use std::time::Duration;

use certs::bundle::TrustBundle;
use runtime::backoff::{Backoff, random};
use runtime::logs::ErrorChain;
use tokio::sync::watch;
use tokio::time::sleep;

use crate::cluster::{Cluster, ClusterError, TRUST_KEY};
use crate::files::{self, Readers};

/// How often the target is looked at, for what somebody else changed.
const RESYNC_INTERVAL: Duration = Duration::from_secs(60);

/// Where the CAs are put.
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

/// Keeps the CAs of `bundle` in their target, for ever.
pub(crate) async fn publish(target: TrustTarget, mut bundle: watch::Receiver<TrustBundle>) {
    let mut failures = 0u32;
    loop {
        let ca = bundle.borrow_and_update().clone();
        let put = if ca.is_empty() { Ok(()) } else { target.put(ca.as_pem()).await };
        let wait = match put {
            Ok(()) => {
                failures = 0;
                RESYNC_INTERVAL
            }
            Err(error) => {
                tracing::warn!(error = %ErrorChain(&error), failures, "publish trust bundle");
                failures = failures.saturating_add(1);
                Backoff::NETWORK.delay(failures, random())
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
                if std::fs::read(&path).is_ok_and(|said| said == ca.as_bytes()) {
                    return Ok(());
                }
                files::publish(&path, ca.as_bytes(), Readers::All)
                    .map_err(|source| TrustError::File { path, source })
            }
        }
    }
}
