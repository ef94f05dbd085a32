//! The `SecretBundle` object: it tells the webhook which keys a bundle has, and never a value.
//!
//! Switchyard publishes one in each namespace bound to the bundle, in `status`. Whoever runs
//! without switchyard writes the keys into `spec`. It is a hint for the webhook and no authority: a
//! pod that is admitted because of it still gets nothing that its own identity may not read.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::bundle::Generation;
use crate::scope::Scope;

/// The API group of our objects.
pub const GROUP: &str = "enclii.io";
/// The API version of our objects.
pub const API_VERSION: &str = "v1";
/// The object's kind.
pub const KIND: &str = "SecretBundle";
/// The kind's plural, as in a URL.
pub const PLURAL: &str = "secretbundles";

/// The parts of the object that are ours; its metadata is Kubernetes'.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SecretBundle {
    /// What a person writes who has no switchyard.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub spec: Option<Spec>,
    /// What switchyard says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<Status>,
}

/// What a person writes who has no switchyard.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Spec {
    /// The keys of the bundle. Unlike a secret's name, a key that a person writes is not checked
    /// here: it only matters where an env var has the same name.
    #[serde(default)]
    pub keys: BTreeSet<String>,
}

/// What switchyard says of the bundle.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Status {
    /// The names of the bundle's secrets.
    #[serde(default)]
    pub keys: BTreeSet<String>,
    /// The bundle's service scope, as `shop.prod.api`: for the line that a message tells people to
    /// type.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scope: Option<Scope>,
    /// The stable generation.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub generation: Option<Generation>,
}

impl SecretBundle {
    /// The bundle's keys, from whoever wrote them; `None` where nobody has yet, so that the bundle
    /// is announced and does not exist.
    #[must_use]
    pub fn keys(&self) -> Option<BTreeSet<String>> {
        match (&self.spec, &self.status) {
            (None, None) => None,
            (Some(spec), None) => Some(spec.keys.clone()),
            (None, Some(status)) => Some(status.keys.clone()),
            (Some(spec), Some(status)) => Some(spec.keys.union(&status.keys).cloned().collect()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_come_from_both_writers() {
        let read = |json: &str| serde_json::from_str::<SecretBundle>(json).unwrap().keys();
        assert_eq!(read("{}"), None);
        assert_eq!(
            read(r#"{"status":{"keys":["A"],"generation":3,"future":1}}"#),
            Some(BTreeSet::from(["A".to_owned()]))
        );
        assert_eq!(
            read(r#"{"spec":{"keys":["B"]},"status":{"keys":["A"]}}"#),
            Some(BTreeSet::from(["A".to_owned(), "B".to_owned()]))
        );
        assert_eq!(read(r#"{"status":{}}"#), Some(BTreeSet::new()));
    }
}
