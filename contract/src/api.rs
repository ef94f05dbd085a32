//! The bodies of switchyard's REST API, as the command line and the dashboard see them.
//!
//! Times are RFC 3339 in UTC. A value is standard base64 in a field called `value`, and nowhere else.

use std::collections::{BTreeMap, BTreeSet};

use serde::ser::SerializeMap;
use serde::{Deserialize, Serialize, Serializer};

use crate::bundle::{BundleRef, Generation, Version};
use crate::name::SecretName;
use crate::redacted::Redacted;
use crate::scope::Scope;

/// `POST /v1/secrets/{scope}/`: new secrets or new versions. All of them become one generation, or
/// none does.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WriteRequest {
    /// The values by name.
    pub secrets: BTreeMap<SecretName, NewValue>,
}

/// One value of a [`WriteRequest`].
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NewValue {
    /// The bytes.
    pub value: Redacted,
}

impl WriteRequest {
    /// The request's body. It holds values, so it is [`Redacted`] as a whole.
    ///
    /// # Errors
    /// Never for a value of this type; the serialiser's signature has it.
    pub fn to_body(&self) -> Result<Redacted, serde_json::Error> {
        struct Body<'a>(&'a WriteRequest);
        struct Secrets<'a>(&'a BTreeMap<SecretName, NewValue>);
        struct One<'a>(&'a NewValue);

        impl Serialize for Body<'_> {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                let mut map = serializer.serialize_map(Some(1))?;
                map.serialize_entry("secrets", &Secrets(&self.0.secrets))?;
                map.end()
            }
        }
        impl Serialize for Secrets<'_> {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_map(self.0.iter().map(|(name, value)| (name.as_str(), One(value))))
            }
        }
        impl Serialize for One<'_> {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                let mut map = serializer.serialize_map(Some(1))?;
                map.serialize_entry("value", &self.0.value.wire())?;
                map.end()
            }
        }
        serde_json::to_vec(&Body(self)).map(Redacted::new)
    }
}

/// The answer to a write: what each secret's version is now, and what became of the bundles.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Written {
    /// The scope written to.
    pub scope: Scope,
    /// The new version of each name.
    pub versions: BTreeMap<SecretName, Version>,
    /// The bundles that hold the names, and their new generation.
    pub bundles: Vec<BundleState>,
}

/// A bundle at a generation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BundleState {
    /// The bundle's service scope: `shop.prod.api`.
    pub scope: Scope,
    /// The bundle's name as a pod asks for it: `api-prod`.
    pub bundle: BundleRef,
    /// The generation.
    pub generation: Generation,
}

/// `GET /v1/bundles/{scope}`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BundleKeys {
    /// The bundle and its stable generation.
    #[serde(flatten)]
    pub state: BundleState,
    /// The names of its secrets.
    pub keys: BTreeSet<SecretName>,
}

/// `GET /v1/secrets/{scope}/`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SecretList {
    /// The scope listed.
    pub scope: Scope,
    /// Its secrets by name, without values.
    pub secrets: Vec<SecretSummary>,
}

/// One secret without its value.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SecretSummary {
    /// The name.
    pub name: SecretName,
    /// The active version.
    pub version: Version,
    /// When the secret was first written.
    pub created_at: String,
    /// When the active version was written.
    pub updated_at: String,
}

/// `GET /v1/secrets/{scope}/{name}`.
#[derive(Debug, Deserialize)]
pub struct SecretValue {
    /// The scope.
    pub scope: Scope,
    /// The name.
    pub name: SecretName,
    /// The version that the value is of.
    pub version: Version,
    /// When that version was written.
    pub updated_at: String,
    /// The value.
    pub value: Redacted,
}

impl SecretValue {
    /// The answer's body. It holds a value, so it is [`Redacted`] as a whole.
    ///
    /// # Errors
    /// Never for a value of this type; the serialiser's signature has it.
    pub fn to_body(&self) -> Result<Redacted, serde_json::Error> {
        struct Body<'a>(&'a SecretValue);
        impl Serialize for Body<'_> {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                let SecretValue { scope, name, version, updated_at, value } = self.0;
                let mut map = serializer.serialize_map(Some(5))?;
                map.serialize_entry("scope", scope)?;
                map.serialize_entry("name", name)?;
                map.serialize_entry("version", version)?;
                map.serialize_entry("updated_at", updated_at)?;
                map.serialize_entry("value", &value.wire())?;
                map.end()
            }
        }
        serde_json::to_vec(&Body(self)).map(Redacted::new)
    }
}

/// `GET /v1/secrets/{scope}/{name}/versions`, newest first.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct VersionList {
    /// The scope.
    pub scope: Scope,
    /// The name.
    pub name: SecretName,
    /// The versions.
    pub versions: Vec<VersionSummary>,
}

/// One version without its value.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct VersionSummary {
    /// The number.
    pub version: Version,
    /// Where it is in its life.
    pub state: VersionState,
    /// When it was written.
    pub created_at: String,
    /// Who wrote it.
    pub created_by: String,
}

/// Where a version is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum VersionState {
    /// Written, not yet in use anywhere.
    Pending,
    /// The one that bundles hold.
    Active,
    /// Replaced, and kept.
    Archived,
    /// Its value is gone for good.
    Destroyed,
}

impl VersionState {
    /// The word, as the API and the database have it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Active => "active",
            Self::Archived => "archived",
            Self::Destroyed => "destroyed",
        }
    }
}

/// The answer to `DELETE /v1/secrets/{scope}/{name}`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Deleted {
    /// The scope.
    pub scope: Scope,
    /// The name.
    pub name: SecretName,
    /// The bundles that no longer hold it, and their new generation.
    pub bundles: Vec<BundleState>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_write_round_trips_any_bytes() {
        let mut request = WriteRequest::default();
        for (name, value) in [("EMPTY", b"".as_slice()), ("NUL", b"a\0b"), ("NEWLINE", b"line\n"), ("BINARY", b"\xff\xfe\x00")] {
            request.secrets.insert(name.parse().unwrap(), NewValue { value: Redacted::from(value) });
        }
        let body = request.to_body().unwrap();
        let back: WriteRequest = serde_json::from_slice(body.expose()).unwrap();
        for (name, value) in &request.secrets {
            assert_eq!(back.secrets[name].value, value.value, "{name}");
        }
        assert!(!format!("{request:?}").contains("line"));
    }

    #[test]
    fn a_value_round_trips() {
        let value = SecretValue {
            scope: "shop.prod.api".parse().unwrap(),
            name: "A".parse().unwrap(),
            version: Version(3),
            updated_at: "2026-01-01T00:00:00Z".into(),
            value: Redacted::from(b"x\0".as_slice()),
        };
        let body = value.to_body().unwrap();
        assert_eq!(
            body.expose(),
            br#"{"scope":"shop.prod.api","name":"A","version":3,"updated_at":"2026-01-01T00:00:00Z","value":"eAA="}"#
        );
        assert_eq!(serde_json::from_slice::<SecretValue>(body.expose()).unwrap().value, value.value);
    }
}
