//! What the REST API and the agents' streams share: the state of the process, authentication,
//! limits and error responses.

mod api_error;
mod auth_failures;
mod authentication;
mod frame_cache;
mod health;
mod listed_bundles;
mod rate_limiter;
mod streams;

use std::sync::Arc;

use runtime::tasks::Tasks;

use crate::access::AccessControl;
use crate::audit::AuditLog;
use crate::identity::{OidcProvider, PodAuthenticator, TokenAuthenticator};
use crate::metrics::Metrics;
use crate::rekey::Rekey;
use crate::repository::Repository;
use crate::secrets::Secrets;

pub(crate) use api_error::ApiError;
pub(crate) use auth_failures::AuthFailureLimiter;
pub(crate) use authentication::{Authenticated, Unauthenticated};
pub(crate) use frame_cache::{BundleSelection, FrameError};
pub(crate) use health::HealthCache;
pub(crate) use listed_bundles::ListedBundles;
pub(crate) use rate_limiter::RateLimiter;
pub(crate) use streams::{MAX_STREAMS, StreamState};

/// What the request handlers work with.
pub(crate) struct AppState {
    /// The key that checkpoints are signed with, as PEM.
    pub(crate) checkpoint_public_key: Option<String>,
    pub(crate) secrets: Secrets,
    pub(crate) repository: Repository,
    pub(crate) audit: AuditLog,
    pub(crate) tokens: TokenAuthenticator,
    pub(crate) pods: PodAuthenticator,
    /// The identity provider of people, if one is configured.
    pub(crate) oidc: Option<OidcProvider>,
    pub(crate) access: AccessControl,
    pub(crate) streams: StreamState,
    pub(crate) metrics: Metrics,
    pub(crate) tasks: Tasks,
    pub(crate) store: Arc<dyn lockbox::Store>,
    /// Present if the store seals values under a key that switchyard manages.
    pub(crate) rekey: Option<Rekey>,
    pub(crate) auth_failures: AuthFailureLimiter,
    pub(crate) rate_limiter: RateLimiter,
    pub(crate) health: HealthCache,
    pub(crate) listed_bundles: ListedBundles,
}
