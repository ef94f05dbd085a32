//! HTTP clients for tests.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result};
use reqwest::blocking::Client;

/// A client that trusts only the CAs in a PEM file.
///
/// # Errors
/// If the file holds none.
pub fn client_trusting(ca: &Path) -> Result<Client> {
    let pem = std::fs::read(ca).with_context(|| format!("read {}", ca.display()))?;
    let roots = runtime::root_certs::from_pem(&pem)
        .with_context(|| format!("parse CA {}", ca.display()))?;
    let tls = rustls::ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
    Client::builder()
        .tls_backend_preconfigured(tls)
        .timeout(Duration::from_secs(20))
        .build()
        .context("build HTTP client")
}

/// A client for plain HTTP on loopback.
///
/// # Errors
/// If the client cannot be built.
pub fn plain_client() -> Result<Client> {
    let tls = rustls::ClientConfig::builder()
        .with_root_certificates(rustls::RootCertStore::empty())
        .with_no_client_auth();
    Client::builder()
        .tls_backend_preconfigured(tls)
        .timeout(Duration::from_secs(5))
        .build()
        .context("build HTTP client")
}
