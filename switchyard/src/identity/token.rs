//! Tokens of the API. The database has their hashes, and nobody has their text but who was given
//! it.

use std::fmt;

use aws_lc_rs::digest::{SHA256, SHA256_OUTPUT_LEN, digest};
use contract::Redacted;

use crate::repository::{Repository, RepositoryError, TokenRow};

/// What a token of ours starts with, so that scanners of repositories and logs know it.
const PREFIX: &str = "enclii_";

/// How many bytes tell a typing error from a wrong token.
const CHECK: usize = 4;

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

/// Makes a token: the prefix, 32 random bytes and [`CHECK`] that tell a typing error from a wrong
/// token, in letters and digits alone. `None` where the system has no random numbers.
pub(crate) fn generate() -> Option<Redacted> {
    let mut random = zeroize::Zeroizing::new([0u8; 32]);
    aws_lc_rs::rand::fill(random.as_mut()).ok()?;
    let check = digest(&SHA256, random.as_ref());
    let mut text = String::with_capacity(PREFIX.len() + 2 * (32 + CHECK));
    text.push_str(PREFIX);
    for byte in random.iter().chain(check.as_ref().iter().take(CHECK)) {
        for digit in [byte >> 4, byte & 15] {
            text.push(char::from_digit(u32::from(digit), 16)?);
        }
    }
    Some(Redacted::from(text))
}

/// Whether a token that looks like ours was typed or copied whole. What does not look like ours may
/// be a bootstrap token that an operator made.
fn is_whole(token: &Redacted) -> bool {
    let Some(digits) = token.expose().strip_prefix(PREFIX.as_bytes()) else { return true };
    let nibble = |digit: u8| char::from(digit).to_digit(16).and_then(|it| u8::try_from(it).ok());
    let pair = |pair: &[u8]| match pair {
        [high, low] => Some(nibble(*high)? << 4 | nibble(*low)?),
        _ => None,
    };
    let Some(bytes) =
        digits.chunks(2).map(pair).collect::<Option<Vec<u8>>>().map(zeroize::Zeroizing::new)
    else {
        return false;
    };
    let Some((random, check)) = bytes.split_at_checked(32) else { return false };
    check.len() == CHECK && digest(&SHA256, random).as_ref().starts_with(check)
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

    /// What the ledger knows of the token.
    ///
    /// It is looked up by its hash, in an index, and that is constant-time enough: what the search
    /// compares is SHA-256 of the token, of which nobody who lacks the token can choose a byte. How
    /// long it takes says how a hash sorts among others, and leads to no token of 256 random bits.
    ///
    /// # Errors
    /// Where it is not valid.
    pub async fn identify(&self, token: &Redacted) -> Result<TokenRow, TokensError> {
        if !is_whole(token) {
            return Err(TokensError::Unknown);
        }
        self.0.token(Hash::of(token).as_bytes()).await?.ok_or(TokensError::Unknown)
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
        assert!(
            text.starts_with(PREFIX)
                && text.len() == 7 + 72
                && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_'),
            "{text}"
        );
        assert_eq!(Hash::of(&one), Hash::of(&one));
        assert_ne!(Hash::of(&one), Hash::of(&two));
        assert_eq!(format!("{:?}", Hash::of(&one)), "<hash>");
    }

    #[test]
    fn a_typing_error_needs_no_look_into_the_ledger() {
        let token = generate().unwrap();
        assert!(is_whole(&token));
        assert!(is_whole(&Redacted::from("what an operator chose, and long enough".to_owned())));
        for at in PREFIX.len()..token.len() {
            let mut text = token.expose().to_vec();
            text[at] = if text[at] == b'0' { b'1' } else { b'0' };
            assert!(!is_whole(&Redacted::new(text)), "{at}");
        }
        let text = token.expose();
        for cut in [
            &text[..text.len() - 1],
            &text[..text.len() - 2],
            &text[..PREFIX.len()],
            &[text, b"00"].concat(),
            &[text, b"z"].concat(),
        ] {
            assert!(!is_whole(&Redacted::from(cut)));
        }
    }
}
