//! A key whose bytes are in this process.

use std::fmt;

use aws_lc_rs::aead::RandomizedNonceKey;
use aws_lc_rs::hmac;
use contract::Redacted;
use futures_util::FutureExt as _;
use futures_util::future::{BoxFuture, ready};

use super::{KeyId, KeyWrapper, UnwrapRequest, WrapError, WrapRequest, WrappedKey};
use crate::aead::{cipher, decrypt, encrypt};

/// A key of 32 bytes.
///
/// It does not encrypt directly: each row's data key is wrapped under a key derived for that row,
/// so the limit of 2³² random nonces under one AES-GCM key is never reached. Rows of format 1 were
/// wrapped under the key itself. aws-lc-rs wipes both forms of the key when they are dropped.
pub struct LocalKey {
    id: KeyId,
    derive: hmac::Key,
    format_1: RandomizedNonceKey,
}

impl LocalKey {
    /// Builds a key from bytes, or returns `None` if there are not [`super::KEY_BYTES`] of them.
    #[must_use]
    pub fn new(bytes: &[u8]) -> Option<Self> {
        let format_1 = cipher(bytes)?;
        let derive = hmac::Key::new(hmac::HMAC_SHA256, bytes);
        let tag = hmac::sign(&derive, b"enclii-lockbox key id");
        let id = tag.as_ref().iter().take(8).map(|byte| format!("{byte:02x}")).collect();
        Some(Self { id: KeyId(id), derive, format_1 })
    }

    /// The key's id.
    #[must_use]
    pub fn key_id(&self) -> &KeyId {
        &self.id
    }

    /// The cipher for one row. `authenticated` contains the row's random reference.
    fn of_row(&self, authenticated: &[u8]) -> Option<RandomizedNonceKey> {
        let mut context = hmac::Context::with_key(&self.derive);
        context.update(b"enclii-lockbox wrapping key");
        context.update(authenticated);
        let derived = Redacted::from(context.sign().as_ref());
        cipher(derived.expose())
    }

    fn wrap_one(&self, key: &WrapRequest<'_>) -> Option<WrappedKey> {
        let bytes =
            encrypt(&self.of_row(&key.authenticated)?, &key.authenticated, key.data_key.expose())?;
        Some(WrappedKey { key_id: self.id.clone(), bytes })
    }

    fn unwrap_one(&self, key: &UnwrapRequest<'_>) -> Option<Redacted> {
        if *key.key_id != self.id {
            return None;
        }
        match key.format {
            1 => decrypt(&self.format_1, &key.authenticated, key.bytes),
            _ => decrypt(&self.of_row(&key.authenticated)?, &key.authenticated, key.bytes),
        }
    }

    /// Wraps a data key as format 1 did. Nothing writes that format any more.
    #[cfg(test)]
    pub(crate) fn wrap_format_1(&self, authenticated: &[u8], data_key: &[u8]) -> Option<Vec<u8>> {
        encrypt(&self.format_1, authenticated, data_key)
    }
}

impl fmt::Debug for LocalKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("LocalKey").field(&self.id).finish()
    }
}

impl KeyWrapper for LocalKey {
    fn name(&self) -> &str {
        self.id.as_str()
    }

    fn id(&self) -> BoxFuture<'_, Result<KeyId, WrapError>> {
        ready(Ok(self.id.clone())).boxed()
    }

    fn wrap<'a>(
        &'a self,
        keys: &'a [WrapRequest<'a>],
    ) -> BoxFuture<'a, Result<Vec<WrappedKey>, WrapError>> {
        let wrapped: Option<Vec<WrappedKey>> = keys.iter().map(|key| self.wrap_one(key)).collect();
        ready(wrapped.ok_or_else(|| WrapError::Cipher(self.id.to_string()))).boxed()
    }

    fn unwrap<'a>(
        &'a self,
        keys: &'a [UnwrapRequest<'a>],
    ) -> BoxFuture<'a, Result<Vec<Option<Redacted>>, WrapError>> {
        ready(Ok(keys.iter().map(|key| self.unwrap_one(key)).collect())).boxed()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_has_32_bytes_and_does_not_print_them() {
        assert!(LocalKey::new(&[7; 31]).is_none() && LocalKey::new(&[7; 33]).is_none());
        let (one, other) = (LocalKey::new(&[7; 32]).unwrap(), LocalKey::new(&[8; 32]).unwrap());
        assert_ne!(one.key_id(), other.key_id());
        assert!(one.key_id().is_well_formed());
        assert_eq!(format!("{one:?}"), format!("LocalKey(KeyId({:?}))", one.key_id().as_str()));
    }

    #[tokio::test]
    async fn each_row_has_its_own_wrapping_key() {
        let (key, data_key) =
            (LocalKey::new(&[7; 32]).unwrap(), Redacted::from([1; 32].as_slice()));
        let plain =
            |row: &str| WrapRequest { data_key: &data_key, authenticated: row.as_bytes().to_vec() };
        let wrapped = key.wrap(&[plain("row 1"), plain("row 2")]).await.unwrap();
        let open = async |row: &str, bytes: &[u8]| {
            let packed = UnwrapRequest {
                format: 2,
                key_id: key.key_id(),
                bytes,
                authenticated: row.as_bytes().to_vec(),
            };
            KeyWrapper::unwrap(&key, &[packed]).await.unwrap().remove(0)
        };
        assert_eq!(open("row 1", &wrapped[0].bytes).await, Some(data_key.clone()));
        assert_eq!(open("row 2", &wrapped[1].bytes).await, Some(data_key.clone()));
        assert_eq!(open("row 2", &wrapped[0].bytes).await, None);
        // The second row's cipher does not open it even with the first row's associated data.
        assert!(decrypt(&key.of_row(b"row 2").unwrap(), b"row 1", &wrapped[0].bytes).is_none());
        assert!(decrypt(&key.format_1, b"row 1", &wrapped[0].bytes).is_none());
    }
}
