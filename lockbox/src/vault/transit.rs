//! A key-encryption key that never leaves Vault: its transit engine wraps and unwraps data keys.
//!
//! Each read and each write of a value costs a call. No unwrapped data key is kept, so a value
//! cannot be read for longer than Vault allows. The key may have versions. A row names the version
//! that wrapped it, and a newer version takes over as another key would.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use contract::Redacted;
use futures_util::future::BoxFuture;
use futures_util::{FutureExt as _, StreamExt as _, TryStreamExt as _, stream};
use serde_json::Value;
use vaultrs::api::transit::requests::{DecryptDataRequest, EncryptDataRequest};
use zeroize::Zeroizing;

use super::client::Client;
use super::config::{ConfigError, VaultConfig};
use super::response::{Response, VaultError};
use super::session::{RetryMode, Session};
use crate::key::{KeyId, KeyWrapper, UnwrapRequest, WrapError, WrapRequest, WrappedKey};

/// How many calls run at a time for the data keys of one batch.
const MAX_CONCURRENT_CALLS: usize = 8;

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
    /// The key `key` in the transit engine at `mount`. Only the connection and the login of `vault`
    /// are used.
    ///
    /// # Errors
    /// If the configuration is invalid.
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

    /// Checks that the key can wrap and unwrap.
    ///
    /// # Errors
    /// If it cannot.
    pub async fn check(&self) -> Result<(), WrapError> {
        let (probe, authenticated) =
            (Redacted::from(b"probe".as_slice()), b"enclii-lockbox probe".to_vec());
        let WrappedKey { key_id, bytes } = self
            .encrypt(&WrapRequest { data_key: &probe, authenticated: authenticated.clone() })
            .await?;
        let back = self
            .decrypt(&UnwrapRequest { format: 2, key_id: &key_id, bytes: &bytes, authenticated })
            .await?;
        if back.as_ref() == Some(&probe) {
            Ok(())
        } else {
            Err(remote(unexpected("test key", "unwrapping does not return what was wrapped")))
        }
    }

    async fn encrypt(&self, key: &WrapRequest<'_>) -> Result<WrappedKey, WrapError> {
        let step = "wrap data key";
        let plain = Zeroizing::new(STANDARD.encode(key.data_key.expose()));
        let request = EncryptDataRequest::builder()
            .mount(&self.mount)
            .name(&self.key)
            .plaintext(plain.as_str())
            .associated_data(STANDARD.encode(&key.authenticated))
            .build()
            .map_err(|_| remote(unexpected(step, "the request cannot be built")))?;
        let answer = self
            .session
            .send(
                &self.session.client().request(step, request).map_err(remote)?,
                RetryMode::Idempotent,
            )
            .await
            .map_err(remote)?;
        let text = text(&answer, "ciphertext")
            .ok_or_else(|| remote(unexpected(step, "there is no ciphertext")))?;
        let version = version(text).ok_or_else(|| {
            remote(unexpected(step, "the ciphertext names no version of the key"))
        })?;
        Ok(WrappedKey {
            key_id: KeyId::new(format!("{}:v{version}", self.name)),
            bytes: text.as_bytes().to_vec(),
        })
    }

    async fn decrypt(&self, key: &UnwrapRequest<'_>) -> Result<Option<Redacted>, WrapError> {
        let step = "unwrap data key";
        // A ciphertext that names another version of the key than its row was changed.
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
            .map_err(|_| remote(unexpected(step, "the request cannot be built")))?;
        let answer = match self
            .session
            .send(
                &self.session.client().request(step, request).map_err(remote)?,
                RetryMode::Idempotent,
            )
            .await
        {
            Ok(answer) => answer,
            Err(VaultError::Refused { status: 400, message, .. }) if is_damaged(&message) => {
                return Ok(None);
            }
            Err(error) => return Err(remote(error)),
        };
        let plain = text(&answer, "plaintext")
            .ok_or_else(|| remote(unexpected(step, "there is no plaintext")))?;
        Ok(Some(Redacted::new(
            STANDARD
                .decode(plain)
                .map_err(|_| remote(unexpected(step, "the plaintext is not base64")))?,
        )))
    }
}

impl KeyWrapper for Transit {
    fn name(&self) -> &str {
        &self.name
    }

    /// Found by wrapping a probe, which needs no further permission in Vault.
    fn id(&self) -> BoxFuture<'_, Result<KeyId, WrapError>> {
        async {
            let probe = Redacted::from(b"probe".as_slice());
            Ok(self
                .encrypt(&WrapRequest {
                    data_key: &probe,
                    authenticated: b"enclii-lockbox probe".to_vec(),
                })
                .await?
                .key_id)
        }
        .boxed()
    }

    fn wrap<'a>(
        &'a self,
        keys: &'a [WrapRequest<'a>],
    ) -> BoxFuture<'a, Result<Vec<WrappedKey>, WrapError>> {
        stream::iter(keys)
            .map(|key| self.encrypt(key))
            .buffered(MAX_CONCURRENT_CALLS)
            .try_collect()
            .boxed()
    }

    fn unwrap<'a>(
        &'a self,
        keys: &'a [UnwrapRequest<'a>],
    ) -> BoxFuture<'a, Result<Vec<Option<Redacted>>, WrapError>> {
        stream::iter(keys)
            .map(|key| self.decrypt(key))
            .buffered(MAX_CONCURRENT_CALLS)
            .try_collect()
            .boxed()
    }
}

fn unexpected(step: &'static str, what: &'static str) -> VaultError {
    VaultError::UnexpectedAnswer { step, what }
}

fn remote(error: VaultError) -> WrapError {
    WrapError::Remote(Box::new(error))
}

fn text<'a>(answer: &'a Response, field: &str) -> Option<&'a str> {
    answer.body.get("data")?.get(field).and_then(Value::as_str)
}

/// The version of the key that a ciphertext names: `vault:v3:…`.
fn version(ciphertext: &str) -> Option<u32> {
    let (version, rest) = ciphertext.strip_prefix("vault:v")?.split_once(':')?;
    // Only the canonical form, so that two texts never name one version.
    let parse_decimal: u32 =
        version.parse().ok().filter(|parse_decimal: &u32| parse_decimal.to_string() == version)?;
    (!rest.is_empty()).then_some(parse_decimal)
}

/// Whether Vault says that the ciphertext or its associated data was changed. Any other refusal is
/// about the key, and the row may be intact.
fn is_damaged(message: &str) -> bool {
    let message = message.to_ascii_lowercase();
    ["message authentication failed", "invalid ciphertext", "could not decode", "base64"]
        .iter()
        .any(|words| message.contains(words))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_of_ciphertexts_are_parsed() {
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
    fn an_unavailable_key_is_not_damage() {
        for (message, damaged) in [
            ("cipher: message authentication failed", true),
            ("invalid ciphertext: could not decode base64", true),
            ("encryption key not found", false),
            ("ciphertext or signature version is disallowed by policy (too old)", false),
            ("", false),
        ] {
            assert_eq!(is_damaged(message), damaged, "{message}");
        }
    }
}
