//! `/v1/secrets/{scope}/{name}/versions`, `…/rollback` and `…/destroy`.

use std::collections::BTreeSet;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::word::words;
use crate::bundle::Version;
use crate::metadata::Message;
use crate::name::SecretName;
use crate::scope::Scope;

/// The versions of a secret, newest first.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct VersionList {
    /// The scope.
    pub scope: Scope,
    /// The name.
    pub name: SecretName,
    /// The versions.
    pub versions: Vec<VersionSummary>,
    /// The cursor of the next page; absent where this is the last one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}

/// One version without its value.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct VersionSummary {
    /// The number.
    pub version: Version,
    /// Where it is in its life.
    pub state: VersionState,
    /// When it was written.
    #[cfg_attr(feature = "schema", schema(value_type = String, format = DateTime))]
    pub created_at: Timestamp,
    /// Who wrote it.
    pub created_by: String,
    /// When its value was destroyed, if it was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "schema", schema(value_type = Option<String>, format = DateTime))]
    pub destroyed_at: Option<Timestamp>,
    /// Why it was written.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<Message>,
    /// When the credential ends at its issuer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "schema", schema(value_type = Option<String>, format = DateTime))]
    pub expires_at: Option<Timestamp>,
}

words! { "version state",
    /// Where a version is in its life.
    VersionState {
        /// Written, not yet in use anywhere.
        Pending = "pending",
        /// The one that bundles hold.
        Active = "active",
        /// Replaced, and kept.
        Archived = "archived",
        /// Its value is gone for good.
        Destroyed = "destroyed",
    }
}

/// Which version becomes the active one again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct RollbackRequest {
    /// The version.
    pub version: Version,
    /// Why, for the audit log. It is not secret.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<Message>,
}

/// Which versions' values are destroyed. The active one cannot be.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct DestroyRequest {
    /// The versions.
    #[cfg_attr(feature = "schema", schema(min_items = 1, max_items = 1000))]
    pub versions: BTreeSet<Version>,
}

/// These versions can no longer be read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct Destroyed {
    /// The scope.
    pub scope: Scope,
    /// The name.
    pub name: SecretName,
    /// The versions.
    pub versions: BTreeSet<Version>,
    /// Those of them whose traces are not yet gone from the store's files, because a backup or
    /// another reader still needs the files as they were. It is tried again every minute.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub pending: BTreeSet<Version>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_is_a_number_from_one() {
        for text in [
            r#"{"version":0}"#,
            r#"{"version":-1}"#,
            r#"{"version":"1"}"#,
            r#"{"version":1.5}"#,
            r#"{"version":9007199254740992}"#,
            "{}",
        ] {
            assert!(serde_json::from_str::<RollbackRequest>(text).is_err(), "{text} was taken");
        }
        assert_eq!(
            serde_json::from_str::<RollbackRequest>(r#"{"version":7}"#).unwrap(),
            RollbackRequest { version: Version(7), message: None }
        );
    }

    #[test]
    fn a_list_round_trips() {
        let list = concat!(
            r#"{"scope":"shop","name":"A","versions":["#,
            r#"{"version":2,"state":"active","#,
            r#""created_at":"2026-01-01T00:00:00Z","created_by":"token:t"},"#,
            r#"{"version":1,"state":"destroyed","#,
            r#""created_at":"2026-01-01T00:00:00Z","created_by":"token:t","#,
            r#""destroyed_at":"2026-01-02T00:00:00.5Z"}],"next":"c"}"#,
        );
        let read: VersionList = serde_json::from_str(list).unwrap();
        assert_eq!(read.versions[1].state, VersionState::Destroyed);
        assert_eq!(serde_json::to_string(&read).unwrap(), list);
    }
}
