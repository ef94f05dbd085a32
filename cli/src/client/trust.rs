//! Whom the client trusts where a CA is named: that CA and nobody else.

use std::path::Path;

use runtime::logs::ErrorChain;
use rustls::{ClientConfig, RootCertStore};

use crate::error::Error;

/// The TLS configuration that trusts the certificates of a file.
pub(crate) fn trusting(path: &Path) -> Result<ClientConfig, Error> {
    Ok(ClientConfig::builder().with_root_certificates(roots(path)?).with_no_client_auth())
}

/// The certificates of a file.
pub(crate) fn roots(path: &Path) -> Result<RootCertStore, Error> {
    let pem =
        std::fs::read(path).map_err(|source| Error::Read { path: path.to_owned(), source })?;
    runtime::root_certs::from_pem(&pem).map_err(|error| Error::Manifest {
        path: path.to_owned(),
        reason: ErrorChain(&error).to_string(),
    })
}
