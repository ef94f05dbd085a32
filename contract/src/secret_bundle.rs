//! The `SecretBundle` object: it tells the webhook which keys a bundle has, and never a value.
//!
//! Switchyard publishes one in each namespace bound to the bundle, in `status`. Without switchyard,
//! a person writes the keys into `spec`, and where each of them is in Vault. The object is a hint
//! for the webhook and grants nothing: a pod that is admitted because of it still gets only what
//! its own identity may read.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;

use crate::bundle::Generation;
use crate::name::SecretName;
use crate::scope::Scope;
use crate::vault_source::VaultSecret;

/// The API group.
pub const GROUP: &str = "enclii.io";
/// The API version.
pub const API_VERSION: &str = "v1";
/// The object's kind.
pub const KIND: &str = "SecretBundle";
/// The kind's plural, as in a URL.
pub const PLURAL: &str = "secretbundles";

/// The object without its metadata.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SecretBundle {
    /// Written by a person, without switchyard.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub spec: Option<Spec>,
    /// Written by switchyard.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<Status>,
}

/// The part that a person writes who runs without switchyard.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Spec {
    /// The names of the bundle's secrets. Illegal names are dropped when it is read.
    #[serde(default, deserialize_with = "legal_names")]
    pub keys: BTreeSet<SecretName>,
    /// Where each secret is in Vault, which only counts where Vault is the source of secrets.
    #[serde(default, skip_serializing_if = "VaultMapping::is_empty", deserialize_with = "mapping")]
    pub vault: VaultMapping,
}

/// Where each secret of a bundle is in Vault. `None` is one that this build cannot read, so that
/// what is wrong with one secret does not hide the others.
pub type VaultMapping = BTreeMap<SecretName, Option<VaultSecret>>;

/// The part that switchyard writes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Status {
    /// The names of the bundle's secrets. Illegal names are dropped when it is read.
    #[serde(default, deserialize_with = "legal_names")]
    pub keys: BTreeSet<SecretName>,
    /// The number of `keys`, for a table that would not fit the names. Absent in what an older
    /// switchyard wrote.
    #[serde(default, rename = "keyCount", skip_serializing_if = "Option::is_none")]
    pub key_count: Option<usize>,
    /// The bundle's service scope, as `shop.prod.api`, for commands that messages suggest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scope: Option<Scope>,
    /// The stable generation.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub generation: Option<Generation>,
}

impl Status {
    /// The status of a bundle with these keys.
    #[must_use]
    pub fn new(
        keys: BTreeSet<SecretName>,
        scope: Option<Scope>,
        generation: Option<Generation>,
    ) -> Self {
        Self { key_count: Some(keys.len()), keys, scope, generation }
    }
}

impl SecretBundle {
    /// The bundle's keys, from both parts; `None` when neither is there, so that the bundle is
    /// announced and does not exist yet.
    #[must_use]
    pub fn keys(&self) -> Option<BTreeSet<SecretName>> {
        match (&self.spec, &self.status) {
            (None, None) => None,
            (Some(spec), None) => Some(spec.keys.clone()),
            (None, Some(status)) => Some(status.keys.clone()),
            (Some(spec), Some(status)) => Some(spec.keys.union(&status.keys).cloned().collect()),
        }
    }

    /// Where the bundle's secrets are in Vault.
    #[must_use]
    pub fn vault(&self) -> Option<&VaultMapping> {
        self.spec.as_ref().map(|spec| &spec.vault)
    }
}

/// Reads each secret by itself, and drops what [`legal_names`] drops.
fn mapping<'de, D: Deserializer<'de>>(deserializer: D) -> Result<VaultMapping, D::Error> {
    let all = BTreeMap::<String, Value>::deserialize(deserializer)?;
    let read = |(name, value): (String, Value)| {
        let name = name.try_into().ok()?;
        Some((name, serde_json::from_value(value).ok()))
    };
    Ok(all.into_iter().filter_map(read).collect())
}

/// Drops what cannot be the name of a secret: a person may write anything into the object, and a
/// key becomes the last component of a path.
fn legal_names<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<BTreeSet<SecretName>, D::Error> {
    let names = BTreeSet::<String>::deserialize(deserializer)?;
    Ok(names.into_iter().filter_map(|name| name.try_into().ok()).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(names: &[&str]) -> BTreeSet<SecretName> {
        names.iter().map(|name| name.parse().unwrap()).collect()
    }

    #[test]
    fn illegal_names_are_dropped_and_the_others_stay() {
        let json = r#"{"spec":{"keys":["A","../etc/passwd","kubernetes.io",""]}}"#;
        let bundle: SecretBundle = serde_json::from_str(json).unwrap();
        assert_eq!(bundle.keys(), Some(names(&["A"])));
        assert!(serde_json::from_str::<SecretBundle>(r#"{"spec":{"keys":[1]}}"#).is_err());
    }

    #[test]
    fn a_mapping_that_cannot_be_read_hides_no_other() {
        let json = r#"{"spec":{"vault":{
            "A":{"type":"kv","mount":"secret","path":"shop/api","field":"a"},
            "B":{"type":"kv","mount":"secret","path":"../sys","field":"b"},
            "C":{"type":"future"},
            "D":null,
            "../etc/passwd":{"type":"kv","mount":"secret","path":"shop/api","field":"e"}
        }}}"#;
        let bundle: SecretBundle = serde_json::from_str(json).unwrap();
        let found = bundle.vault().unwrap();
        let usable = found.iter().map(|(name, secret)| (name.as_str(), secret.is_some()));
        assert_eq!(
            usable.collect::<Vec<_>>(),
            [("A", true), ("B", false), ("C", false), ("D", false)]
        );
        assert_eq!(bundle.keys(), Some(BTreeSet::new()), "keys of switchyard are listed");
        let again = serde_json::to_string(&bundle).unwrap();
        assert_eq!(serde_json::from_str::<SecretBundle>(&again).unwrap(), bundle);
        assert!(serde_json::from_str::<SecretBundle>(r#"{"spec":{"vault":["A"]}}"#).is_err());
        let without = serde_json::to_string(&Spec::default()).unwrap();
        assert_eq!(without, r#"{"keys":[]}"#);
    }

    #[test]
    fn a_status_carries_the_number_of_its_keys() {
        let status = Status::new(names(&["A", "B"]), None, None);
        let json = serde_json::to_string(&status).unwrap();
        assert_eq!(json, r#"{"keys":["A","B"],"keyCount":2}"#);
        let older: Status = serde_json::from_str(r#"{"keys":["A"]}"#).unwrap();
        assert_ne!(older, Status::new(names(&["A"]), None, None));
    }

    #[test]
    fn keys_come_from_both_writers() {
        let read = |json: &str| serde_json::from_str::<SecretBundle>(json).unwrap().keys();
        assert_eq!(read("{}"), None);
        assert_eq!(
            read(r#"{"status":{"keys":["A"],"generation":3,"future":1}}"#),
            Some(names(&["A"]))
        );
        assert_eq!(
            read(r#"{"spec":{"keys":["B"]},"status":{"keys":["A"]}}"#),
            Some(names(&["A", "B"]))
        );
        assert_eq!(read(r#"{"status":{}}"#), Some(BTreeSet::new()));
    }
}
