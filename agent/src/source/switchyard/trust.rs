//! From a trust bundle to a TLS configuration that trusts nobody else.

use std::sync::Arc;

use rustls::client::Resumption;
use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::{self, PemObject};

/// Why a trust bundle is of no use.
#[derive(Debug, thiserror::Error)]
pub enum TrustError {
    /// Not PEM.
    #[error("read trust bundle")]
    Pem(#[source] pem::Error),
    /// A certificate cannot be a CA.
    #[error("read trust bundle: certificate {number}")]
    Certificate {
        /// Which one, from 1.
        number: usize,
        /// Why.
        source: rustls::Error,
    },
    /// No certificate at all.
    #[error("read trust bundle: it has no certificate")]
    Empty,
    /// The process has no provider for TLS 1.3.
    #[error("set up TLS")]
    Provider(#[source] rustls::Error),
}

/// A TLS client that trusts exactly the CAs of `pem`.
pub(super) fn client(pem: &str) -> Result<Arc<ClientConfig>, TrustError> {
    let mut roots = RootCertStore::empty();
    for (at, certificate) in CertificateDer::pem_slice_iter(pem.as_bytes()).enumerate() {
        let certificate = certificate.map_err(TrustError::Pem)?;
        roots.add(certificate).map_err(|source| TrustError::Certificate { number: at + 1, source })?;
    }
    if roots.is_empty() {
        return Err(TrustError::Empty);
    }
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    // Both ends are ours and speak 1.3.
    let builder = ClientConfig::builder_with_provider(provider).with_protocol_versions(&[&rustls::version::TLS13]);
    let mut config = builder.map_err(TrustError::Provider)?.with_root_certificates(roots).with_no_client_auth();
    // There is one connection for as long as the pod lives: keeping tickets would cost more than a
    // full handshake now and then.
    config.resumption = Resumption::disabled();
    Ok(Arc::new(config))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_certificates_make_trust() {
        let ca = rcgen::generate_simple_self_signed(["ca".to_owned()]).unwrap().cert.pem();
        assert!(client(&ca).is_ok());
        assert!(client(&format!("# two of them\n{ca}{ca}")).is_ok());
        assert!(matches!(client(""), Err(TrustError::Empty)));
        assert!(matches!(client("hello"), Err(TrustError::Empty)));
        let broken = ca.replacen("MII", "MIX", 1);
        assert!(matches!(client(&broken), Err(TrustError::Certificate { number: 1, .. } | TrustError::Pem(_))));
    }
}
