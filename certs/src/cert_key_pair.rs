//! A certificate and its private key. The key is never printed, and it is wiped on drop.

use std::sync::Arc;

use rustls::sign::CertifiedKey;
use rustls_pki_types::PrivateKeyDer;
use rustls_pki_types::pem::PemObject;
use zeroize::{Zeroize, Zeroizing};

use crate::certificate::{Certificate, CertificateError, provider};
use crate::pem;

/// A private key: no `Display`, `Debug` without the key, wiped on drop.
pub struct PrivateKey(PrivateKeyDer<'static>);

impl PrivateKey {
    /// Takes ownership of a key.
    pub fn new(key: PrivateKeyDer<'static>) -> Self {
        Self(key)
    }

    pub(crate) fn der(&self) -> &PrivateKeyDer<'static> {
        &self.0
    }

    fn pem(&self) -> Zeroizing<String> {
        let label = match &self.0 {
            PrivateKeyDer::Pkcs1(_) => "RSA PRIVATE KEY",
            PrivateKeyDer::Sec1(_) => "EC PRIVATE KEY",
            _ => "PRIVATE KEY",
        };
        pem::encode(label, self.0.secret_der())
    }
}

impl Clone for PrivateKey {
    fn clone(&self) -> Self {
        Self(self.0.clone_key())
    }
}

impl Drop for PrivateKey {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

impl std::fmt::Debug for PrivateKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("<redacted>")
    }
}

/// A certificate with its chain, and the key that matches it.
#[derive(Clone, Debug)]
pub struct CertKeyPair {
    certificate: Certificate,
    chain: Vec<Certificate>,
    key: PrivateKey,
}

/// Why a pair was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CertKeyPairError {
    /// The certificate cannot be read.
    #[error(transparent)]
    Certificate(#[from] CertificateError),
    /// The key cannot be read.
    #[error("read private key: none in pem form, or of an unknown kind")]
    Key,
    /// The key belongs to another certificate.
    #[error("match private key with certificate: the key belongs to another one")]
    Mismatch,
}

impl CertKeyPair {
    /// Pairs a certificate with its key.
    ///
    /// # Errors
    /// When the key is of an unknown kind or belongs to another certificate.
    pub fn new(certificate: Certificate, key: PrivateKey) -> Result<Self, CertKeyPairError> {
        Self::with_chain(vec![certificate], key)
    }

    /// Reads a pair from two PEM texts; further certificates in the first are the chain.
    ///
    /// # Errors
    /// When one of them cannot be read or they do not match.
    pub fn from_pem(certificate: &[u8], key: &[u8]) -> Result<Self, CertKeyPairError> {
        let chain = Certificate::from_pem(certificate)?;
        let key = PrivateKeyDer::from_pem_slice(key).map_err(|_| CertKeyPairError::Key)?;
        Self::with_chain(chain, PrivateKey::new(key))
    }

    fn with_chain(mut chain: Vec<Certificate>, key: PrivateKey) -> Result<Self, CertKeyPairError> {
        if chain.is_empty() {
            return Err(CertificateError::NoPem.into());
        }
        let certificate = chain.remove(0);
        let pair = Self { certificate, chain, key };
        pair.certified()?;
        Ok(pair)
    }

    /// The certificate itself.
    pub fn certificate(&self) -> &Certificate {
        &self.certificate
    }

    /// The private key.
    pub fn key(&self) -> &PrivateKey {
        &self.key
    }

    /// The pair as rustls serves it.
    ///
    /// # Errors
    /// When the key is of an unknown kind or belongs to another certificate.
    pub fn certified(&self) -> Result<Arc<CertifiedKey>, CertKeyPairError> {
        let all = std::iter::once(&self.certificate).chain(&self.chain);
        let chain = all.map(|one| one.der().clone()).collect();
        match CertifiedKey::from_der(chain, self.key.0.clone_key(), &provider()) {
            Ok(certified) => Ok(Arc::new(certified)),
            Err(rustls::Error::InconsistentKeys(_)) => Err(CertKeyPairError::Mismatch),
            Err(_) => Err(CertKeyPairError::Key),
        }
    }

    pub(crate) fn certificate_pem(&self) -> Vec<u8> {
        let all = std::iter::once(&self.certificate).chain(&self.chain);
        all.map(Certificate::pem).collect::<String>().into_bytes()
    }

    pub(crate) fn key_pem(&self) -> Zeroizing<Vec<u8>> {
        Zeroizing::new(std::mem::take(&mut *self.key.pem()).into_bytes())
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, UNIX_EPOCH};

    use super::*;
    use crate::issue::create_ca;

    fn ca() -> CertKeyPair {
        let life = Duration::from_secs(3600);
        create_ca("test", UNIX_EPOCH + Duration::from_secs(1_800_000_000), life).unwrap()
    }

    #[test]
    fn a_pair_survives_pem() {
        let pair = ca();
        let read = CertKeyPair::from_pem(&pair.certificate_pem(), &pair.key_pem()).unwrap();
        assert_eq!(read.certificate(), pair.certificate());
        assert_eq!(*read.key_pem(), *pair.key_pem());
    }

    #[test]
    fn a_mismatched_or_unreadable_pair_is_refused() {
        let (one, other) = (ca(), ca());
        let junk = pem::encode("CERTIFICATE", b"junk");
        let table: [(&[u8], &[u8], CertKeyPairError); 4] = [
            (&one.certificate_pem(), &other.key_pem(), CertKeyPairError::Mismatch),
            (&one.certificate_pem(), b"", CertKeyPairError::Key),
            (b"", &one.key_pem(), CertificateError::NoPem.into()),
            (junk.as_bytes(), &one.key_pem(), CertificateError::NotX509.into()),
        ];
        for (certificate, key, error) in table {
            assert_eq!(CertKeyPair::from_pem(certificate, key).unwrap_err(), error);
        }
    }

    #[test]
    fn debug_has_no_key() {
        let pair = ca();
        let text = format!("{pair:?}");
        assert!(text.contains("<redacted>"), "{text}");
        let key = pair.key().der().secret_der();
        assert!(!text.contains(&format!("{:?}", &key[..8])), "{text}");
    }
}
