//! `/v1/scopes` and `/v1/search`: what there is, wherever the caller may look.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::secrets::SecretSummary;
use crate::scope::Scope;

/// The scopes that have secrets which the caller may list, in the order of a tree.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct ScopeList {
    /// The scopes: a project, then each of its environments, each before its services.
    pub scopes: Vec<ScopeSummary>,
    /// The cursor of the next page; absent where this is the last one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}

/// A scope, and how many secrets it has.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct ScopeSummary {
    /// The scope.
    pub scope: Scope,
    /// How many of its own secrets the caller may list, 1 at least.
    pub secrets: u64,
}

/// The secrets that a search finds, of all scopes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct FoundSecrets {
    /// The secrets, without values, in the order of their scopes and names.
    pub secrets: Vec<SecretSummary>,
    /// Every read before this time is counted in `last_read_by_…`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "schema", schema(value_type = Option<String>, format = DateTime))]
    pub reads_until: Option<Timestamp>,
    /// The cursor of the next page; absent where this is the last one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}
