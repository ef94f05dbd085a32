//! Signed heads of the audit log.
//!
//! The chain alone cannot show that the log was truncated or completely rewritten. A checkpoint
//! stored outside the database can, even against someone with full write access to it.

use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::signature::{ED25519, Ed25519KeyPair, KeyPair as _, UnparsedPublicKey};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::Hash;

/// Domain separation and format version.
const PREFIX: &[u8] = b"enclii audit checkpoint\x01";

/// The DER header of an Ed25519 SubjectPublicKeyInfo (RFC 8410); the key's 32 bytes follow.
const SPKI_HEADER: [u8; 12] =
    [0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00];

const BEGIN: &str = "-----BEGIN PUBLIC KEY-----";
const END: &str = "-----END PUBLIC KEY-----";

/// The signed head of the audit log at a point in time.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Checkpoint {
    /// The sequence number of the last record.
    pub sequence: u64,
    /// The last record's hash.
    pub hash: Hash,
    /// When it was signed, truncated to milliseconds.
    pub at: Timestamp,
    /// The signing key's [`PublicKey::id`].
    pub key_id: String,
    /// The Ed25519 signature in base64.
    pub signature: String,
}

/// A key could not be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// The bytes are not an Ed25519 key in PKCS #8.
    #[error("read signing key: it is not an Ed25519 key in PKCS #8")]
    Signing,
    /// The text is not an Ed25519 public key in PEM.
    #[error("read public key: it is not an Ed25519 key in PEM (BEGIN PUBLIC KEY)")]
    Public,
}

/// The private key that signs checkpoints.
pub struct SigningKey {
    pair: Ed25519KeyPair,
    public: PublicKey,
}

/// The public key that verifies checkpoints.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PublicKey([u8; 32]);

impl std::fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SigningKey").field("id", &self.public.id()).finish_non_exhaustive()
    }
}

impl SigningKey {
    /// Reads a PKCS #8 document.
    ///
    /// # Errors
    /// The document is not an Ed25519 key.
    pub fn from_pkcs8(document: &[u8]) -> Result<Self, KeyError> {
        let pair = Ed25519KeyPair::from_pkcs8(document).map_err(|_| KeyError::Signing)?;
        let public = pair.public_key().as_ref().try_into().map_err(|_| KeyError::Signing)?;
        Ok(Self { pair, public: PublicKey(public) })
    }

    /// The matching public key.
    #[must_use]
    pub fn public(&self) -> &PublicKey {
        &self.public
    }

    /// Signs the head of the log.
    #[must_use]
    pub fn sign(&self, sequence: u64, hash: Hash, at: Timestamp) -> Checkpoint {
        let at = crate::record::truncate_to_millis(at);
        let mut checkpoint =
            Checkpoint { sequence, hash, at, key_id: self.public.id(), signature: String::new() };
        checkpoint.signature = STANDARD.encode(self.pair.sign(&checkpoint.signed_bytes()));
        checkpoint
    }
}

impl PublicKey {
    /// The first 16 hexadecimal digits of the key's SHA-256.
    #[must_use]
    pub fn id(&self) -> String {
        digest(&SHA256, &self.0).as_ref().iter().take(8).map(|byte| format!("{byte:02x}")).collect()
    }

    /// The key in PEM, as OpenSSL reads it.
    #[must_use]
    pub fn to_pem(&self) -> String {
        format!("{BEGIN}\n{}\n{END}\n", STANDARD.encode([&SPKI_HEADER[..], &self.0].concat()))
    }

    /// Reads every key in a PEM text. After the signing key changed, older checkpoints still need
    /// the old one.
    ///
    /// # Errors
    /// A block is not an Ed25519 key, or there is no block.
    pub fn all_from_pem(text: &str) -> Result<Vec<Self>, KeyError> {
        let blocks = text.split(BEGIN).skip(1).map(|rest| {
            let (body, _) = rest.split_once(END).ok_or(KeyError::Public)?;
            let body: String = body.split_ascii_whitespace().collect();
            let document = STANDARD.decode(body).map_err(|_| KeyError::Public)?;
            let key = document
                .strip_prefix(&SPKI_HEADER)
                .and_then(|key| key.try_into().ok())
                .ok_or(KeyError::Public)?;
            Ok(Self(key))
        });
        let keys: Vec<_> = blocks.collect::<Result<_, _>>()?;
        if keys.is_empty() { Err(KeyError::Public) } else { Ok(keys) }
    }
}

impl Checkpoint {
    /// Whether `key` signed this checkpoint.
    #[must_use]
    pub fn is_signed_by(&self, key: &PublicKey) -> bool {
        let Ok(signature) = STANDARD.decode(&self.signature) else { return false };
        self.key_id == key.id()
            && UnparsedPublicKey::new(&ED25519, &key.0)
                .verify(&self.signed_bytes(), &signature)
                .is_ok()
    }

    /// The bytes that are signed.
    fn signed_bytes(&self) -> Vec<u8> {
        let Self { sequence, hash, at, key_id, signature: _ } = self;
        let length = (key_id.len() as u64).to_be_bytes();
        [
            PREFIX,
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
    fn public_keys_round_trip_as_pem() {
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
        fn a_signature_covers_every_field(sequence: u64, hash: [u8; 32], way in 0..5usize) {
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
