//! From a trust bundle to a TLS configuration that trusts nobody else.

use std::sync::Arc;

use runtime::root_certs::{RootCertsError, from_pem};
use rustls::ClientConfig;
use rustls::client::Resumption;

/// Why a trust bundle is of no use.
#[derive(Debug, thiserror::Error)]
pub enum TrustError {
    /// It names no CAs.
    #[error("read trust bundle")]
    Roots(#[from] RootCertsError),
    /// The process has no provider for TLS 1.3.
    #[error("set up TLS")]
    Provider(#[source] rustls::Error),
}

/// A TLS client that trusts exactly the CAs of `pem`.
pub(super) fn client(pem: &str) -> Result<Arc<ClientConfig>, TrustError> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    // Both ends are ours and speak 1.3.
    let builder = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13]);
    let mut config = builder
        .map_err(TrustError::Provider)?
        .with_root_certificates(from_pem(pem.as_bytes())?)
        .with_no_client_auth();
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
        assert!(matches!(client("hello"), Err(TrustError::Roots(RootCertsError::Empty))));
    }
}
