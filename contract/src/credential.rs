//! A token on its way between two programs.

use std::fmt;
use std::str::FromStr;

use serde::de::{Error as _, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::redacted::Redacted;

/// The longest token, in bytes: an ID token with many groups has a few KiB.
const MAX_LEN: usize = 16 << 10;

/// A token. Its bytes are [`Redacted`]; JSON has it as it is, since a token is text already.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Credential(Redacted);

/// Why a text is not a [`Credential`]. It does not contain the text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("parse token: must be 1 to {MAX_LEN} visible characters of ASCII")]
pub struct CredentialError;

impl Credential {
    /// The token's bytes, to check it or to send it on.
    #[must_use]
    pub fn redacted(&self) -> &Redacted {
        &self.0
    }

    /// The token on its way into a JSON body.
    #[must_use]
    pub fn text(&self) -> Text<'_> {
        Text(self)
    }
}

impl TryFrom<Redacted> for Credential {
    type Error = CredentialError;

    fn try_from(bytes: Redacted) -> Result<Self, CredentialError> {
        let fits =
            (1..=MAX_LEN).contains(&bytes.len()) && bytes.expose().iter().all(u8::is_ascii_graphic);
        if fits { Ok(Self(bytes)) } else { Err(CredentialError) }
    }
}

impl FromStr for Credential {
    type Err = CredentialError;

    fn from_str(text: &str) -> Result<Self, CredentialError> {
        Self::try_from(Redacted::from(text.as_bytes()))
    }
}

/// What a [`Credential`] is in JSON. A type of its own for the reason that
/// [`crate::redacted::Wire`] is.
pub struct Text<'a>(&'a Credential);

impl Serialize for Text<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        // It was checked to be ASCII.
        serializer.serialize_str(std::str::from_utf8(self.0.0.expose()).unwrap_or_default())
    }
}

impl<'de> Deserialize<'de> for Credential {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Token;
        impl Visitor<'_> for Token {
            type Value = Credential;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a token")
            }

            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Credential, E> {
                text.parse().map_err(E::custom)
            }
        }
        // A parser's own words would quote what stands in the token's place.
        deserializer.deserialize_str(Token).map_err(|_| D::Error::custom(CredentialError))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_visible_ascii() {
        assert_eq!("a.B-1~".parse::<Credential>().unwrap().redacted().expose(), b"a.B-1~");
        for text in ["", "a b", "a\n", "ä", &"a".repeat(MAX_LEN + 1)] {
            assert!(text.parse::<Credential>().is_err());
        }
    }

    #[test]
    fn an_invalid_token_is_not_quoted() {
        for text in ["\"hunter2 \"", "12345678", "{\"hunter2\":1}"] {
            let error = serde_json::from_str::<Credential>(text).unwrap_err().to_string();
            assert!(!error.contains("hunter2") && !error.contains("12345678"), "{error}");
        }
        assert!(!format!("{:?}", "hunter2".parse::<Credential>().unwrap()).contains("hunter2"));
    }
}
