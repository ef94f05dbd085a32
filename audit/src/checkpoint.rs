//! Signed heads of the trail. A copy of one outside of the database is what nobody who can write to
//! the database can get around: the chain alone does not show that its end was cut off, or all of
//! it rewritten.

use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::signature::{ED25519, Ed25519KeyPair, KeyPair as _, UnparsedPublicKey};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::Hash;

/// What is signed, and in which form.
const FORM: &[u8] = b"enclii audit checkpoint\x01";

/// What stands before an Ed25519 key's 32 bytes in a SubjectPublicKeyInfo (RFC 8410).
const INFO: [u8; 12] = [0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00];

const BEGIN: &str = "-----BEGIN PUBLIC KEY-----";
const END: &str = "-----END PUBLIC KEY-----";

/// The end of the trail as it was at a time, signed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Checkpoint {
    /// The last record.
    pub sequence: u64,
    /// Its hash.
    pub hash: Hash,
    /// When it was signed, to the millisecond.
    pub at: Timestamp,
    /// Which key signed it.
    pub key_id: String,
    /// The signature (Ed25519), in base64.
    pub signature: String,
}

/// A key could not be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// It is no Ed25519 key in PKCS #8.
    #[error("read signing key: it is no Ed25519 key in PKCS #8")]
    Signing,
    /// It is no Ed25519 key in PEM.
    #[error("read public key: it is no Ed25519 key as PEM writes it (BEGIN PUBLIC KEY)")]
    Public,
}

/// The key that checkpoints are signed with.
pub struct SigningKey {
    pair: Ed25519KeyPair,
    public: PublicKey,
}

/// The key that a signature is checked with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PublicKey([u8; 32]);

impl std::fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SigningKey").field("id", &self.public.id()).finish_non_exhaustive()
    }
}

impl SigningKey {
    /// The key in a PKCS #8 document.
    ///
    /// # Errors
    /// Where there is none.
    pub fn from_pkcs8(document: &[u8]) -> Result<Self, KeyError> {
        let pair = Ed25519KeyPair::from_pkcs8(document).map_err(|_| KeyError::Signing)?;
        let public = pair.public_key().as_ref().try_into().map_err(|_| KeyError::Signing)?;
        Ok(Self { pair, public: PublicKey(public) })
    }

    /// Its public half.
    #[must_use]
    pub fn public(&self) -> &PublicKey {
        &self.public
    }

    /// Signs the end of a trail.
    #[must_use]
    pub fn sign(&self, sequence: u64, hash: Hash, at: Timestamp) -> Checkpoint {
        let at = crate::record::to_the_millisecond(at);
        let mut checkpoint =
            Checkpoint { sequence, hash, at, key_id: self.public.id(), signature: String::new() };
        checkpoint.signature = STANDARD.encode(self.pair.sign(&checkpoint.signed()));
        checkpoint
    }
}

impl PublicKey {
    /// The first 16 hexadecimal digits of its SHA-256.
    #[must_use]
    pub fn id(&self) -> String {
        digest(&SHA256, &self.0).as_ref().iter().take(8).map(|byte| format!("{byte:02x}")).collect()
    }

    /// The key as PEM, which OpenSSL and everybody else reads.
    #[must_use]
    pub fn to_pem(&self) -> String {
        format!("{BEGIN}\n{}\n{END}\n", STANDARD.encode([&INFO[..], &self.0].concat()))
    }

    /// Every key in a PEM text: after the signing key was replaced, old checkpoints need the old
    /// one.
    ///
    /// # Errors
    /// Where one is no Ed25519 key, or there is none.
    pub fn all_from_pem(text: &str) -> Result<Vec<Self>, KeyError> {
        let blocks = text.split(BEGIN).skip(1).map(|rest| {
            let (body, _) = rest.split_once(END).ok_or(KeyError::Public)?;
            let body: String = body.split_ascii_whitespace().collect();
            let document = STANDARD.decode(body).map_err(|_| KeyError::Public)?;
            let key = document
                .strip_prefix(&INFO)
                .and_then(|key| key.try_into().ok())
                .ok_or(KeyError::Public)?;
            Ok(Self(key))
        });
        let keys: Vec<_> = blocks.collect::<Result<_, _>>()?;
        if keys.is_empty() { Err(KeyError::Public) } else { Ok(keys) }
    }
}

impl Checkpoint {
    /// Whether `key` signed exactly this.
    #[must_use]
    pub fn is_signed_by(&self, key: &PublicKey) -> bool {
        let Ok(signature) = STANDARD.decode(&self.signature) else { return false };
        self.key_id == key.id()
            && UnparsedPublicKey::new(&ED25519, &key.0).verify(&self.signed(), &signature).is_ok()
    }

    /// The bytes that the signature is over.
    fn signed(&self) -> Vec<u8> {
        let Self { sequence, hash, at, key_id, signature: _ } = self;
        let length = (key_id.len() as u64).to_be_bytes();
        [
            FORM,
            &sequence.to_be_bytes(),
            &hash.0,
            &at.as_nanosecond().to_be_bytes(),
            &length,
            key_id.as_bytes(),
        ]
        .concat()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::fixture;

    #[test]
    fn keys_are_read_back_as_pem() {
        let (one, other) = (fixture::key(1), fixture::key(2));
        let both = format!("comment\n{}{}", one.public().to_pem(), other.public().to_pem());
        assert_eq!(
            PublicKey::all_from_pem(&both).unwrap(),
            [one.public().clone(), other.public().clone()]
        );
        let broken = both.replace("MCow", "MCoW");
        for text in ["", "-----BEGIN PUBLIC KEY-----\n", broken.as_str()] {
            assert_eq!(PublicKey::all_from_pem(text), Err(KeyError::Public), "{text}");
        }
        assert_eq!(SigningKey::from_pkcs8(b"no key").unwrap_err(), KeyError::Signing);
        assert!(!format!("{one:?}").contains("pair"));
    }

    proptest! {
        #[test]
        fn a_signature_is_over_everything(sequence: u64, hash: [u8; 32], way in 0..5usize) {
            let key = fixture::key(1);
            let checkpoint = key.sign(sequence, Hash(hash), fixture::time(5));
            prop_assert!(checkpoint.is_signed_by(key.public()));
            prop_assert!(!checkpoint.is_signed_by(fixture::key(2).public()));
            let text = serde_json::to_string(&checkpoint).unwrap();
            prop_assert_eq!(&serde_json::from_str::<Checkpoint>(&text).unwrap(), &checkpoint);
            let mut forged = checkpoint;
            match way {
                0 => forged.sequence = forged.sequence.wrapping_add(1),
                1 => forged.hash.0[7] ^= 1,
                2 => forged.at = fixture::time(6),
                3 => forged.signature = STANDARD.encode([0; 64]),
                _ => forged.key_id = fixture::key(2).public().id(),
            }
            prop_assert!(!forged.is_signed_by(key.public()));
            prop_assert!(!forged.is_signed_by(fixture::key(2).public()));
        }
    }
}
