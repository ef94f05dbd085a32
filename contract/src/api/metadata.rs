//! `/v1/secrets/{scope}/{name}/metadata`: notes, tags and expiry, without a new version.

use jiff::Timestamp;
use serde::{Deserialize, Deserializer, Serialize};

use crate::metadata::{Message, MetadataChange, Notes, TagChanges};

/// A change of what is written beside a value. What is absent stays as it is; `null` removes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct MetadataRequest {
    /// The notes of the secret. They are not secret.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "present")]
    #[cfg_attr(feature = "schema", schema(value_type = Option<Notes>))]
    pub notes: Option<Option<Notes>>,
    /// The tags that change, at most 32; the secret has at most 16 then. They are not secret.
    #[serde(default, skip_serializing_if = "TagChanges::is_empty")]
    pub tags: TagChanges,
    /// When the credential of the active version ends at its issuer.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "present")]
    #[cfg_attr(feature = "schema", schema(value_type = Option<String>, format = DateTime))]
    pub expires_at: Option<Option<Timestamp>>,
    /// Why, for the audit log.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<Message>,
}

impl MetadataRequest {
    /// What changes for the secret as a whole.
    #[must_use]
    pub fn change(&self) -> MetadataChange {
        MetadataChange { notes: self.notes.clone(), tags: self.tags.clone() }
    }

    /// Whether it changes nothing.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.notes.is_none() && self.tags.is_empty() && self.expires_at.is_none()
    }
}

/// For a field that may be absent, `null` or a value. `null` is `Some(None)`.
pub(super) fn present<'de, D: Deserializer<'de>, T: Deserialize<'de>>(
    deserializer: D,
) -> Result<Option<Option<T>>, D::Error> {
    Option::deserialize(deserializer).map(Some)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn absent_null_and_a_value_differ() {
        let read = |text: &str| serde_json::from_str::<MetadataRequest>(text).unwrap();
        for text in [
            "{}",
            r#"{"notes":null}"#,
            r#"{"notes":"x","tags":{"a":"1","b":null},"expires_at":null,"message":"why"}"#,
            r#"{"expires_at":"2027-01-31T00:00:00Z"}"#,
        ] {
            assert_eq!(serde_json::to_string(&read(text)).unwrap(), text);
        }
        assert_eq!(read(r#"{"notes":null}"#).notes, Some(None));
        assert!(read(r#"{"message":"why"}"#).is_empty() && !read(r#"{"notes":null}"#).is_empty());
        for text in [r#"{"notes":""}"#, r#"{"tags":{"a b":"1"}}"#, r#"{"value":"eA=="}"#] {
            assert!(serde_json::from_str::<MetadataRequest>(text).is_err(), "{text} was taken");
        }
    }
}
