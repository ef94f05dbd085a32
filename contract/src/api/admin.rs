//! `/v1/admin/…` and `/v1/health`.

use serde::{Deserialize, Serialize};

use super::word::words;

/// How far the work is that seals every data key under the current key-encryption key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct Rekey {
    /// Whether it is under way.
    pub running: bool,
    /// The id of the current key.
    pub current_key: String,
    /// How many values are still under another key.
    pub remaining: u64,
    /// How many were done in this run.
    pub done: u64,
    /// How many values there are.
    pub total: u64,
    /// Why the last run ended before it was done, if it did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

/// Secrets can be read and written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct Health {
    /// The one word that this answer has; whatever is wrong is a problem document.
    pub status: HealthStatus,
}

words! { "status",
    /// How the server is.
    HealthStatus {
        /// The ledger and the store can be reached.
        Ok = "ok",
    }
}
