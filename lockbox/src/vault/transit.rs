//! A key-encryption key that never leaves Vault: its transit engine wraps and unwraps data keys.
//!
//! Each value that is read costs a call, and so does each write: no unwrapped data key is kept, so
//! a value cannot be read for longer than Vault allows it. The key may have versions; a row names
//! the one that wrapped it, and a newer one takes over as another key would.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use contract::Redacted;
use futures_util::future::BoxFuture;
use futures_util::{FutureExt as _, StreamExt as _, TryStreamExt as _, stream};
use serde_json::Value;
use vaultrs::api::transit::requests::{DecryptDataRequest, EncryptDataRequest};
use zeroize::Zeroizing;

use super::call::{Answer, CallError};
use super::client::Client;
use super::config::{ConfigError, VaultConfig};
use super::session::{Session, Tries};
use crate::key::{KeyId, KeyWrapper, Packed, Plain, WrapError, Wrapped};

/// Calls at once for the many data keys of one batch.
const AT_ONCE: usize = 8;

/// A key of the transit engine.
pub struct Transit {
    session: Session,
    mount: String,
    key: String,
    name: String,
}

impl fmt::Debug for Transit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Transit").field(&self.name).finish()
    }
}

impl Transit {
    /// The key of that name in the transit engine of that mount. Of `vault`, the way to Vault and
    /// the login are used.
    ///
    /// # Errors
    /// Where the configuration is not usable.
    pub fn new(vault: &VaultConfig, mount: &str, key: &str) -> Result<Self, ConfigError> {
        let config =
            VaultConfig { mount: mount.to_owned(), prefix: key.to_owned(), ..vault.clone() };
        let session = Session::new(Client::new(&config)?, config.login);
        Ok(Self {
            session,
            mount: mount.to_owned(),
            key: key.to_owned(),
            name: format!("transit:{mount}/{key}"),
        })
    }

    /// Wraps and unwraps something, to see that it can be done.
    ///
    /// # Errors
    /// Where it cannot.
    pub async fn check(&self) -> Result<(), WrapError> {
        let (probe, authenticated) =
            (Redacted::from(b"probe".as_slice()), b"enclii-lockbox probe".to_vec());
        let Wrapped { key_id, bytes } =
            self.encrypt(&Plain { data_key: &probe, authenticated: authenticated.clone() }).await?;
        let back = self
            .decrypt(&Packed { format: 2, key_id: &key_id, bytes: &bytes, authenticated })
            .await?;
        if back.as_ref() == Some(&probe) {
            Ok(())
        } else {
            Err(nonsense("try key", "what it wrapped does not come back").into())
        }
    }

    async fn encrypt(&self, key: &Plain<'_>) -> Result<Wrapped, WrapError> {
        let step = "wrap data key";
        let plain = Zeroizing::new(STANDARD.encode(key.data_key.expose()));
        let request = EncryptDataRequest::builder()
            .mount(&self.mount)
            .name(&self.key)
            .plaintext(plain.as_str())
            .associated_data(STANDARD.encode(&key.authenticated))
            .build()
            .map_err(|_| nonsense(step, "the request cannot be made"))?;
        let answer = self
            .session
            .send(&self.session.client().request(step, request)?, Tries::Safely)
            .await?;
        let text =
            text(&answer, "ciphertext").ok_or_else(|| nonsense(step, "there is no ciphertext"))?;
        let version = version(text)
            .ok_or_else(|| nonsense(step, "the ciphertext names no version of the key"))?;
        Ok(Wrapped {
            key_id: KeyId::new(format!("{}:v{version}", self.name)),
            bytes: text.as_bytes().to_vec(),
        })
    }

