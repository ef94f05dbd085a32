//! Recognising a value as the one that was written, without keeping the value.
//!
//! Every write draws a random key and stores it in the item beside the value. The ledger keeps the
//! MAC (HMAC-SHA256) of the value's id and the value under that key, as part of the reference.
//! Without the key the MAC reveals nothing, and anybody who may read the key may also read the
//! value. An item that was edited, or that belongs to another secret or version, has another MAC.

use aws_lc_rs::hmac;
use contract::Redacted;

use super::error::ConnectError;
use super::item_title::looks_like_id;
use crate::value::{Reference, ValueId};

const MAC_BYTES: usize = 32;

/// The MAC of a value and its id, in hex.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Mac(String);

/// The key of one write and the MAC under it, as an item stores them. It also tells the items of
/// one write from all others.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Seal {
    key: String,
    pub(super) mac: Mac,
}

impl Seal {
    /// Draws a key for a new write of a value.
    pub(super) fn new(id: ValueId<'_>, value: &Redacted) -> Result<Self, ConnectError> {
        let mut key = [0; MAC_BYTES];
        aws_lc_rs::rand::fill(&mut key).map_err(|_| ConnectError::Random)?;
        let key = hex(&key);
        let mac = mac(&key, id, value);
        Ok(Self { key, mac })
    }

    /// The MAC of a value under this key.
    pub(super) fn mac_of(&self, id: ValueId<'_>, value: &Redacted) -> Mac {
        mac(&self.key, id, value)
    }

    /// The text of the item's field.
    pub(super) fn to_text(&self) -> String {
        format!("{}:{}", self.key, self.mac.0)
    }

    /// Parses the text of the item's field.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let (key, mac) = text.split_once(':')?;
        (is_hex(key) && is_hex(mac)).then(|| Self { key: key.to_owned(), mac: Mac(mac.to_owned()) })
    }
}

/// An item's id and the MAC of the value in it, as the ledger keeps them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ItemReference {
    pub(super) id: String,
    pub(super) mac: Mac,
}

impl ItemReference {
    pub(super) fn parse(reference: &Reference) -> Option<Self> {
        let (id, mac) = reference.as_str().split_once(':')?;
        (looks_like_id(id) && is_hex(mac))
            .then(|| Self { id: id.to_owned(), mac: Mac(mac.to_owned()) })
    }
}

impl From<ItemReference> for Reference {
    fn from(ItemReference { id, mac }: ItemReference) -> Self {
        Self::new(format!("{id}:{}", mac.0))
    }
}

fn mac(key: &str, id: ValueId<'_>, value: &Redacted) -> Mac {
    let key = hmac::Key::new(hmac::HMAC_SHA256, key.as_bytes());
    let mut context = hmac::Context::with_key(&key);
    // Neither a scope nor a name contains a zero byte.
    context.update(format!("{}\0{}\0{}\0", id.scope, id.name, id.version).as_bytes());
    context.update(value.expose());
    Mac(hex(context.sign().as_ref()))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn is_hex(text: &str) -> bool {
    text.len() == 2 * MAC_BYTES && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
}

#[cfg(test)]
mod tests {
    use contract::{Scope, SecretName, Version};

    use super::*;

    #[test]
    fn a_mac_fits_one_value_and_one_id() {
        let (scope, other): (Scope, Scope) = ("a.b".parse().unwrap(), "a".parse().unwrap());
        let (name, longer): (SecretName, SecretName) =
            ("N".parse().unwrap(), "N1".parse().unwrap());
        let value = Redacted::from("x".to_owned());
        let id = ValueId { scope: &scope, name: &name, version: Version(1) };
        let seal = Seal::new(id, &value).unwrap();
        assert_eq!(seal.mac_of(id, &value), seal.mac);
        assert_ne!(seal.mac_of(id, &Redacted::from("y".to_owned())), seal.mac);
        for moved in [
            ValueId { scope: &other, ..id },
            ValueId { name: &longer, ..id },
            ValueId { version: Version(2), ..id },
        ] {
            assert_ne!(seal.mac_of(moved, &value), seal.mac);
        }
        // Writing the same value again gives another MAC, so the ledger does not reveal equal
        // values.
        assert_ne!(Seal::new(id, &value).unwrap().mac, seal.mac);
        assert_eq!(Seal::parse(&seal.to_text()), Some(seal));
    }

    #[test]
    fn references_round_trip() {
        let id = ValueId {
            scope: &"a".parse().unwrap(),
            name: &"N".parse().unwrap(),
            version: Version(1),
        };
        let mac = Seal::new(id, &Redacted::default()).unwrap().mac;
        let reference = ItemReference { id: "abcdefghijklmnopqrstuvwx12".to_owned(), mac };
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
