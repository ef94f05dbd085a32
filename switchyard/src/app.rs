//! What the REST API and the agents' streams share: the state of the process, authentication,
//! limits and error responses.

mod api_error;
mod authentication;
mod frame_cache;
mod health;
mod listed_bundles;
mod pod_events;
mod rate_limiter;
mod refusals;
mod request_budget;
mod stream_slots;
mod streams;
mod waiting_values;

use std::sync::Arc;

use runtime::byte_budget::ByteBudget;
use runtime::tasks::Tasks;

use crate::access::AccessControl;
use crate::agents::Agents;
use crate::audit::AuditLog;
use crate::disk::DiskSpace;
use crate::identity::{OidcProvider, PodAuthenticator, TokenAuthenticator, WorkloadIssuers};
use crate::metrics::Metrics;
use crate::rekey::Rekey;
use crate::repository::Repository;
use crate::secrets::Secrets;

pub(crate) use api_error::ApiError;
pub(crate) use authentication::{Authenticated, Unauthenticated};
pub(crate) use frame_cache::{BundleSelection, FrameError};
pub(crate) use health::HealthCache;
pub(crate) use listed_bundles::ListedBundles;
pub(crate) use pod_events::PodEvents;
pub(crate) use rate_limiter::RateLimiter;
pub(crate) use refusals::RefusalLog;
pub(crate) use request_budget::{AnswerLease, FREE_BYTES, RequestBudget, byte_budget};
pub(crate) use stream_slots::{NoSlot, StreamLimits, StreamSlot};
pub(crate) use streams::StreamState;
pub(crate) use waiting_values::ReportsDue;

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
    /// The issuers of jobs of CI systems.
    pub(crate) workloads: WorkloadIssuers,
    pub(crate) access: AccessControl,
    pub(crate) streams: StreamState,
    pub(crate) metrics: Metrics,
    pub(crate) tasks: Tasks,
    pub(crate) store: Arc<dyn lockbox::Store>,
    /// Present if the store seals values under a key that switchyard manages.
    pub(crate) rekey: Option<Rekey>,
    pub(crate) refusals: RefusalLog,
    /// The free space of the database's volume.
    pub(crate) disk: DiskSpace,
    /// The bytes of bodies and answers that clients make switchyard hold.
    pub(crate) bytes: ByteBudget,
    pub(crate) rate_limiter: RateLimiter,
    pub(crate) health: HealthCache,
    pub(crate) listed_bundles: ListedBundles,
    /// What the agents of this replica's streams say of their pods.
    pub(crate) agents: Agents,
    pub(crate) pod_events: PodEvents,
}
