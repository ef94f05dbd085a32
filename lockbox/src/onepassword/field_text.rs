//! Converting bytes to the text of a field, and back.
//!
//! What a person can read and type stays as it is. Everything else becomes `base64:` and standard
//! base64, and so does a text that itself begins with `base64:`, so that decoding is unambiguous.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use contract::Redacted;
use serde::{Deserialize, Serialize};
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

const PREFIX: &str = "base64:";

/// The text of a field, which may be a secret value. It is serialised only for Connect, and wiped
/// on drop.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize, Zeroize, ZeroizeOnDrop)]
#[serde(transparent)]
pub(super) struct FieldText(String);

impl std::fmt::Debug for FieldText {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("<redacted>")
    }
}

impl From<String> for FieldText {
    fn from(text: String) -> Self {
        Self(text)
    }
}

impl FieldText {
    pub(super) fn as_str(&self) -> &str {
        &self.0
    }

    /// Encodes a value.
    pub(super) fn encode(value: &Redacted) -> Self {
        match std::str::from_utf8(value.expose()) {
            Ok(text) if is_readable(text) => Self(text.to_owned()),
            _ => {
                let encoded = Zeroizing::new(STANDARD.encode(value.expose()));
                Self([PREFIX, &encoded].concat())
            }
        }
    }

    /// Decodes the text. `None` if it claims to be base64 and is not.
    pub(super) fn decode(&self) -> Option<Redacted> {
        match self.0.strip_prefix(PREFIX) {
            Some(encoded) => STANDARD.decode(encoded).ok().map(Redacted::new),
            None => Some(Redacted::from(self.0.as_bytes())),
        }
    }
}

/// Whether a text is kept as it is: it is not empty, and nothing between here and the vault might
/// drop or change a character of it.
fn is_readable(text: &str) -> bool {
    let plain = |c: char| matches!(c, '\n' | '\t') || !c.is_control();
    !text.is_empty() && !text.starts_with(PREFIX) && text.chars().all(plain)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn readable_text_stays_and_the_rest_becomes_base64() {
        let table: [(&[u8], &str); 9] = [
            (b"postgres://app:x@db/shop", "postgres://app:x@db/shop"),
            (
                b"-----BEGIN KEY-----\nabc\n-----END KEY-----\n",
                "-----BEGIN KEY-----\nabc\n-----END KEY-----\n",
            ),
            ("gr\u{fc}n".as_bytes(), "gr\u{fc}n"),
            (b"", "base64:"),
            (b"base64:", "base64:YmFzZTY0Og=="),
            (b"\xff", "base64:/w=="),
            (b"a\0", "base64:YQA="),
            (b"a\r\n", "base64:YQ0K"),
            (b"BASE64:", "BASE64:"),
        ];
        for (bytes, text) in table {
            assert_eq!(FieldText::encode(&Redacted::from(bytes)).as_str(), text);
        }
        assert_eq!(FieldText::from("base64:!".to_owned()).decode(), None);
        assert_eq!(format!("{:?}", FieldText::from("hunter2".to_owned())), "<redacted>");
    }

    proptest! {
        #[test]
        fn bytes_round_trip(bytes: Vec<u8>) {
            let value = Redacted::new(bytes);
            prop_assert_eq!(FieldText::encode(&value).decode(), Some(value));
        }

        #[test]
        fn texts_round_trip(text in "(base64:)?[a-zA-Z0-9+/=\\PC\n]{0,40}") {
            let value = Redacted::from(text);
            prop_assert_eq!(FieldText::encode(&value).decode(), Some(value));
        }
    }
}
