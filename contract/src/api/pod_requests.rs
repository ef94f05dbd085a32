//! The requests of a pod, as its agent counts them while a new generation is looked at.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// The requests of a pod in the last windows that its agent has sent, a minute at most.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct PodRequests {
    /// The metric of the application that they come from.
    pub metric: String,
    /// In how many seconds.
    pub seconds: u64,
    /// The requests.
    pub requests: u64,
    /// Those that failed by the server's fault.
    pub errors: u64,
    /// Below how many milliseconds 95 of 100 requests stayed, where the application tells.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub p95_milliseconds: Option<u64>,
    /// When the last of them arrived here.
    #[cfg_attr(feature = "schema", schema(value_type = String, format = DateTime))]
    pub at: Timestamp,
}
