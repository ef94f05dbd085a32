//! Authenticates callers: a pod by its service account token, a program by a token of the API, and
//! a person by an ID token of the identity provider, which is exchanged for a session.
//!
//! Every login is checked with the authority that issued the token. Nothing is cached, and no check
//! works without the authority: if it cannot be reached, nobody is authenticated.

mod bearer;
mod bootstrap;
mod development;
mod oidc;
mod token;
mod token_review;

use contract::Redacted;

use crate::audit::Pod;
use crate::cluster::{Cluster, ClusterError};

pub use bearer::bearer;
pub use bootstrap::{BootstrapError, BootstrapTokenStore, ensure_bootstrap_token};
pub use development::{DevelopmentError, DevelopmentIdentities};
pub use oidc::{
    ClaimError, IdentifiedPerson, LoginError, OidcConfig, OidcFetchError, OidcProvider,
    OidcSetupError, Person, SignatureError,
};
pub(crate) use token::generate_token;
pub use token::{TokenAuthenticator, TokenError, TokenHash};
pub use token_review::{TokenReviewError, pod_of};

/// Authenticates pods by their service account token.
#[derive(Clone, Debug)]
pub enum PodAuthenticator {
    /// By a TokenReview of the cluster's API server.
    Cluster(Cluster),
    /// By a file, on a developer's machine.
    Development(DevelopmentIdentities),
}

/// Why a pod is not authenticated. The text says nothing about the token itself.
#[derive(Debug, thiserror::Error)]
pub enum PodError {
    /// The token does not prove the identity of a pod.
    #[error(transparent)]
    Token(#[from] TokenReviewError),
    /// The token cannot be reviewed.
    #[error("review token")]
    Unavailable(#[source] ClusterError),
}

impl PodAuthenticator {
    /// The pod that the token belongs to.
    ///
    /// # Errors
    /// If the token does not prove a pod, or the cluster cannot be reached.
    pub async fn identify(&self, token: &Redacted) -> Result<Pod, PodError> {
        match self {
            Self::Cluster(cluster) => {
                let status = cluster.review(token).await.map_err(PodError::Unavailable)?;
                Ok(pod_of(&status)?)
            }
            Self::Development(file) => {
                Ok(file.pod(token).ok_or(TokenReviewError::NotAuthenticated)?)
            }
        }
    }
}
