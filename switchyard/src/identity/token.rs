//! Tokens of the API. The database stores only their hashes.

use std::fmt;

use aws_lc_rs::digest::{SHA256, SHA256_OUTPUT_LEN, digest};
use contract::Redacted;
use jiff::Timestamp;

use crate::repository::{Repository, RepositoryError, TokenRow};

/// The prefix of every token, so that secret scanners recognize it.
const TOKEN_PREFIX: &str = "enclii_";

/// The length of the checksum, which tells a typo from a wrong token.
const CHECKSUM_BYTES: usize = 4;

/// The SHA-256 of a token. A token has 256 random bits, so a fast hash is enough against guessing.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct TokenHash([u8; SHA256_OUTPUT_LEN]);

impl TokenHash {
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

impl fmt::Debug for TokenHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("<hash>")
    }
}

/// Generates a token: the prefix, 32 random bytes and a checksum, in hexadecimal digits. `None` if
/// the system has no source of randomness.
pub(crate) fn generate_token() -> Option<Redacted> {
    let mut random = zeroize::Zeroizing::new([0u8; 32]);
    aws_lc_rs::rand::fill(random.as_mut()).ok()?;
    let check = digest(&SHA256, random.as_ref());
    let mut text = String::with_capacity(TOKEN_PREFIX.len() + 2 * (32 + CHECKSUM_BYTES));
    text.push_str(TOKEN_PREFIX);
    for byte in random.iter().chain(check.as_ref().iter().take(CHECKSUM_BYTES)) {
        for digit in [byte >> 4, byte & 15] {
            text.push(char::from_digit(u32::from(digit), 16)?);
        }
    }
    Some(Redacted::from(text))
}

/// Whether the checksum of a generated token is right. A token without the prefix may be a
/// bootstrap token that an operator chose.
fn has_valid_checksum(token: &Redacted) -> bool {
    let Some(digits) = token.expose().strip_prefix(TOKEN_PREFIX.as_bytes()) else { return true };
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
    check.len() == CHECKSUM_BYTES && digest(&SHA256, random).as_ref().starts_with(check)
}

/// Authenticates programs and sessions by their token.
#[derive(Clone, Debug)]
pub struct TokenAuthenticator(Repository);

/// Why a token is not accepted.
#[derive(Debug, thiserror::Error)]
pub enum TokenError {
    /// It is unknown or revoked.
    #[error("the token is not valid")]
    Invalid,
    /// It was valid until this time. Only its holder can learn that.
    #[error("the token expired at {0:.0}")]
    Expired(Timestamp),
    /// The ledger cannot be read.
    #[error("check token")]
    Repository(#[from] RepositoryError),
}

impl TokenAuthenticator {
    /// Authenticates with the tokens in `repository`.
    #[must_use]
    pub fn new(repository: Repository) -> Self {
        Self(repository)
    }

    /// The ledger's row of the token.
    ///
    /// The lookup by hash in an index is not constant-time, but safe: it compares SHA-256 hashes,
    /// of which an attacker without the token cannot choose a byte. Its timing tells how a hash
    /// sorts among others, which does not lead to a token of 256 random bits.
    ///
    /// # Errors
    /// If the token is not valid, has expired, or the ledger cannot be read.
    pub async fn identify(&self, token: &Redacted) -> Result<TokenRow, TokenError> {
        if !has_valid_checksum(token) {
            return Err(TokenError::Invalid);
        }
        let hash = TokenHash::of(token);
        if let Some(row) = self.0.token(hash.as_bytes()).await? {
            return Ok(row);
        }
        let expired = self.0.token_expiry(hash.as_bytes()).await?;
        Err(expired.map_or(TokenError::Invalid, TokenError::Expired))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audit::{Action, Actor, Event, Origin, Outcome, Resource, ResourceKind};
    use crate::repository::TokenAdded;

    #[test]
    fn tokens_are_alphanumeric_and_unique() {
        let (one, two) = (generate_token().unwrap(), generate_token().unwrap());
        assert_ne!(one, two);
        let text = String::from_utf8(one.expose().to_vec()).unwrap();
        assert!(
            text.starts_with(TOKEN_PREFIX)
                && text.len() == 7 + 72
                && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_'),
            "{text}"
        );
        assert_eq!(TokenHash::of(&one), TokenHash::of(&one));
        assert_ne!(TokenHash::of(&one), TokenHash::of(&two));
        assert_eq!(format!("{:?}", TokenHash::of(&one)), "<hash>");
    }

    #[tokio::test]
    async fn the_holder_of_an_expired_token_learns_when_it_expired() {
        let directory = tempfile::tempdir().unwrap();
        let database = lockbox::Database::open(&directory.path().join("x.db")).await.unwrap();
        let repository = crate::repository::open_signed(database).await;
        let token = generate_token().unwrap();
        let new = crate::repository::NewToken {
            name: "ci".into(),
            subject: crate::repository::TokenSubject::Program {
                role: contract::api::Role::Readonly,
                scope: None,
            },
            hash: TokenHash::of(&token).as_bytes().to_owned(),
            expires_at: Some("2026-01-02T03:04:05.678Z".parse().unwrap()),
            by: "system:test".into(),
            id_token: None,
            kept: None,
        };
        let event = Event {
            actor: Actor::Anonymous,
            action: Action::Grant,
            resource: Resource { kind: ResourceKind::Token, id: "ci".into(), scope: None },
            version: None,
            outcome: Outcome::Allowed,
            origin: Origin::default(),
            details: None,
        };
        assert_eq!(repository.add_token(&new, &event).await.unwrap(), TokenAdded::Added);
        let tokens = TokenAuthenticator::new(repository);
        let refused = tokens.identify(&token).await.unwrap_err();
        assert_eq!(refused.to_string(), "the token expired at 2026-01-02T03:04:05Z");
        let other = tokens.identify(&generate_token().unwrap()).await.unwrap_err();
        assert_eq!(other.to_string(), "the token is not valid");
    }

    #[test]
    fn a_typo_is_found_without_the_ledger() {
        let token = generate_token().unwrap();
        assert!(has_valid_checksum(&token));
        assert!(has_valid_checksum(&Redacted::from(
            "chosen by an operator, and long enough".to_owned()
        )));
        for at in TOKEN_PREFIX.len()..token.len() {
            let mut text = token.expose().to_vec();
            text[at] = if text[at] == b'0' { b'1' } else { b'0' };
            assert!(!has_valid_checksum(&Redacted::new(text)), "{at}");
        }
        let text = token.expose();
        for cut in [
            &text[..text.len() - 1],
            &text[..text.len() - 2],
            &text[..TOKEN_PREFIX.len()],
            &[text, b"00"].concat(),
            &[text, b"z"].concat(),
        ] {
            assert!(!has_valid_checksum(&Redacted::from(cut)));
        }
    }
}
