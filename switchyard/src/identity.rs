//! Who is asking: a pod by the token that kubelet gave it, a program by a token of the API, or a
//! person by the ID token of an identity provider, and then by the session that it was exchanged
//! for.
//!
//! Every login is checked anew against the authority that issued the token. There is no cache and
//! no check that works without the authority: where it cannot be reached, nobody is let in.

mod bearer;
mod bootstrap;
mod development;
mod oidc;
mod review;
mod token;

use contract::Redacted;

use crate::audit::Pod;
use crate::cluster::Cluster;

pub use bearer::bearer;
pub use bootstrap::{Bootstrap, BootstrapError, bootstrap};
pub use development::{Development, DevelopmentError};
pub use oidc::{Claim, FetchError, LoginError, Oidc, Person, SetupError, Unverified, oidc};
pub use review::{Unproven, pod_of};
pub(crate) use token::generate;
pub use token::{Hash, Tokens, TokensError};

/// Who says which pod a token belongs to.
#[derive(Clone, Debug)]
pub enum Pods {
    /// The cluster's API server.
    Cluster(Cluster),
    /// A file, on a developer's machine.
    Development(Development),
}

/// Why a pod's token was not taken. None of it says anything about the token itself.
#[derive(Debug, thiserror::Error)]
pub enum PodError {
    /// It proves no pod.
    #[error(transparent)]
    Unproven(#[from] Unproven),
    /// Nobody could be asked.
    #[error("review token")]
    Unavailable(#[source] crate::cluster::ClusterError),
}

impl Pods {
    /// The pod whose token this is.
    ///
    /// # Errors
    /// Where the token proves no pod, or the cluster cannot be asked.
    pub async fn identify(&self, token: &Redacted) -> Result<Pod, PodError> {
        match self {
            Self::Cluster(cluster) => {
                let status = cluster.review(token).await.map_err(PodError::Unavailable)?;
                Ok(pod_of(&status)?)
            }
            Self::Development(file) => Ok(file.pod(token).ok_or(Unproven::NotAuthenticated)?),
        }
    }
}
