//! `/v1/secrets/…`: values are written, rotated, read, listed and deleted.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::body::redacted;
use super::bundles::BundleState;
use super::metadata::present;
use super::word::words;
use crate::bundle::Version;
use crate::metadata::{Message, Notes, SecretMetadata, TagChanges};
use crate::name::SecretName;
use crate::redacted::{Redacted, Wire};
use crate::scope::Scope;
use crate::secret_ref::SecretRef;

/// New secrets or new versions. All of them become one generation, or none does.
#[derive(Debug, Default, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct WriteRequest {
    /// The values by name: 1 to 1000 of them.
    pub secrets: BTreeMap<SecretName, NewValue>,
}

/// One value of a write. Message, notes and tags are not secret.
#[derive(Debug, Default, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct NewValue {
    /// The bytes.
    pub value: Redacted,
    /// Write only if this is the active version; 0: only if there is no such secret.
    #[serde(default)]
    #[cfg_attr(feature = "schema", schema(minimum = 0, maximum = 9_007_199_254_740_991_u64))]
    pub if_version: Option<u64>,
    /// Why it is written, for the version's history and the audit log.
    #[serde(default)]
    pub message: Option<Message>,
    /// When the credential ends at its issuer. Without it, the version has no such time, whatever
    /// the one before had.
    #[serde(default)]
    #[cfg_attr(feature = "schema", schema(value_type = Option<String>, format = DateTime))]
    pub expires_at: Option<Timestamp>,
    /// Sets the notes of the secret; `null` removes them, and without it they stay.
    #[serde(default, deserialize_with = "present")]
    #[cfg_attr(feature = "schema", schema(value_type = Option<Notes>))]
    pub notes: Option<Option<Notes>>,
    /// Sets tags of the secret, or removes those that are `null`; others stay.
    #[serde(default)]
    pub tags: TagChanges,
    /// Whether `${scope/NAME}` in the value stands for the value of that secret, and `$${` for
    /// `${`. Otherwise the value is meant as it is.
    #[serde(default)]
    pub references: bool,
}

impl NewValue {
    /// A value that is written whatever is there.
    #[must_use]
    pub fn new(value: Redacted) -> Self {
        Self { value, ..Self::default() }
    }
}

impl WriteRequest {
    /// The request's body. It holds values, so it is [`Redacted`] as a whole.
    ///
    /// # Errors
    /// Never for a value of this type; the serialiser's signature has it.
    pub fn to_body(&self) -> Result<Redacted, serde_json::Error> {
        #[derive(Serialize)]
        struct WriteRequestBody<'a> {
            secrets: BTreeMap<&'a SecretName, NewValueBody<'a>>,
        }
        #[derive(Serialize)]
        struct NewValueBody<'a> {
            value: Wire<'a>,
            #[serde(skip_serializing_if = "Option::is_none")]
            if_version: Option<u64>,
            #[serde(skip_serializing_if = "Option::is_none")]
            message: Option<&'a Message>,
            #[serde(skip_serializing_if = "Option::is_none")]
            expires_at: Option<Timestamp>,
            #[serde(skip_serializing_if = "Option::is_none")]
            notes: Option<Option<&'a Notes>>,
            #[serde(skip_serializing_if = "TagChanges::is_empty")]
            tags: &'a TagChanges,
            #[serde(skip_serializing_if = "std::ops::Not::not")]
            references: bool,
        }
        let secrets = self.secrets.iter().map(|(name, it)| {
            let body = NewValueBody {
                value: it.value.wire(),
                if_version: it.if_version,
                message: it.message.as_ref(),
                expires_at: it.expires_at,
                notes: it.notes.as_ref().map(Option::as_ref),
                tags: &it.tags,
                references: it.references,
            };
            (name, body)
        });
        redacted(&WriteRequestBody { secrets: secrets.collect() })
    }
}

/// The answer to a write, a rotation, a rollback and an undelete: which version of each secret is
/// active now, and what became of the bundles.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct Written {
    /// The scope written to.
    pub scope: Scope,
    /// The active version of each name.
    pub versions: BTreeMap<SecretName, Version>,
    /// The bundles that hold the names, and their new generation.
    pub bundles: Vec<BundleState>,
    /// Whether these are the first secrets of the scope: a misspelled scope shows here.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub created: bool,
}

/// The secrets of a scope, by name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct SecretList {
    /// The scope listed.
    pub scope: Scope,
    /// Its secrets, without values.
    pub secrets: Vec<SecretSummary>,
    /// Every read before this time is counted in `last_read_by_…`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "schema", schema(value_type = Option<String>, format = DateTime))]
    pub reads_until: Option<Timestamp>,
    /// The cursor of the next page; absent where this is the last one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}

words! { "origin",
    /// Whether a secret belongs to the scope that was asked for.
    SecretOrigin {
        /// To that very scope.
        Own = "own",
        /// To a wider scope that contains it.
        Inherited = "inherited",
    }
}