    async fn decrypt(&self, key: &Packed<'_>) -> Result<Option<Redacted>, WrapError> {
        let step = "unwrap data key";
        // What names another version of the key than its row does was changed.
        let named = std::str::from_utf8(key.bytes).ok().filter(|text| {
            version(text)
                .is_some_and(|version| key.key_id.as_str() == format!("{}:v{version}", self.name))
        });
        let Some(ciphertext) = named else { return Ok(None) };
        let request = DecryptDataRequest::builder()
            .mount(&self.mount)
            .name(&self.key)
            .ciphertext(ciphertext)
            .associated_data(STANDARD.encode(&key.authenticated))
            .build()
            .map_err(|_| nonsense(step, "the request cannot be made"))?;
        let answer = match self
            .session
            .send(&self.session.client().request(step, request)?, Tries::Safely)
            .await
        {
            Ok(answer) => answer,
            Err(CallError::Refused { status: 400, said, .. }) if is_damaged(&said) => {
                return Ok(None);
            }
            Err(error) => return Err(error.into()),
        };
        let plain =
            text(&answer, "plaintext").ok_or_else(|| nonsense(step, "there is no plaintext"))?;
        Ok(Some(Redacted::new(
            STANDARD.decode(plain).map_err(|_| nonsense(step, "the plaintext is not base64"))?,
        )))
    }
}

impl KeyWrapper for Transit {
    fn name(&self) -> &str {
        &self.name
    }

    /// It is asked for by wrapping something, which needs no further right in Vault.
    fn id(&self) -> BoxFuture<'_, Result<KeyId, WrapError>> {
        async {
            let probe = Redacted::from(b"probe".as_slice());
            Ok(self
                .encrypt(&Plain {
                    data_key: &probe,
                    authenticated: b"enclii-lockbox probe".to_vec(),
                })
                .await?
                .key_id)
        }
        .boxed()
    }

    fn wrap<'a>(&'a self, keys: &'a [Plain<'a>]) -> BoxFuture<'a, Result<Vec<Wrapped>, WrapError>> {
        stream::iter(keys).map(|key| self.encrypt(key)).buffered(AT_ONCE).try_collect().boxed()
    }

    fn unwrap<'a>(
        &'a self,
        keys: &'a [Packed<'a>],
    ) -> BoxFuture<'a, Result<Vec<Option<Redacted>>, WrapError>> {
        stream::iter(keys).map(|key| self.decrypt(key)).buffered(AT_ONCE).try_collect().boxed()
    }
}

fn nonsense(step: &'static str, what: &'static str) -> CallError {
    CallError::Nonsense { step, what }
}

fn text<'a>(answer: &'a Answer, field: &str) -> Option<&'a str> {
    answer.body.get("data")?.get(field).and_then(Value::as_str)
}

/// The version of the key that a ciphertext names: `vault:v3:…`.
fn version(ciphertext: &str) -> Option<u32> {
    let (version, rest) = ciphertext.strip_prefix("vault:v")?.split_once(':')?;
    // One way of writing a number alone, so that two texts never name one version.
    let number: u32 = version.parse().ok().filter(|number: &u32| number.to_string() == version)?;
    (!rest.is_empty()).then_some(number)
}

/// Whether Vault says that the ciphertext or what is authenticated with it was changed. Any other
/// refusal is about the key, and the row may be well.
fn is_damaged(said: &str) -> bool {
    let said = said.to_ascii_lowercase();
    ["message authentication failed", "invalid ciphertext", "could not decode", "base64"]
        .iter()
        .any(|words| said.contains(words))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_of_ciphertexts() {
        for (text, expected) in [
            ("vault:v1:abc", Some(1)),
            ("vault:v12:abc", Some(12)),
            ("vault:v01:abc", None),
            ("vault:v+1:abc", None),
            ("vault:v1:", None),
            ("vault:v:abc", None),
            ("vault:1:abc", None),
            ("", None),
        ] {
            assert_eq!(version(text), expected, "{text}");
        }
    }

    #[test]
    fn a_key_that_is_away_is_no_damage() {
        for (said, damaged) in [
            ("cipher: message authentication failed", true),
            ("invalid ciphertext: could not decode base64", true),
            ("encryption key not found", false),
            ("ciphertext or signature version is disallowed by policy (too old)", false),
            ("", false),
        ] {
            assert_eq!(is_damaged(said), damaged, "{said}");
        }
    }
}
