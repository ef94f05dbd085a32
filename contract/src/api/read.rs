//! `/v1/read/{scope}`: many values in one answer.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::body::redacted;
use super::secrets::SecretOrigin;
use crate::bundle::Version;
use crate::metadata::SecretMetadata;
use crate::name::SecretName;
use crate::redacted::{Redacted, Wire};
use crate::scope::Scope;

/// Which secrets to read.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct ReadRequest {
    /// Their names: 1 to 1000 of them.
    #[cfg_attr(feature = "schema", schema(min_items = 1, max_items = 1000))]
    pub names: BTreeSet<SecretName>,
}

/// What became of each name of a read: it is in exactly one of the four.
#[derive(Debug, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct ReadAnswer {
    /// The scope that was asked.
    pub scope: Scope,
    /// The values by name.
    pub secrets: BTreeMap<SecretName, FoundValue>,
    /// There is no such secret, or the caller may not know of it.
    #[serde(default)]
    pub missing: BTreeSet<SecretName>,
    /// The caller may know of the secret, but not read it. By name, with the scope that has it.
    #[serde(default)]
    pub denied: BTreeMap<SecretName, Scope>,
    /// Values that this answer has no room for. Ask for them again.
    #[serde(default)]
    pub left_out: BTreeSet<SecretName>,
}

/// One value of a [`ReadAnswer`].
#[derive(Debug, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct FoundValue {
    /// The scope that the secret belongs to.
    pub scope: Scope,
    /// Whether that is the scope that was asked.
    pub origin: SecretOrigin,
    /// The active version, which the value is of.
    pub version: Version,
    /// Tells the version apart from others with this number, as after a restore of the database.
    pub tag: String,
    /// When that version was written or made active again.
    #[cfg_attr(feature = "schema", schema(value_type = String, format = DateTime))]
    pub updated_at: Timestamp,
    /// The value.
    pub value: Redacted,
    /// What is written beside that version.
    #[serde(flatten)]
    pub metadata: SecretMetadata,
}

impl ReadAnswer {
    /// The answer's body. It holds values, so it is [`Redacted`] as a whole.
    ///
    /// # Errors
    /// Never for a value of this type; the serialiser's signature has it.
    pub fn to_body(&self) -> Result<Redacted, serde_json::Error> {
        #[derive(Serialize)]
        struct ReadAnswerBody<'a> {
            scope: &'a Scope,
            secrets: BTreeMap<&'a SecretName, FoundValueBody<'a>>,
            missing: &'a BTreeSet<SecretName>,
            denied: &'a BTreeMap<SecretName, Scope>,
            left_out: &'a BTreeSet<SecretName>,
        }
        #[derive(Serialize)]
        struct FoundValueBody<'a> {
            scope: &'a Scope,
            origin: SecretOrigin,
            version: Version,
            tag: &'a str,
            updated_at: Timestamp,
            value: Wire<'a>,
            #[serde(flatten)]
            metadata: &'a SecretMetadata,
        }
        let Self { scope, secrets, missing, denied, left_out } = self;
        let secrets = secrets.iter().map(|(name, it)| {
            let FoundValue { scope, origin, version, tag, updated_at, value, metadata } = it;
            let body = FoundValueBody {
                scope,
                origin: *origin,
                version: *version,
                tag,
                updated_at: *updated_at,
                value: value.wire(),
                metadata,
            };
            (name, body)
        });
        redacted(&ReadAnswerBody { scope, secrets: secrets.collect(), missing, denied, left_out })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_round_trips() {
        let name = |text: &str| text.parse::<SecretName>().unwrap();
        let found = FoundValue {
            scope: "shop.prod".parse().unwrap(),
            origin: SecretOrigin::Inherited,
            version: Version(3),
            tag: "0a".to_owned(),
            updated_at: "2026-01-01T00:00:00Z".parse().unwrap(),
            value: Redacted::from(b"x\0".as_slice()),
            metadata: SecretMetadata {
                notes: Some("why".parse().unwrap()),
                ..SecretMetadata::default()
            },
        };
        let answer = ReadAnswer {
            scope: "shop.prod.api".parse().unwrap(),
            secrets: BTreeMap::from([(name("A"), found)]),
            missing: BTreeSet::from([name("B")]),
            denied: BTreeMap::from([(name("C"), "shop".parse().unwrap())]),
            left_out: BTreeSet::new(),
        };
        let body = answer.to_body().unwrap();
        let expected = concat!(
            r#"{"scope":"shop.prod.api","secrets":{"A":{"scope":"shop.prod","#,
            r#""origin":"inherited","version":3,"tag":"0a","updated_at":"2026-01-01T00:00:00Z","#,
            r#""value":"eAA=","notes":"why"}},"missing":["B"],"denied":{"C":"shop"},"left_out":[]}"#,
        );
        assert_eq!(std::str::from_utf8(body.expose()).unwrap(), expected);
        let back: ReadAnswer = serde_json::from_slice(body.expose()).unwrap();
        assert_eq!(back.to_body().unwrap(), body);
        assert!(serde_json::from_str::<ReadRequest>(r#"{"names":["A"],"scope":"x"}"#).is_err());
    }
}
