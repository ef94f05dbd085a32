//! Tokens of the API. The database has their hashes, and nobody has their text but who was given it.

use std::fmt;

use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::digest::{SHA256, SHA256_OUTPUT_LEN, digest};
use contract::Redacted;

use crate::repository::{Repository, RepositoryError};

/// What a token of ours starts with, so that scanners of repositories and logs know it.
const PREFIX: &str = "enclii_";

/// A token's SHA-256. A token has 256 random bits, so no slow hash is needed to keep it from being
/// guessed.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Hash([u8; SHA256_OUTPUT_LEN]);

impl Hash {
    /// The hash of a token.
    #[must_use]
    pub fn of(token: &Redacted) -> Self {
        let mut bytes = [0; SHA256_OUTPUT_LEN];
        bytes.copy_from_slice(digest(&SHA256, token.expose()).as_ref());
        Self(bytes)
    }

    /// The bytes, for the database.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("<hash>")
    }
}

/// Makes a token: the prefix, 32 random bytes and four that tell a typing error from a wrong token,
/// in letters and digits alone. `None` where the system has no random numbers.
pub(super) fn generate() -> Option<Redacted> {
    let mut random = zeroize::Zeroizing::new([0u8; 32]);
    aws_lc_rs::rand::fill(random.as_mut()).ok()?;
    let check = digest(&SHA256, random.as_ref());
    let mut text = String::with_capacity(PREFIX.len() + 2 * (32 + 4));
    text.push_str(PREFIX);
    for byte in random.iter().chain(check.as_ref().iter().take(4)) {
        for digit in [byte >> 4, byte & 15] {
            text.push(char::from_digit(u32::from(digit), 16)?);
        }
    }
    Some(Redacted::from(text))
}

/// The tokens that are valid now.
#[derive(Clone, Debug)]
pub struct Tokens(Repository);

/// Why a token was not taken.
#[derive(Debug, thiserror::Error)]
pub enum TokensError {
    /// It is none of ours, was revoked, or is past its time.
    #[error("the token is not valid")]
    Unknown,
    /// The ledger could not be asked.
    #[error("check token")]
    Repository(#[from] RepositoryError),
}

impl Tokens {
    /// The tokens in `repository`.
    #[must_use]
    pub fn new(repository: Repository) -> Self {
        Self(repository)
    }

    /// The name of the token.
    ///
    /// # Errors
    /// Where it is not valid.
    pub async fn identify(&self, token: &Redacted) -> Result<String, TokensError> {
        let hash = Hash::of(token);
        // Every token is compared, and each in constant time: how long it takes says nothing.
        let mut found = None;
        for row in self.0.tokens().await? {
            if verify_slices_are_equal(&row.hash, hash.as_bytes()).is_ok() {
                found = Some(row.name);
            }
        }
        found.ok_or(TokensError::Unknown)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_are_words_and_differ() {
        let (one, two) = (generate().unwrap(), generate().unwrap());
        assert_ne!(one, two);
        let text = String::from_utf8(one.expose().to_vec()).unwrap();
        assert!(text.starts_with(PREFIX) && text.len() == 7 + 72 && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_'), "{text}");
        assert_eq!(Hash::of(&one), Hash::of(&one));
        assert_ne!(Hash::of(&one), Hash::of(&two));
        assert_eq!(format!("{:?}", Hash::of(&one)), "<hash>");
    }
}
