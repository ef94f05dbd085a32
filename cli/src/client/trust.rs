//! Whom the client trusts where a CA is named: that CA and nobody else.

use std::path::Path;

use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;

use crate::error::Error;

/// The TLS configuration that trusts the certificates of a file.
pub(crate) fn trusting(path: &Path) -> Result<ClientConfig, Error> {
    Ok(ClientConfig::builder().with_root_certificates(roots(path)?).with_no_client_auth())
}

/// The certificates of a file.
pub(crate) fn roots(path: &Path) -> Result<RootCertStore, Error> {
    let refuse = |reason: String| Error::Manifest { path: path.to_owned(), reason };
    let pem = std::fs::read(path).map_err(|source| Error::Read { path: path.to_owned(), source })?;
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(&pem) {
        let certificate = certificate.map_err(|error| refuse(error.to_string()))?;
        roots.add(certificate).map_err(|error| refuse(error.to_string()))?;
    }
    if roots.is_empty() {
        return Err(refuse("there is no certificate in it".to_owned()));
    }
    Ok(roots)
}
