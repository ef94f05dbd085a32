//! The TLS configuration that trusts exactly the CAs of a trust bundle.

use std::sync::Arc;

use runtime::root_certs::{RootCertsError, from_pem};
use rustls::client::Resumption;
use rustls::{ClientConfig, SupportedProtocolVersion};

/// Why a trust bundle is unusable.
#[derive(Debug, thiserror::Error)]
pub enum TrustError {
    /// It has no valid CA certificates.
    #[error("read trust bundle")]
    Roots(#[from] RootCertsError),
    /// The crypto provider does not support the protocol versions.
    #[error("set up TLS")]
    Provider(#[source] rustls::Error),
}

/// A TLS client configuration that trusts only the CAs in `pem`.
pub(super) fn client_config(
    pem: &str,
    versions: &[&'static SupportedProtocolVersion],
) -> Result<Arc<ClientConfig>, TrustError> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(versions)
        .map_err(TrustError::Provider)?
        .with_root_certificates(from_pem(pem.as_bytes())?)
        .with_no_client_auth();
    // The agent keeps one connection open for as long as it can. Keeping session tickets in
    // memory would cost more than an occasional full handshake.
    config.resumption = Resumption::disabled();
    Ok(Arc::new(config))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_trust_bundle_must_contain_a_certificate() {
        let ca = rcgen::generate_simple_self_signed(["ca".to_owned()]).unwrap().cert.pem();
        let config = |ca| client_config(ca, rustls::ALL_VERSIONS);
        assert!(config(&ca).is_ok());
        assert!(matches!(config("hello"), Err(TrustError::Roots(RootCertsError::Empty))));
    }
}
