//! Publishes the key names of each bundle in the namespaces bound to it, for the webhook.
//!
//! Names and numbers only. The desired state follows from the ledger and the namespaces' labels. It
//! is reconciled after every change of either, and compared with the actual state periodically.

mod directory;
mod plan;

use std::collections::{BTreeMap, HashMap};
use std::path::PathBuf;
use std::time::Duration;

use contract::secret_bundle::Status;
use runtime::backoff::Backoff;
use runtime::logs::ErrorChain;
use tokio::time::{Instant, sleep, sleep_until};

use crate::bundle_updates::BundleUpdates;
use crate::cluster::{Cluster, ClusterError};
use crate::namespaces::Namespaces;
use crate::repository::{BundleId, Repository, RepositoryError};
use crate::secret_bundle_ref::SecretBundleRef;

pub use directory::DirectoryError;
pub use plan::{PublishStep, desired, steps};

/// How often the actual state is read again, in case someone else changed it.
const RESYNC_INTERVAL: Duration = Duration::from_secs(300);

/// The pause after a reconciliation: what changes in it is published together.
const PAUSE: Duration = Duration::from_millis(100);

/// The published bundles. The status is `None` if it is missing or malformed.
type PublishedBundles = BTreeMap<SecretBundleRef, Option<Status>>;

/// Where bundles are published.
#[derive(Clone, Debug)]
pub enum BundleSink {
    /// `SecretBundle` objects.
    Cluster(Cluster),
    /// Files `<namespace>/<bundle>.json`.
    Directory(PathBuf),
}

/// Why reconciliation failed.
#[derive(Debug, thiserror::Error)]
enum PublishError {
    #[error(transparent)]
    Cluster(#[from] ClusterError),
    #[error(transparent)]
    Directory(#[from] DirectoryError),
    #[error(transparent)]
    Repository(#[from] RepositoryError),
    #[error("publish bundle: the process is stopping")]
    Stopping,
}

/// Reconciles the published bundles with the ledger.
#[derive(Clone, Debug)]
pub struct Publisher {
    sink: BundleSink,
    repository: Repository,
    namespaces: Namespaces,
    updates: BundleUpdates,
    keys: HashMap<BundleId, (u64, Status)>,
}

impl Publisher {
    /// A publisher of the bundles in `repository` to `sink`.
    #[must_use]
    pub fn new(
        sink: BundleSink,
        repository: Repository,
        namespaces: Namespaces,
        updates: BundleUpdates,
    ) -> Self {
        Self { sink, repository, namespaces, updates, keys: HashMap::new() }
    }

    /// Runs until cancelled.
    pub async fn run(mut self) {
        let mut any = self.updates.subscribe_all();
        let mut published = None;
        let mut resync_at = Instant::now();
        let mut delays = Backoff::NETWORK.delays();
        loop {
            if resync_at <= Instant::now() {
                published = None;
                resync_at = Instant::now() + RESYNC_INTERVAL;
            }
            any.mark_unchanged();
            let next_attempt = match self.reconcile(&mut published).await {
                Ok(()) => {
                    delays.reset();
                    resync_at
                }
                Err(error) => {
                    let delay = delays.next_delay();
                    let failures = delays.failures();
                    tracing::warn!(error = %ErrorChain(&error), failures, "publish bundles");
                    resync_at.min(Instant::now() + delay)
                }
            };
            sleep(PAUSE).await;
            tokio::select! {
                Ok(()) = any.changed() => {}
                () = self.namespaces.changed() => {}
                () = sleep_until(next_attempt) => {}
            }
        }
    }

    /// Applies all steps, even if some fail.
    async fn reconcile(
        &mut self,
        published: &mut Option<PublishedBundles>,
    ) -> Result<(), PublishError> {
        let desired = desired(&self.statuses().await?, &self.namespaces.all());
        let mut actual = match published.take() {
            Some(published) => published,
            None => self.sink.read().await?,
        };
        let mut failed = None;
        for step in steps(&desired, &actual) {
            if let Err(error) = self.sink.apply(&step).await {
                failed = Some(error);
                continue;
            }
            match step {
                PublishStep::Put(key, status) => drop(actual.insert(key, Some(status))),
                PublishStep::Remove(key) => drop(actual.remove(&key)),
            }
        }
        *published = Some(actual);
        failed.map_or(Ok(()), Err)
    }

    /// The status of each bundle. Only changed bundles are read from the ledger.
    async fn statuses(&mut self) -> Result<Vec<(contract::Scope, Status)>, RepositoryError> {
        let bundles = self.repository.bundles().await?;
        let mut all = Vec::with_capacity(bundles.len());
        for bundle in bundles {
            let status = match self.keys.get(&bundle.id) {
                Some((revision, status)) if *revision == bundle.revision => status.clone(),
                _ => {
                    let generation = bundle.rollout.stable;
                    let members = match self.repository.members(&bundle, generation).await {
                        Ok(members) => members,
                        // It is reported. No pod gets it, so none is to be created with it.
                        Err(RepositoryError::Forged(_)) => continue,
                        Err(error) => return Err(error),
                    };
                    let keys = members.into_keys().collect();
                    let status = Status::new(keys, Some(bundle.scope.clone()), Some(generation));
                    self.keys.insert(bundle.id, (bundle.revision, status.clone()));
                    status
                }
            };
            all.push((bundle.scope, status));
        }
        Ok(all)
    }
}

impl BundleSink {
    async fn read(&self) -> Result<PublishedBundles, PublishError> {
        match self {
            Self::Cluster(cluster) => Ok(cluster.secret_bundles().await?),
            Self::Directory(path) => {
                let path = path.clone();
                on_disk(move || directory::read(&path)).await
            }
        }
    }

    async fn apply(&self, step: &PublishStep) -> Result<(), PublishError> {
        match (self, step) {
            (Self::Cluster(cluster), PublishStep::Put(key, status)) => {
                match cluster.apply_secret_bundle(key, status).await {
                    // The namespace was just deleted. The watch will report it.
                    Err(error) if error.is_not_found() => Ok(()),
                    other => Ok(other?),
                }
            }
            (Self::Cluster(cluster), PublishStep::Remove(key)) => {
                Ok(cluster.delete_secret_bundle(key).await?)
            }
            (Self::Directory(path), PublishStep::Put(key, status)) => {
                let (path, key, status) = (path.clone(), key.clone(), status.clone());
                on_disk(move || directory::put(&path, &key, &status)).await
            }
            (Self::Directory(path), PublishStep::Remove(key)) => {
                let (path, key) = (path.clone(), key.clone());
                on_disk(move || directory::remove(&path, &key)).await
            }
        }
    }
}

/// Runs what waits for a disk on a thread that may block.
async fn on_disk<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, DirectoryError> + Send + 'static,
) -> Result<T, PublishError> {
    let done = tokio::task::spawn_blocking(work).await;
    Ok(done.map_err(|_| PublishError::Stopping)??)
}
