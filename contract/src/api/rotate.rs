//! Rotations: new values for secrets that exist.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::body::redacted;
use super::object::optional;
use super::word::words;
use crate::metadata::Message;
use crate::name::SecretName;
use crate::redacted::{Redacted, Wire};

/// A new value for a secret that exists: the one given, or one that the server makes up. With
/// neither of the two, one is made up as usual. The value is never in the answer.
#[derive(Debug, Default, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct RotateRequest {
    /// The bytes.
    #[serde(default)]
    pub value: Option<Redacted>,
    /// How to make one up.
    #[serde(default, deserialize_with = "optional")]
    pub generate: Option<Generate>,
    /// Rotate only if this is the active version.
    #[serde(default)]
    #[cfg_attr(feature = "schema", schema(minimum = 1, maximum = 9_007_199_254_740_991_u64))]
    pub if_version: Option<u64>,
    /// Why it is rotated, for the version's history and the audit log. It is not secret.
    #[serde(default)]
    pub message: Option<Message>,
    /// When the new credential ends at its issuer. Without it, the version has no such time.
    #[serde(default)]
    #[cfg_attr(feature = "schema", schema(value_type = Option<String>, format = DateTime))]
    pub expires_at: Option<Timestamp>,
}

impl RotateRequest {
    /// The request's body. It may hold a value, so it is [`Redacted`] as a whole.
    ///
    /// # Errors
    /// Never for a value of this type; the serialiser's signature has it.
    pub fn to_body(&self) -> Result<Redacted, serde_json::Error> {
        redacted(&self.body())
    }

    fn body(&self) -> RotateRequestBody<'_> {
        let Self { value, generate, if_version, message, expires_at } = self;
        RotateRequestBody {
            value: value.as_ref().map(Redacted::wire),
            generate: *generate,
            if_version: *if_version,
            message: message.as_ref(),
            expires_at: *expires_at,
        }
    }
}

/// A [`RotateRequest`] as it is sent.
#[derive(Serialize)]
struct RotateRequestBody<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    value: Option<Wire<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    generate: Option<Generate>,
    #[serde(skip_serializing_if = "Option::is_none")]
    if_version: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    message: Option<&'a Message>,
    #[serde(skip_serializing_if = "Option::is_none")]
    expires_at: Option<Timestamp>,
}

/// New values for several secrets that exist. All of them become one generation, or none does.
#[derive(Debug, Default, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct RotateManyRequest {
    /// How to rotate each secret, by name: 1 to 1000 of them.
    pub secrets: BTreeMap<SecretName, RotateRequest>,
}

impl RotateManyRequest {
    /// The request's body. It may hold values, so it is [`Redacted`] as a whole.
    ///
    /// # Errors
    /// Never for a value of this type; the serialiser's signature has it.
    pub fn to_body(&self) -> Result<Redacted, serde_json::Error> {
        #[derive(Serialize)]
        struct RotateManyRequestBody<'a> {
            secrets: BTreeMap<&'a SecretName, RotateRequestBody<'a>>,
        }
        let secrets = self.secrets.iter().map(|(name, it)| (name, it.body())).collect();
        redacted(&RotateManyRequestBody { secrets })
    }
}

/// How to make up a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields, default)]
pub struct Generate {
    /// How many characters.
    #[cfg_attr(feature = "schema", schema(minimum = 8, maximum = 4096, default = 32))]
    pub length: u32,
    /// Of which alphabet.
    pub alphabet: Alphabet,
}

impl Generate {
    /// The shortest generated value, in characters.
    pub const MIN_LENGTH: u32 = 8;
    /// The longest generated value, in characters.
    pub const MAX_LENGTH: u32 = 4096;
}

impl Default for Generate {
    fn default() -> Self {
        Self { length: 32, alphabet: Alphabet::Alphanumeric }
    }
}

words! { "alphabet",
    /// The characters of a value that is made up. Each is as likely as any other.
    Alphabet {
        /// `A-Z a-z 0-9`.
        Alphanumeric = "alphanumeric",
        /// Every character of ASCII that can be seen, from `!` to `~`.
        Ascii = "ascii",
        /// `A-Z a-z 0-9 - _`.
        Base64Url = "base64url",
        /// `0-9 a-f`.
        Hex = "hex",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rotation_round_trips() {
        let given = RotateRequest {
            value: Some(Redacted::from(b"x\0".as_slice())),
            if_version: Some(3),
            ..RotateRequest::default()
        };
        assert_eq!(given.to_body().unwrap().expose(), br#"{"value":"eAA=","if_version":3}"#);
        let made = Generate { length: 64, alphabet: Alphabet::Base64Url };
        let body =
            RotateRequest { generate: Some(made), ..RotateRequest::default() }.to_body().unwrap();
        assert_eq!(body.expose(), br#"{"generate":{"length":64,"alphabet":"base64url"}}"#);
        assert_eq!(
            serde_json::from_slice::<RotateRequest>(body.expose()).unwrap().generate,
            Some(made)
        );
        let short: RotateRequest =
            serde_json::from_str(r#"{"generate":{"alphabet":"hex"}}"#).unwrap();
        assert_eq!(short.generate, Some(Generate { length: 32, alphabet: Alphabet::Hex }));
        assert!(serde_json::from_str::<RotateRequest>(r#"{"version":1}"#).is_err());
    }
}
