//! `/v1/bundles…`: what the pods of a service hold.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::body::redacted;
use crate::bundle::{BundleRef, Generation, GenerationTag, Version};
use crate::name::SecretName;
use crate::redacted::{Redacted, Wire};
use crate::scope::Scope;

/// A bundle at a generation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct BundleState {
    /// The bundle's service scope: `shop.prod.api`.
    pub scope: Scope,
    /// The bundle's name as a pod asks for it: `api-prod`.
    pub bundle: BundleRef,
    /// The generation.
    pub generation: Generation,
    /// Why the bundle stays at this generation although its scopes changed: with their newest
    /// secrets it would not fit into a pod. Delete or shorten some, and it follows again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stuck: Option<String>,
    /// Tells the generation apart from others with this number, as after a restore of the database.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tag: Option<GenerationTag>,
}

/// All bundles that the caller may see, by scope.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct BundleList {
    /// The bundles.
    pub bundles: Vec<BundleState>,
    /// The cursor of the next page; absent where this is the last one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}

/// A bundle and the names that it holds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct BundleKeys {
    /// The bundle and its stable generation.
    #[serde(flatten)]
    pub state: BundleState,
    /// The names of its secrets.
    pub keys: BTreeSet<SecretName>,
}

/// A bundle with its values.
#[derive(Debug, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct BundleValues {
    /// The bundle's service scope: `shop.prod.api`.
    // Not a flattened `BundleState`: serde would keep copies of the values on the way through it.
    pub scope: Scope,
    /// The bundle's name as a pod asks for it: `api-prod`.
    pub bundle: BundleRef,
    /// The stable generation, which the values are of.
    pub generation: Generation,
    /// Tells the generation apart from others with this number.
    #[serde(default)]
    pub tag: Option<GenerationTag>,
    /// The values by name.
    pub secrets: BTreeMap<SecretName, BundleValue>,
}

/// One value of a bundle.
#[derive(Debug, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct BundleValue {
    /// The version.
    pub version: Version,
    /// The value.
    pub value: Redacted,
}

impl BundleValues {
    /// The answer's body. It holds values, so it is [`Redacted`] as a whole.
    ///
    /// # Errors
    /// Never for a value of this type; the serialiser's signature has it.
    pub fn to_body(&self) -> Result<Redacted, serde_json::Error> {
        #[derive(Serialize)]
        struct BundleValuesBody<'a> {
            scope: &'a Scope,
            bundle: &'a BundleRef,
            generation: Generation,
            #[serde(skip_serializing_if = "Option::is_none")]
            tag: Option<&'a GenerationTag>,
            secrets: BTreeMap<&'a SecretName, BundleValueBody<'a>>,
        }
        #[derive(Serialize)]
        struct BundleValueBody<'a> {
            version: Version,
            value: Wire<'a>,
        }
        let Self { scope, bundle, generation, tag, secrets } = self;
        let secrets = secrets
            .iter()
            .map(|(name, it)| {
                (name, BundleValueBody { version: it.version, value: it.value.wire() })
            })
            .collect();
        let (generation, tag) = (*generation, tag.as_ref());
        redacted(&BundleValuesBody { scope, bundle, generation, tag, secrets })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_round_trip() {
        let one = BundleValue { version: Version(2), value: Redacted::from(b"x\0".as_slice()) };
        let values = BundleValues {
            scope: "shop.prod.api".parse().unwrap(),
            bundle: "api-prod".parse().unwrap(),
            generation: Generation(4),
            tag: Some("0a".parse().unwrap()),
            secrets: BTreeMap::from([("A".parse().unwrap(), one)]),
        };
        let body = values.to_body().unwrap();
        assert_eq!(
            body.expose(),
            br#"{"scope":"shop.prod.api","bundle":"api-prod","generation":4,"tag":"0a","secrets":{"A":{"version":2,"value":"eAA="}}}"#
        );
        let back: BundleValues = serde_json::from_slice(body.expose()).unwrap();
        assert_eq!(back.secrets["A"].value.expose(), b"x\0");
    }

    #[test]
    fn keys_are_the_state_and_names() {
        let keys =
            r#"{"scope":"shop.prod.api","bundle":"api-prod","generation":4,"keys":["A","B"]}"#;
        let read: BundleKeys = serde_json::from_str(keys).unwrap();
        assert_eq!(serde_json::to_string(&read).unwrap(), keys);
    }
}
