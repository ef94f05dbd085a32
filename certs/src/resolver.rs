//! The certificate that the listener serves. It can be replaced while the listener is open; a
//! handshake costs one atomic load.

use std::sync::Arc;

use arc_swap::ArcSwapOption;
use rustls::ServerConfig;
use rustls::server::danger::ClientCertVerifier;
use rustls::server::{ClientHello, ResolvesServerCert, WebPkiClientVerifier};
use rustls::sign::CertifiedKey;
use rustls::version::{TLS12, TLS13};

use crate::cert_key_pair::{CertKeyPair, CertKeyPairError};
use crate::certificate::{Certificate, provider};

/// ALPN for a server that speaks HTTP/2 and HTTP/1.1.
pub const H2_AND_HTTP1: &[&[u8]] = &[b"h2", b"http/1.1"];

/// The current certificate and key. Without one, handshakes fail.
#[derive(Default)]
pub struct CertResolver(ArcSwapOption<Serving>);

struct Serving {
    key: Arc<CertifiedKey>,
    certificate: Certificate,
}

impl CertResolver {
    /// Serves nothing yet.
    pub fn new() -> Arc<Self> {
        Arc::new(Self::default())
    }

    /// Serves `pair` from the next handshake on; open connections are not affected.
    ///
    /// # Errors
    /// When rustls refuses the pair; the previous one stays.
    pub fn swap(&self, pair: &CertKeyPair) -> Result<(), CertKeyPairError> {
        self.0.store(Some(Arc::new(Serving {
            key: pair.certified()?,
            certificate: pair.certificate().clone(),
        })));
        Ok(())
    }

    /// The certificate that is served, for the expiry metric.
    pub fn certificate(&self) -> Option<Certificate> {
        self.0.load().as_ref().map(|serving| serving.certificate.clone())
    }

    /// Whether there is a certificate to serve.
    pub fn is_loaded(&self) -> bool {
        self.0.load().is_some()
    }
}

impl ResolvesServerCert for CertResolver {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        self.0.load().as_ref().map(|serving| Arc::clone(&serving.key))
    }
}

impl std::fmt::Debug for CertResolver {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("CertResolver").field("loaded", &self.is_loaded()).finish()
    }
}

/// A TLS 1.2 and 1.3 server without client certificates. `alpn` in order of preference, may be
/// empty.
///
/// # Errors
/// When the cryptography provider lacks a protocol version.
pub fn server_config(
    resolver: Arc<CertResolver>,
    alpn: &[&[u8]],
) -> Result<ServerConfig, rustls::Error> {
    server_config_for(resolver, alpn, WebPkiClientVerifier::no_client_auth())
}

/// The same, with client certificates as `clients` asks for and verifies them.
///
/// # Errors
/// When the cryptography provider lacks a protocol version.
pub fn server_config_for(
    resolver: Arc<CertResolver>,
    alpn: &[&[u8]],
    clients: Arc<dyn ClientCertVerifier>,
) -> Result<ServerConfig, rustls::Error> {
    let mut config = ServerConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&TLS13, &TLS12])?
        .with_client_cert_verifier(clients)
        .with_cert_resolver(resolver);
    config.alpn_protocols = alpn.iter().map(|name| name.to_vec()).collect();
    Ok(config)
}
