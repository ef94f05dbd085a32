//! The Kubernetes API: everything that switchyard asks of it or puts into it.
//!
//! Every call has a deadline. No error of this module repeats a token or the content of a Secret.

mod bootstrap;
mod namespaces;
mod secret_bundles;
mod token_review;
mod trust;

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use kube::Client;
use tokio::sync::Semaphore;

pub(crate) use trust::TRUST_KEY;

/// How long one call may take.
const CALL_TIMEOUT: Duration = Duration::from_secs(5);

/// Calls at one time. A fleet that comes back at once shall not push the API server over.
const MAX_CALLS: usize = 32;

/// The API server, and our place in the cluster. Clones share the connections.
#[derive(Clone)]
pub struct Cluster {
    client: Client,
    namespace: String,
    calls: Arc<Semaphore>,
}

/// A call that did not succeed.
#[derive(Debug, thiserror::Error)]
pub enum ClusterError {
    /// The API server refused it or could not be reached.
    #[error("{step}")]
    Call {
        /// What was being done.
        step: &'static str,
        /// The client's words.
        #[source]
        source: Box<kube::Error>,
    },
    /// It took too long.
    #[error("{step}: no answer within {CALL_TIMEOUT:?}")]
    Slow {
        /// What was being done.
        step: &'static str,
    },
    /// The answer lacks what it must have.
    #[error("{step}: the answer is not of the form")]
    Form {
        /// What was being done.
        step: &'static str,
    },
}

impl Cluster {
    /// The cluster that `client` talks to; `namespace` is where our own objects are.
    #[must_use]
    pub fn new(client: Client, namespace: &str) -> Self {
        Self { client, namespace: namespace.to_owned(), calls: Arc::new(Semaphore::new(MAX_CALLS)) }
    }

    /// The client, for parts that keep their own objects.
    #[must_use]
    pub fn client(&self) -> &Client {
        &self.client
    }

    async fn call<T>(
        &self,
        step: &'static str,
        call: impl Future<Output = kube::Result<T>>,
    ) -> Result<T, ClusterError> {
        let within = async {
            // The semaphore is never closed.
            let _permit = self.calls.acquire().await;
            call.await
        };
        match tokio::time::timeout(CALL_TIMEOUT, within).await {
            Ok(done) => {
                done.map_err(|source| ClusterError::Call { step, source: Box::new(source) })
            }
            Err(_) => Err(ClusterError::Slow { step }),
        }
    }
}

impl ClusterError {
    /// Whether the API server said that there is no such object.
    #[must_use]
    pub fn is_missing(&self) -> bool {
        matches!(self, Self::Call { source, .. } if matches!(&**source, kube::Error::Api(status) if status.code == 404))
    }
}

impl std::fmt::Debug for Cluster {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Cluster").field("namespace", &self.namespace).finish_non_exhaustive()
    }
}
