//! How a value is recognised as the one that was written, without the value.
//!
//! Every write draws a random key and keeps it in the item beside the value; the ledger keeps the
//! code (HMAC-SHA256) of place and value under that key, as a part of the reference. The code says
//! nothing without the key, and whoever may read the key may read the value anyway. An item that
//! was edited, or that belongs to another secret or version, has another code.

use aws_lc_rs::hmac;
use contract::{Redacted, Scope, SecretName, Version};

use super::error::ConnectError;
use crate::store::Reference;

const BYTES: usize = 32;

/// The place that a value belongs to.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place<'a> {
    pub(super) scope: &'a Scope,
    pub(super) name: &'a SecretName,
    pub(super) version: Version,
}

/// The code of a value at its place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Code(String);

/// The key of one write and the code that it gave: what an item keeps of itself. It also tells the
/// items of one write from all others.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Seal {
    key: String,
    pub(super) code: Code,
}

impl Seal {
    /// A new write of that value at that place.
    pub(super) fn new(place: Place<'_>, value: &Redacted) -> Result<Self, ConnectError> {
        let mut key = [0; BYTES];
        aws_lc_rs::rand::fill(&mut key).map_err(|_| ConnectError::Random)?;
        let key = hex(&key);
        let code = code(&key, place, value);
        Ok(Self { key, code })
    }

    /// The code that this key gives to a value at a place.
    pub(super) fn code_of(&self, place: Place<'_>, value: &Redacted) -> Code {
        code(&self.key, place, value)
    }

    /// As an item's field has it.
    pub(super) fn to_text(&self) -> String {
        format!("{}:{}", self.key, self.code.0)
    }

    /// From an item's field.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let (key, code) = text.split_once(':')?;
        (is_hex(key) && is_hex(code))
            .then(|| Self { key: key.to_owned(), code: Code(code.to_owned()) })
    }
}

/// An item's id and the code of the value in it, as the ledger keeps them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ItemReference {
    pub(super) id: String,
    pub(super) code: Code,
}

impl ItemReference {
    pub(super) fn parse(reference: &Reference) -> Option<Self> {
        let (id, code) = reference.as_str().split_once(':')?;
        (super::title::looks_like_id(id) && is_hex(code))
            .then(|| Self { id: id.to_owned(), code: Code(code.to_owned()) })
    }
}

impl From<ItemReference> for Reference {
    fn from(ItemReference { id, code }: ItemReference) -> Self {
        Self::new(format!("{id}:{}", code.0))
    }
}

fn code(key: &str, place: Place<'_>, value: &Redacted) -> Code {
    let key = hmac::Key::new(hmac::HMAC_SHA256, key.as_bytes());
    let mut context = hmac::Context::with_key(&key);
    // Neither a scope nor a name has a zero byte.
    context.update(format!("{}\0{}\0{}\0", place.scope, place.name, place.version).as_bytes());
    context.update(value.expose());
    Code(hex(context.sign().as_ref()))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn is_hex(text: &str) -> bool {
    text.len() == 2 * BYTES && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_is_of_one_value_at_one_place() {
        let (scope, other): (Scope, Scope) = ("a.b".parse().unwrap(), "a".parse().unwrap());
        let (name, longer): (SecretName, SecretName) =
            ("N".parse().unwrap(), "N1".parse().unwrap());
        let value = Redacted::from("x".to_owned());
        let place = Place { scope: &scope, name: &name, version: Version(1) };
        let seal = Seal::new(place, &value).unwrap();
        assert_eq!(seal.code_of(place, &value), seal.code);
        assert_ne!(seal.code_of(place, &Redacted::from("y".to_owned())), seal.code);
        for moved in [
            Place { scope: &other, ..place },
            Place { name: &longer, ..place },
            Place { version: Version(2), ..place },
        ] {
            assert_ne!(seal.code_of(moved, &value), seal.code);
        }
        // The same value once more has another code: the ledger does not say that two are equal.
        assert_ne!(Seal::new(place, &value).unwrap().code, seal.code);
        assert_eq!(Seal::parse(&seal.to_text()), Some(seal));
    }

    #[test]
    fn references_round_trip() {
        let place = Place {
            scope: &"a".parse().unwrap(),
            name: &"N".parse().unwrap(),
            version: Version(1),
        };
        let code = Seal::new(place, &Redacted::default()).unwrap().code;
        let reference = ItemReference { id: "abcdefghijklmnopqrstuvwx12".to_owned(), code };
        assert_eq!(ItemReference::parse(&reference.clone().into()), Some(reference));
        for text in [
            "",
            "0",
            &"0".repeat(32),
            "abcdefghijklmnopqrstuvwx12",
            "abcdefghijklmnopqrstuvwx12:0",
            "../:x",
        ] {
            assert_eq!(ItemReference::parse(&Reference::new(text.to_owned())), None, "{text}");
        }
        assert_eq!(Seal::parse("x:y"), None);
    }
}
