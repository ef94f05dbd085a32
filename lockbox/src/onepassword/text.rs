//! Bytes as the text of a field, and back.
//!
//! What a person can read and type stays as it is. Everything else is `base64:` and standard
//! base64, and so is a text that begins with `base64:` itself, so that there is one way back for
//! each.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use contract::Redacted;
use serde::{Deserialize, Serialize};
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

const PREFIX: &str = "base64:";

/// The text of a field, which may be a value. It is serialised for Connect alone, and wiped.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize, Zeroize, ZeroizeOnDrop)]
#[serde(transparent)]
pub(super) struct Text(String);

impl std::fmt::Debug for Text {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("<redacted>")
    }
}

impl From<String> for Text {
    fn from(text: String) -> Self {
        Self(text)
    }
}

impl Text {
    pub(super) fn as_str(&self) -> &str {
        &self.0
    }

    /// The text of these bytes.
    pub(super) fn of(value: &Redacted) -> Self {
        match std::str::from_utf8(value.expose()) {
            Ok(text) if readable(text) => Self(text.to_owned()),
            _ => {
                let encoded = Zeroizing::new(STANDARD.encode(value.expose()));
                Self([PREFIX, &encoded].concat())
            }
        }
    }

    /// The bytes of this text; nothing where it says that it is base64 and is not.
    pub(super) fn bytes(&self) -> Option<Redacted> {
        match self.0.strip_prefix(PREFIX) {
            Some(encoded) => STANDARD.decode(encoded).ok().map(Redacted::new),
            None => Some(Redacted::from(self.0.as_bytes())),
        }
    }
}

/// Whether a text is kept as it is: there is something in it, and nothing that a program between
/// here and the vault might drop or change.
fn readable(text: &str) -> bool {
    let plain = |c: char| matches!(c, '\n' | '\t') || !c.is_control();
    !text.is_empty() && !text.starts_with(PREFIX) && text.chars().all(plain)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_people_read() {
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
            assert_eq!(Text::of(&Redacted::from(bytes)).as_str(), text);
        }
        assert_eq!(Text::from("base64:!".to_owned()).bytes(), None);
        assert_eq!(format!("{:?}", Text::from("hunter2".to_owned())), "<redacted>");
    }

    proptest! {
        #[test]
        fn bytes_come_out_as_they_went_in(bytes: Vec<u8>) {
            let value = Redacted::new(bytes);
            prop_assert_eq!(Text::of(&value).bytes(), Some(value));
        }

        #[test]
        fn texts_too(text in "(base64:)?[a-zA-Z0-9+/=\\PC\n]{0,40}") {
            let value = Redacted::from(text);
            prop_assert_eq!(Text::of(&value).bytes(), Some(value));
        }
    }
}
