//! A secret's bytes, from the socket to the file.
//!
//! There is no `Display` and no `Serialize`; `Debug` prints `<redacted>`; the bytes are wiped when
//! the value is dropped. Copies that a library makes on the way (a TLS record buffer, a JSON
//! parser) are out of this type's reach: SECURITY.md says who wipes which.

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::de::{Error as _, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use zeroize::{Zeroize, ZeroizeOnDrop};

/// The bytes of a secret value, or of a credential.
#[derive(Clone, Default, PartialEq, Eq, Zeroize, ZeroizeOnDrop)]
pub struct Redacted(Vec<u8>);

impl Redacted {
    /// Takes ownership of the bytes, without a copy.
    #[must_use]
    pub fn new(bytes: Vec<u8>) -> Self {
        Self(bytes)
    }

    /// The bytes. Review every call: they may go to a file of the pod's memory volume, a cipher or
    /// the TLS stream, and nowhere else.
    #[must_use]
    pub fn expose(&self) -> &[u8] {
        &self.0
    }

    /// Length in bytes.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether the value is empty, which is allowed.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The value for a JSON body, between processes of this system over TLS: see [`Wire`].
    #[must_use]
    pub fn wire(&self) -> Wire<'_> {
        Wire(self)
    }
}

impl From<Vec<u8>> for Redacted {
    fn from(bytes: Vec<u8>) -> Self {
        Self(bytes)
    }
}

impl From<&[u8]> for Redacted {
    fn from(bytes: &[u8]) -> Self {
        Self(bytes.to_vec())
    }
}

impl From<String> for Redacted {
    fn from(text: String) -> Self {
        Self(text.into_bytes())
    }
}

impl fmt::Debug for Redacted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("<redacted>")
    }
}

/// A value on its way into a JSON body: standard base64, since values are bytes and JSON strings
/// are not. It is a type of its own so that a struct never becomes serialisable by holding a
/// [`Redacted`]: whoever writes a value says so with [`Redacted::wire`].
pub struct Wire<'a>(&'a Redacted);

impl Serialize for Wire<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut text = STANDARD.encode(self.0.expose());
        let result = serializer.serialize_str(&text);
        text.zeroize();
        result
    }
}

/// Reads what [`Wire`] writes.
impl<'de> Deserialize<'de> for Redacted {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Base64;
        impl Visitor<'_> for Base64 {
            type Value = Redacted;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a value in standard base64")
            }

            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Redacted, E> {
                // The decoder's own error text quotes the offending byte, so it stops here.
                STANDARD
                    .decode(text)
                    .map(Redacted)
                    .map_err(|_| E::custom("value is not standard base64"))
            }
        }
        deserializer
            .deserialize_str(Base64)
            .map_err(|_| D::Error::custom("value is not a string in standard base64"))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn debug_does_not_show_the_value() {
        assert_eq!(format!("{:?}", Redacted::from(b"hunter2".as_slice())), "<redacted>");
    }

    #[test]
    fn a_bad_value_is_not_quoted() {
        let error = serde_json::from_str::<Redacted>("\"hunter2!\"").unwrap_err();
        assert!(!error.to_string().contains("hunter2"), "{error}");
        let error = serde_json::from_str::<Redacted>("12345678").unwrap_err();
        assert!(!error.to_string().contains("12345678"), "{error}");
    }

    proptest! {
        #[test]
        fn bytes_round_trip(bytes: Vec<u8>) {
            let value = Redacted::new(bytes.clone());
            let json = serde_json::to_string(&value.wire()).unwrap();
            let back: Redacted = serde_json::from_str(&json).unwrap();
            prop_assert_eq!(back.expose(), bytes.as_slice());
        }
    }
}
