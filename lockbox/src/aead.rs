//! AES-256-GCM with a random nonce, laid out as `nonce ‖ ciphertext ‖ tag`.

use aws_lc_rs::aead::{AES_256_GCM, Aad, NONCE_LEN, Nonce, RandomizedNonceKey};
use contract::Redacted;
use zeroize::{Zeroize, Zeroizing};

const TAG_BYTES: usize = 16;

/// The cipher of a key, or `None` if the key is not 32 bytes long.
pub(crate) fn cipher(key: &[u8]) -> Option<RandomizedNonceKey> {
    RandomizedNonceKey::new(&AES_256_GCM, key).ok()
}

/// Encrypts. `None` if the cipher or the system's random numbers fail.
pub(crate) fn encrypt(
    cipher: &RandomizedNonceKey,
    authenticated: &[u8],
    plain: &[u8],
) -> Option<Vec<u8>> {
    // One buffer of the final size: growing would leave a copy of the plain bytes behind.
    let mut sealed = Vec::with_capacity(NONCE_LEN + plain.len() + TAG_BYTES);
    sealed.extend_from_slice(&[0; NONCE_LEN]);
    sealed.extend_from_slice(plain);
    let Ok((nonce, tag)) =
        cipher.seal_in_place_separate_tag(Aad::from(authenticated), &mut sealed[NONCE_LEN..])
    else {
        sealed.zeroize();
        return None;
    };
    sealed[..NONCE_LEN].copy_from_slice(nonce.as_ref());
    sealed.extend_from_slice(tag.as_ref());
    Some(sealed)
}

/// Decrypts. `None` if anything was changed.
pub(crate) fn decrypt(
    cipher: &RandomizedNonceKey,
    authenticated: &[u8],
    sealed: &[u8],
) -> Option<Redacted> {
    let (nonce, rest) = sealed.split_at_checked(NONCE_LEN)?;
    let nonce = Nonce::try_assume_unique_for_key(nonce).ok()?;
    let mut plain = Zeroizing::new(rest.to_vec());
    let length = cipher.open_in_place(nonce, Aad::from(authenticated), &mut plain).ok()?.len();
    // The tag follows the value in the same buffer.
    plain.truncate(length);
    Some(Redacted::new(std::mem::take(&mut *plain)))
}