/// One secret without its value.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct SecretSummary {
    /// The scope that it belongs to.
    pub scope: Scope,
    /// The name.
    pub name: SecretName,
    /// Whether that is the scope that was asked for.
    pub origin: SecretOrigin,
    /// The active version.
    pub version: Version,
    /// When the secret was first written.
    #[cfg_attr(feature = "schema", schema(value_type = String, format = DateTime))]
    pub created_at: Timestamp,
    /// When the active version was written or made active again.
    #[cfg_attr(feature = "schema", schema(value_type = String, format = DateTime))]
    pub updated_at: Timestamp,
    /// When it was deleted, if it was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "schema", schema(value_type = Option<String>, format = DateTime))]
    pub deleted_at: Option<Timestamp>,
    /// Until when a deleted secret can be had back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "schema", schema(value_type = Option<String>, format = DateTime))]
    pub recoverable_until: Option<Timestamp>,
    /// If its value has references, which its metadata shows and lists do not: the secrets that it
    /// refers to, as far as the caller may know of them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub references: Option<Vec<SecretRef>>,
    /// What is written beside the active version.
    #[serde(flatten)]
    pub metadata: SecretMetadata,
    /// When a pod last got it, since it was first written; absent where none did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "schema", schema(value_type = Option<String>, format = DateTime))]
    pub last_read_by_pod: Option<Timestamp>,
    /// When a person last read it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "schema", schema(value_type = Option<String>, format = DateTime))]
    pub last_read_by_person: Option<Timestamp>,
    /// When a token, or a job of a CI system, last read it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "schema", schema(value_type = Option<String>, format = DateTime))]
    pub last_read_by_program: Option<Timestamp>,
    /// Of one secret's metadata: every read before this time is counted. A list has it once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "schema", schema(value_type = Option<String>, format = DateTime))]
    pub reads_until: Option<Timestamp>,
}

/// One version of a secret with its value.
#[derive(Debug, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct SecretValue {
    /// The scope.
    pub scope: Scope,
    /// The name.
    pub name: SecretName,
    /// The version that the value is of.
    pub version: Version,
    /// When that version was written.
    #[cfg_attr(feature = "schema", schema(value_type = String, format = DateTime))]
    pub updated_at: Timestamp,
    /// The value.
    pub value: Redacted,
    /// What is written beside that version.
    #[serde(flatten)]
    pub metadata: SecretMetadata,
}

impl SecretValue {
    /// The answer's body. It holds a value, so it is [`Redacted`] as a whole.
    ///
    /// # Errors
    /// Never for a value of this type; the serialiser's signature has it.
    pub fn to_body(&self) -> Result<Redacted, serde_json::Error> {
        #[derive(Serialize)]
        struct SecretValueBody<'a> {
            scope: &'a Scope,
            name: &'a SecretName,
            version: Version,
            updated_at: Timestamp,
            value: Wire<'a>,
            #[serde(flatten)]
            metadata: &'a SecretMetadata,
        }
        let Self { scope, name, version, updated_at, value, metadata } = self;
        redacted(&SecretValueBody {
            scope,
            name,
            version: *version,
            updated_at: *updated_at,
            value: value.wire(),
            metadata,
        })
    }
}

/// A secret was deleted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct Deleted {
    /// The scope.
    pub scope: Scope,
    /// The name.
    pub name: SecretName,
    /// The bundles that no longer hold it, and their new generation.
    pub bundles: Vec<BundleState>,
    /// Until when it can be had back; absent where it cannot.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "schema", schema(value_type = Option<String>, format = DateTime))]
    pub recoverable_until: Option<Timestamp>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_write_round_trips_any_bytes() {
        let mut request = WriteRequest::default();
        for (name, value) in [
            ("EMPTY", b"".as_slice()),
            ("NUL", b"a\0b"),
            ("NEWLINE", b"line\n"),
            ("BINARY", b"\xff\xfe\x00"),
        ] {
            request.secrets.insert(name.parse().unwrap(), NewValue::new(Redacted::from(value)));
        }
        request.secrets.insert(
            "NEW".parse().unwrap(),
            NewValue {
                if_version: Some(0),
                message: Some("why".parse().unwrap()),
                expires_at: Some("2027-01-31T00:00:00Z".parse().unwrap()),
                notes: Some(None),
                tags: serde_json::from_str(r#"{"a":"1","b":null}"#).unwrap(),
                references: true,
                ..NewValue::default()
            },
        );
        let body = request.to_body().unwrap();
        let back: WriteRequest = serde_json::from_slice(body.expose()).unwrap();
        assert_eq!(back.secrets.len(), request.secrets.len());
        let parts = |it: &NewValue| {
            let value = it.value.expose().to_vec();
            let metadata = (it.message.clone(), it.expires_at, it.notes.clone(), it.tags.clone());
            (value, it.if_version, it.references, metadata)
        };
        for (name, value) in &request.secrets {
            assert_eq!(parts(&back.secrets[name]), parts(value), "{name}");
        }
        assert!(!format!("{request:?}").contains("line"));
    }

    #[test]
    fn a_value_round_trips() {
        let value = SecretValue {
            scope: "shop.prod.api".parse().unwrap(),
            name: "A".parse().unwrap(),
            version: Version(3),
            updated_at: "2026-01-01T00:00:00Z".parse().unwrap(),
            value: Redacted::from(b"x\0".as_slice()),
            metadata: SecretMetadata::default(),
        };
        let body = value.to_body().unwrap();
        assert_eq!(
            body.expose(),
            br#"{"scope":"shop.prod.api","name":"A","version":3,"updated_at":"2026-01-01T00:00:00Z","value":"eAA="}"#
        );
        assert_eq!(
            serde_json::from_slice::<SecretValue>(body.expose()).unwrap().value,
            value.value
        );
    }

    #[test]
    fn what_is_absent_is_not_written() {
        let summary = concat!(
            r#"{"scope":"shop","name":"A","origin":"own","version":1,"#,
            r#""created_at":"2026-01-01T00:00:00Z","#,
            r#""updated_at":"2026-01-02T03:04:05.123456789Z"}"#,
        );
        let list = format!(r#"{{"scope":"shop","secrets":[{summary}]}}"#);
        let read: SecretList = serde_json::from_str(&list).unwrap();
        assert_eq!(read.secrets[0].deleted_at, None);
        assert_eq!(serde_json::to_string(&read).unwrap(), list);
    }
}
