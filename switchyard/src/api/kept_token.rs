//! The answer to an idempotent request that created a token, kept so that the token can be given
//! again and nobody reads it in the database.
//!
//! It is sealed (AES-256-GCM) under a key that is derived from the caller's own credential, which
//! has 256 random bits and of which the database has only a hash.

use aws_lc_rs::aead::{AES_256_GCM, Aad, Nonce, RandomizedNonceKey};
use aws_lc_rs::hmac::{Context, HMAC_SHA256, Key};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use contract::Redacted;

use crate::repository::Idempotency;

const NONCE_BYTES: usize = 12;

/// Keeps a derived key apart from every other use of a credential.
const PURPOSE: &[u8] = b"enclii kept token 1";

/// Seals an answer. `None` if the system has no source of randomness.
pub(super) fn seal(
    credential: &Redacted,
    request: &Idempotency,
    answer: &Redacted,
) -> Option<String> {
    let mut sealed = answer.expose().to_vec();
    let nonce =
        key(credential, request)?.seal_in_place_append_tag(aad(request), &mut sealed).ok()?;
    let mut bytes = nonce.as_ref().to_vec();
    bytes.extend_from_slice(&sealed);
    Some(STANDARD_NO_PAD.encode(bytes))
}

/// Opens an answer. `None` if another credential sealed it: the same person in another session.
pub(super) fn open(credential: &Redacted, request: &Idempotency, kept: &str) -> Option<Redacted> {
    let bytes = STANDARD_NO_PAD.decode(kept).ok()?;
    let (nonce, sealed) = bytes.split_at_checked(NONCE_BYTES)?;
    let nonce = Nonce::try_assume_unique_for_key(nonce).ok()?;
    let mut answer = zeroize::Zeroizing::new(sealed.to_vec());
    let opened = key(credential, request)?.open_in_place(nonce, aad(request), &mut answer).ok()?;
    Some(Redacted::from(&*opened))
}

fn key(credential: &Redacted, request: &Idempotency) -> Option<RandomizedNonceKey> {
    let mut context = Context::with_key(&Key::new(HMAC_SHA256, credential.expose()));
    context.update(PURPOSE);
    context.update(&request.fingerprint);
    let derived = zeroize::Zeroizing::new(context.sign().as_ref().to_vec());
    RandomizedNonceKey::new(&AES_256_GCM, &derived).ok()
}

fn aad(request: &Idempotency) -> Aad<Vec<u8>> {
    Aad::from([request.principal.as_bytes(), &request.key_hash].concat())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(key: u8) -> Idempotency {
        let (key_hash, fingerprint) = (vec![key; 32], vec![key + 1; 32]);
        Idempotency { principal: "token:ci#1".into(), key_hash, fingerprint }
    }

    #[test]
    fn an_answer_opens_for_its_request_and_its_credential_only() {
        let credential = |text: &str| Redacted::from(text.to_owned());
        let (one, answer) = (credential("one"), credential(r#"{"token":"enclii_x"}"#));
        let kept = seal(&one, &request(1), &answer).unwrap();
        assert_eq!(open(&one, &request(1), &kept).unwrap(), answer);
        assert_ne!(kept, seal(&one, &request(1), &answer).unwrap());
        for (with, of) in [("two", 1), ("one", 2), ("", 1)] {
            assert!(open(&credential(with), &request(of), &kept).is_none(), "{with} {of}");
        }
        for broken in ["", "AAAA", "!", &kept[..kept.len() - 2], &format!("A{}", &kept[1..])] {
            if *broken != kept {
                assert!(open(&one, &request(1), broken).is_none(), "{broken}");
            }
        }
        let decoded = STANDARD_NO_PAD.decode(&kept).unwrap();
        assert!(!decoded.windows(7).any(|it| it == b"enclii_"));
    }
}
