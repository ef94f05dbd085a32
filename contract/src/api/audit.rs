//! `/v1/audit…`: everything but the audit events themselves, whose form is the audit log's own.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::word::words;

words! { "format",
    /// What an export looks like.
    ExportFormat {
        /// One audit event a line, as JSON: what `enclii audit verify` reads.
        Jsonl = "jsonl",
        /// One OCSF event a line, as JSON.
        Ocsf = "ocsf",
        /// One CEF line each.
        Cef = "cef",
    }
}

/// A signed checkpoint of the audit log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct Checkpoint {
    /// The last record that it covers.
    pub sequence: u64,
    /// When it was signed.
    #[cfg_attr(feature = "schema", schema(value_type = String, format = DateTime))]
    pub at: Timestamp,
    /// The chain's hash at that record, in hex.
    #[cfg_attr(feature = "schema", schema(pattern = "^[0-9a-f]{64}$"))]
    pub hash: String,
    /// Which key signed it.
    pub key_id: String,
    /// The signature, in base64.
    pub signature: String,
    /// When it was put outside of the database; absent where that is still to be done.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "schema", schema(value_type = Option<String>, format = DateTime))]
    pub placed_at: Option<Timestamp>,
}

/// The checkpoints, oldest first.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct CheckpointList {
    /// The checkpoints.
    pub checkpoints: Vec<Checkpoint>,
    /// The cursor of the next page; absent where this is the last one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}
