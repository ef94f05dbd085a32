//! Authenticates callers: a pod by its service account token, a program by a token of the API, a
//! person by an ID token of the identity provider and a job of a CI system by one of its platform;
//! an ID token is exchanged for a session.
//!
//! Every login is checked with the authority that issued the token. Nothing is cached, and no check
//! works without the authority: if it cannot be reached, nobody is authenticated.

mod bearer;
mod bootstrap;
mod development;
mod oidc;
mod token;
mod token_lifetime;
mod token_review;
mod workload;

use std::time::Duration;

use contract::Redacted;
use contract::layout::TOKEN_LIFETIME_SECONDS;
use jiff::Timestamp;

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
pub use token_lifetime::expiry_of;
pub use token_review::{TokenReviewError, pod_of};
pub use workload::{
    IdentifiedJob, Job, JobError, PeopleIssuer, RuleSummary, TrustedIssuer, WorkloadConfigError,
    WorkloadError, WorkloadIssuers, WorkloadRole, read_workload_issuers,
};

/// What a token counts for that does not say when it ends.
const DEFAULT_LIFETIME: Duration = Duration::from_secs(TOKEN_LIFETIME_SECONDS as u64);

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

    /// The pods of a development file; none in a cluster.
    #[must_use]
    pub fn development_pods(&self) -> Vec<Pod> {
        match self {
            Self::Cluster(_) => Vec::new(),
            Self::Development(file) => file.pods(),
        }
    }

    /// How much longer a token lasts that was just accepted. `None` if it does not end, as a
    /// developer's may.
    #[must_use]
    pub fn lifetime(&self, token: &Redacted, now: Timestamp) -> Option<Duration> {
        let left = expiry_of(token)
            .map(|end| Duration::try_from(end.duration_since(now)).unwrap_or_default());
        match self {
            // The API server's own tokens say when they end.
            Self::Cluster(_) => Some(left.unwrap_or(DEFAULT_LIFETIME)),
            Self::Development(_) => left,
        }
    }
}
