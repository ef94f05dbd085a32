//! `/v1/tokens`: tokens of the API, for programs and for people without a browser.

use std::fmt;
use std::str::FromStr;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::body::redacted;
use super::grants::Role;
use super::word::words;
use crate::credential::{Credential, Text};
use crate::redacted::Redacted;
use crate::scope::Scope;

/// The name of a token: 1 to 63 of `a-z`, `A-Z`, `0-9`, `.`, `_` and `-`, with a letter or digit
/// first.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct TokenName(String);

/// Why a text is not a [`TokenName`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TokenNameError {
    /// Not of the required form.
    #[error(
        "parse token name {0:?}: must be 1 to 63 letters, digits, '.', '_' and '-', with a letter \
         or digit first"
    )]
    Form(String),
    /// Longer than a name may be.
    #[error(
        "parse token name {start:?}…: has {length} characters; a token's name has at most \
         {MAX_TOKEN_NAME_LEN}"
    )]
    Long {
        /// The start of the text.
        start: String,
        /// How many characters it has.
        length: usize,
    },
}

/// How many characters a token's name has at most.
const MAX_TOKEN_NAME_LEN: usize = 63;

impl TokenName {
    /// The name's text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for TokenName {
    type Err = TokenNameError;

    fn from_str(text: &str) -> Result<Self, TokenNameError> {
        let bytes = text.as_bytes();
        let fits = bytes.first().is_some_and(u8::is_ascii_alphanumeric)
            && bytes.iter().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-'));
        if !fits {
            return Err(TokenNameError::Form(text.chars().take(80).collect()));
        }
        if bytes.len() > MAX_TOKEN_NAME_LEN {
            let start = text.chars().take(20).collect();
            return Err(TokenNameError::Long { start, length: bytes.len() });
        }
        Ok(Self(text.to_owned()))
    }
}

impl TryFrom<String> for TokenName {
    type Error = TokenNameError;

    fn try_from(text: String) -> Result<Self, TokenNameError> {
        text.parse()
    }
}

impl From<TokenName> for String {
    fn from(name: TokenName) -> Self {
        name.0
    }
}

impl fmt::Display for TokenName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

words! { "kind of token",
    /// What kind of token it is.
    TokenKind {
        /// Made for a program, with a role of its own.
        Token = "token",
        /// The session of somebody who logged in.
        Session = "session",
    }
}

/// A new token.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct TokenRequest {
    /// Its name, which no other valid token has.
    pub name: TokenName,
    /// What it may do.
    pub role: Role,
    /// Where: this scope and all below it; everywhere where it is absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scope: Option<Scope>,
    /// How long it is valid.
    #[serde(default = "TokenRequest::default_ttl_seconds")]
    #[cfg_attr(feature = "schema", schema(minimum = 60, maximum = 7_776_000, default = 86_400))]
    pub ttl_seconds: u64,
}

impl TokenRequest {
    /// The shortest lifetime of a token.
    pub const MIN_TTL_SECONDS: u64 = 60;
    /// The default lifetime of a token: a day.
    pub const DEFAULT_TTL_SECONDS: u64 = 24 * 60 * 60;
    /// The longest lifetime of a token: 90 days.
    pub const MAX_TTL_SECONDS: u64 = 90 * 24 * 60 * 60;

    fn default_ttl_seconds() -> u64 {
        Self::DEFAULT_TTL_SECONDS
    }
}

/// A token that was just made. This is the only time that it is shown.
#[derive(Debug, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct TokenCreated {
    /// The token, for the header `Authorization: Bearer`.
    pub token: Credential,
    /// Its name.
    pub name: TokenName,
    /// What it may do.
    pub role: Role,
    /// Where; everywhere where it is absent.
    #[serde(default)]
    pub scope: Option<Scope>,
    /// When it ends.
    #[cfg_attr(feature = "schema", schema(value_type = String, format = DateTime))]
    pub expires_at: Timestamp,
}

impl TokenCreated {
    /// The answer's body. It holds a token, so it is [`Redacted`] as a whole.
    ///
    /// # Errors
    /// Never for a value of this type; the serialiser's signature has it.
    pub fn to_body(&self) -> Result<Redacted, serde_json::Error> {
        #[derive(Serialize)]
        struct TokenCreatedBody<'a> {
            token: Text<'a>,
            name: &'a TokenName,
            role: Role,
            #[serde(skip_serializing_if = "Option::is_none")]
            scope: Option<&'a Scope>,
            expires_at: Timestamp,
        }
        let Self { token, name, role, scope, expires_at } = self;
        redacted(&TokenCreatedBody {
            token: token.text(),
            name,
            role: *role,
            scope: scope.as_ref(),
            expires_at: *expires_at,
        })
    }
}

/// A valid token, without the token.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct TokenSummary {
    /// Its name.
    pub name: TokenName,
    /// Its kind.
    pub kind: TokenKind,
    /// What it may do, where it has a role of its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub role: Option<Role>,
    /// Where; everywhere where it is absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scope: Option<Scope>,
    /// When it was made.
    #[cfg_attr(feature = "schema", schema(value_type = String, format = DateTime))]
    pub created_at: Timestamp,
    /// Who made it.
    pub created_by: String,
    /// When it ends; absent where it does not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "schema", schema(value_type = Option<String>, format = DateTime))]
    pub expires_at: Option<Timestamp>,
    /// When it was last used, to the minute or so; absent where it was not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "schema", schema(value_type = Option<String>, format = DateTime))]
    pub last_used_at: Option<Timestamp>,
}

/// The valid tokens that the caller may see, by name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct TokenList {
    /// The tokens.
    pub tokens: Vec<TokenSummary>,
    /// The cursor of the next page; absent where this is the last one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names() {
        for text in ["ci", "CI-2", "a.b_c", &"a".repeat(63)] {
            assert_eq!(text.parse::<TokenName>().unwrap().as_str(), text);
        }
        for text in ["", "-ci", ".", "..", "a/b", "a b", "ä", "a\n", &"a".repeat(64)] {
            assert!(text.parse::<TokenName>().is_err(), "{text:?} was accepted");
        }
    }

    #[test]
    fn a_request_has_a_default_lifetime() {
        let read: TokenRequest =
            serde_json::from_str(r#"{"name":"ci","role":"developer"}"#).unwrap();
        assert_eq!((read.scope.as_ref(), read.ttl_seconds), (None, 86_400));
        assert_eq!(
            serde_json::to_string(&read).unwrap(),
            r#"{"name":"ci","role":"developer","ttl_seconds":86400}"#
        );
    }

    #[test]
    fn a_new_token_round_trips_and_is_not_printed() {
        let created = TokenCreated {
            token: "enclii_abc".parse().unwrap(),
            name: "ci".parse().unwrap(),
            role: Role::Developer,
            scope: None,
            expires_at: "2026-01-01T00:00:00Z".parse().unwrap(),
        };
        let body = created.to_body().unwrap();
        assert_eq!(
            body.expose(),
            br#"{"token":"enclii_abc","name":"ci","role":"developer","expires_at":"2026-01-01T00:00:00Z"}"#
        );
        let back: TokenCreated = serde_json::from_slice(body.expose()).unwrap();
        assert_eq!(back.token, created.token);
        assert!(!format!("{created:?}").contains("enclii_abc"));
    }
}
