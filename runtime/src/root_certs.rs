//! Root certificates from a PEM file.

use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::{Error as PemError, PemObject as _};

/// Why a text has no usable root certificates.
#[derive(Debug, thiserror::Error)]
pub enum RootCertsError {
    /// It is not PEM.
    #[error("parse PEM")]
    Pem(#[source] PemError),
    /// A certificate cannot be a root.
    #[error("certificate {number}")]
    Certificate {
        /// Which one, from 1.
        number: usize,
        /// Why.
        source: rustls::Error,
    },
    /// There is no certificate in it.
    #[error("no certificate found")]
    Empty,
}

/// Parses the certificates of a PEM text for a TLS client to trust.
///
/// # Errors
/// When a certificate cannot be parsed, or there is none.
pub fn from_pem(pem: &[u8]) -> Result<RootCertStore, RootCertsError> {
    let mut roots = RootCertStore::empty();
    for (at, certificate) in CertificateDer::pem_slice_iter(pem).enumerate() {
        let certificate = certificate.map_err(RootCertsError::Pem)?;
        roots
            .add(certificate)
            .map_err(|source| RootCertsError::Certificate { number: at + 1, source })?;
    }
    if roots.is_empty() { Err(RootCertsError::Empty) } else { Ok(roots) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn certificates_and_nothing_else_make_roots() {
        let ca = rcgen::generate_simple_self_signed(["ca".to_owned()]).unwrap().cert.pem();
        assert_eq!(from_pem(format!("# two of them\n{ca}{ca}").as_bytes()).unwrap().len(), 2);
        let cut = ca.replace("-----END", "-----MIDDLE");
        let other = ca.replace("CERTIFICATE", "PUBLIC KEY");
        let nonsense = "-----BEGIN CERTIFICATE-----\naGk=\n-----END CERTIFICATE-----\n";
        for (text, expected) in
            [("", "Empty"), (&other, "Empty"), (&cut, "Pem"), (nonsense, "Certificate { number: 1")]
        {
            let error = from_pem(text.as_bytes()).unwrap_err();
            assert!(format!("{error:?}").starts_with(expected), "{text}: {error:?}");
        }
    }
}
