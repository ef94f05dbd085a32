//! Certificates.

use rcgen::generate_simple_self_signed;
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject as _;

/// A certificate and its key, PEM.
#[derive(Clone)]
pub(crate) struct ServerPair {
    pub(crate) certificate: String,
    pub(crate) key: String,
}

impl ServerPair {
    pub(crate) fn new() -> Self {
        let generated = generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        Self { certificate: generated.cert.pem(), key: generated.signing_key.serialize_pem() }
    }

    /// A certificate with the key of another.
    pub(crate) fn broken() -> Self {
        Self { key: Self::new().key, ..Self::new() }
    }

    /// Both in one text.
    pub(crate) fn both(&self) -> String {
        format!("{}\n{}", self.certificate, self.key)
    }

    pub(crate) fn leaf(&self) -> CertificateDer<'static> {
        CertificateDer::from_pem_slice(self.certificate.as_bytes()).unwrap()
    }
}
