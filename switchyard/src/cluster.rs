//! All use of the Kubernetes API.
//!
//! Every call has a timeout. Errors never contain a token or the content of a Secret.

mod bootstrap;
mod namespaces;
mod pod_events;
mod secret_bundles;
mod token_review;
mod trust;

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use kube::Client;
use tokio::sync::Semaphore;

pub use pod_events::{PodEvent, PodEventReason, PodEventRecorder};
pub(crate) use trust::TRUST_KEY;

/// The time limit for one call.
const CALL_TIMEOUT: Duration = Duration::from_secs(5);

/// The maximum number of concurrent calls. A fleet that reconnects all at once must not overload
/// the API server.
const MAX_CONCURRENT_CALLS: usize = 32;

/// A client for the API server, and our own namespace. Clones share connections.
#[derive(Clone)]
pub struct Cluster {
    client: Client,
    namespace: String,
    calls: Arc<Semaphore>,
}

/// A failed call.
#[derive(Debug, thiserror::Error)]
pub enum ClusterError {
    /// The API server refused the call or could not be reached.
    #[error("{operation}")]
    Call {
        /// The call.
        operation: &'static str,
        /// The client's error.
        #[source]
        source: Box<kube::Error>,
    },
    /// The call timed out.
    #[error("{operation}: no response within {CALL_TIMEOUT:?}")]
    Timeout {
        /// The call.
        operation: &'static str,
    },
    /// The response lacks a required field.
    #[error("{operation}: malformed response")]
    MalformedResponse {
        /// The call.
        operation: &'static str,
    },
}

impl Cluster {
    /// Wraps `client`. Our own objects are in `namespace`.
    #[must_use]
    pub fn new(client: Client, namespace: &str) -> Self {
        Self {
            client,
            namespace: namespace.to_owned(),
            calls: Arc::new(Semaphore::new(MAX_CONCURRENT_CALLS)),
        }
    }

    /// The underlying client.
    #[must_use]
    pub fn client(&self) -> &Client {
        &self.client
    }

    async fn call<T>(
        &self,
        operation: &'static str,
        call: impl Future<Output = kube::Result<T>>,
    ) -> Result<T, ClusterError> {
        let within = async {
            // The semaphore is never closed.
            let _permit = self.calls.acquire().await;
            call.await
        };
        match tokio::time::timeout(CALL_TIMEOUT, within).await {
            Ok(done) => {
                done.map_err(|source| ClusterError::Call { operation, source: Box::new(source) })
            }
            Err(_) => Err(ClusterError::Timeout { operation }),
        }
    }
}

impl ClusterError {
    /// Whether the object does not exist (404).
    #[must_use]
    pub fn is_not_found(&self) -> bool {
        self.has_status(404)
    }

    /// Whether switchyard has no right to the call (403).
    #[must_use]
    pub fn is_forbidden(&self) -> bool {
        self.has_status(403)
    }

    fn has_status(&self, code: u16) -> bool {
        matches!(self, Self::Call { source, .. } if matches!(&**source,
            kube::Error::Api(status) if status.code == code))
    }
}

impl std::fmt::Debug for Cluster {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Cluster").field("namespace", &self.namespace).finish_non_exhaustive()
    }
}
