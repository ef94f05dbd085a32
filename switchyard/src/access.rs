//! Whether a pod may read a bundle, from what is known now: the namespace's labels and the grants.

use contract::BundleRef;

use crate::audit::Pod;
use crate::identity::Namespaces;
use crate::policy::{Account, Allowed, Denied, decide};
use crate::repository::{Repository, RepositoryError};

/// Decides with what the cluster and the ledger say.
#[derive(Clone, Debug)]
pub(crate) struct Access {
    namespaces: Namespaces,
    repository: Repository,
}

/// Why a bundle is not handed out.
#[derive(Debug, thiserror::Error)]
pub(crate) enum AccessError {
    /// The rules say no.
    #[error(transparent)]
    Denied(#[from] Denied),
    /// The grants could not be read.
    #[error("read grants")]
    Repository(#[from] RepositoryError),
}

impl Access {
    pub(crate) fn new(namespaces: Namespaces, repository: Repository) -> Self {
        Self { namespaces, repository }
    }

    /// The news of namespaces, for whoever has to ask again.
    pub(crate) fn namespaces(&self) -> Namespaces {
        self.namespaces.clone()
    }

    pub(crate) async fn check(&self, pod: &Pod, bundle: &BundleRef) -> Result<Allowed, AccessError> {
        let account = Account { namespace: &pod.namespace, name: &pod.service_account };
        let binding = self.namespaces.binding(&pod.namespace);
        // Most pods read their own service's bundle, and need no look into the ledger.
        if let Ok(allowed) = decide(account, bundle, binding.as_ref(), &[]) {
            return Ok(allowed);
        }
        let grants = self.repository.grants(&pod.namespace, &pod.service_account).await?;
        Ok(decide(account, bundle, binding.as_ref(), &grants)?)
    }
}
