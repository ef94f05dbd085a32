//! Announces in each namespace which keys its bundles have, so that the webhook can know them.
//!
//! Names and numbers only. What should be published follows from the ledger and the namespaces'
//! labels; it is put right at every change of either, and all of it is looked over now and then.

mod directory;
mod plan;

use std::collections::{BTreeMap, HashMap};
use std::path::PathBuf;
use std::time::Duration;

use contract::SecretName;
use contract::secret_bundle::Status;
use runtime::backoff::{Backoff, random};
use runtime::logs::ErrorChain;
use tokio::time::{Instant, sleep_until};

use crate::cluster::{Cluster, ClusterError};
use crate::live::Live;
use crate::namespaces::Namespaces;
use crate::repository::{BundleId, Repository, RepositoryError};

pub use directory::DirectoryError;
pub use plan::{PublishStep, SecretBundleKey, desired, steps};

/// How often everything is read back, for what somebody else changed.
const RESYNC_INTERVAL: Duration = Duration::from_secs(300);

/// What is published now, as far as is known.
type PublishedBundles = BTreeMap<SecretBundleKey, Option<Status>>;

/// Where announcements are put.
#[derive(Clone, Debug)]
pub enum BundleSink {
    /// `SecretBundle` objects.
    Cluster(Cluster),
    /// Files `<namespace>/<bundle>.json`.
    Directory(PathBuf),
}

/// Why announcements are not right.
#[derive(Debug, thiserror::Error)]
enum PublishError {
    #[error(transparent)]
    Cluster(#[from] ClusterError),
    #[error(transparent)]
    Directory(#[from] DirectoryError),
    #[error(transparent)]
    Repository(#[from] RepositoryError),
}

/// Keeps the announcements right.
#[derive(Clone, Debug)]
pub struct Publisher {
    sink: BundleSink,
    repository: Repository,
    namespaces: Namespaces,
    live: Live,
    keys: HashMap<BundleId, (u64, Status)>,
}

impl Publisher {
    /// A publisher of what `repository` has, to `sink`.
    #[must_use]
    pub fn new(
        sink: BundleSink,
        repository: Repository,
        namespaces: Namespaces,
        live: Live,
    ) -> Self {
        Self { sink, repository, namespaces, live, keys: HashMap::new() }
    }

    /// Works for ever.
    pub async fn run(mut self) {
        let mut any = self.live.any();
        let mut published = None;
        let mut resync_at = Instant::now();
        let mut failures = 0u32;
        loop {
            if resync_at <= Instant::now() {
                published = None;
                resync_at = Instant::now() + RESYNC_INTERVAL;
            }
            any.mark_unchanged();
            let again = match self.reconcile(&mut published).await {
                Ok(()) => {
                    failures = 0;
                    resync_at
                }
                Err(error) => {
                    tracing::warn!(error = %ErrorChain(&error), failures, "announce bundles");
                    failures = failures.saturating_add(1);
                    resync_at.min(Instant::now() + Backoff::NETWORK.delay(failures, random()))
                }
            };
            tokio::select! {
                Ok(()) = any.changed() => {}
                () = self.namespaces.changed() => {}
                () = sleep_until(again) => {}
            }
        }
    }

    /// One that cannot be put right keeps none of the others from it.
    async fn reconcile(
        &mut self,
        published: &mut Option<PublishedBundles>,
    ) -> Result<(), PublishError> {
        let wanted = desired(&self.statuses().await?, &self.namespaces.all());
        let mut left = match published.take() {
            Some(known) => known,
            None => self.sink.read().await?,
        };
        let mut failed = None;
        for step in steps(&wanted, &left) {
            if let Err(error) = self.sink.take(&step).await {
                failed = Some(error);
                continue;
            }
            match step {
                PublishStep::Put(key, status) => drop(left.insert(key, Some(status))),
                PublishStep::Remove(key) => drop(left.remove(&key)),
            }
        }
        *published = Some(left);
        failed.map_or(Ok(()), Err)
    }

    /// What each bundle has to say. Only bundles that changed are read.
    async fn statuses(&mut self) -> Result<Vec<(contract::Scope, Status)>, RepositoryError> {
        let bundles = self.repository.bundles().await?;
        let mut all = Vec::with_capacity(bundles.len());
        for bundle in bundles {
            let status = match self.keys.get(&bundle.id) {
                Some((revision, status)) if *revision == bundle.revision => status.clone(),
                _ => {
                    let generation = bundle.standing.stable;
                    let members = self.repository.members(bundle.id, generation).await?;
                    let keys = members
                        .into_keys()
                        .map(|name: SecretName| name.as_str().to_owned())
                        .collect();
                    let status = Status {
                        keys,
                        scope: Some(bundle.scope.clone()),
                        generation: Some(generation),
                    };
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
            Self::Directory(path) => Ok(directory::read(path)?),
        }
    }

    async fn take(&self, step: &PublishStep) -> Result<(), PublishError> {
        match (self, step) {
            (Self::Cluster(cluster), PublishStep::Put(key, status)) => {
                match cluster.apply_secret_bundle(key, status).await {
                    // The namespace went away a moment ago; its watch says so in the next.
                    Err(error) if error.is_missing() => Ok(()),
                    other => Ok(other?),
                }
            }
            (Self::Cluster(cluster), PublishStep::Remove(key)) => {
                Ok(cluster.delete_secret_bundle(key).await?)
            }
            (Self::Directory(path), PublishStep::Put(key, status)) => {
                Ok(directory::put(path, key, status)?)
            }
            (Self::Directory(path), PublishStep::Remove(key)) => Ok(directory::remove(path, key)?),
        }
    }
}
