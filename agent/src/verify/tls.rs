//! Asks a server on the loopback for its certificate.

use std::io;
use std::sync::Arc;

use contract::check::StartTls;
use rustls::client::Resumption;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::{ClientConfig, DigitallySignedStruct, SignatureScheme};
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::loopback::addresses;

/// The host of a check.
const LOCALHOST: &str = "localhost";

/// PostgreSQL's `SSLRequest`: its length, 8, and the code 80877103 (PostgreSQL documentation,
/// "Message Formats").
const POSTGRES_SSL_REQUEST: [u8; 8] = [0, 0, 0, 8, 0x04, 0xd2, 0x16, 0x2f];

/// Why a server's certificate could not be asked for.
#[derive(Debug, thiserror::Error)]
pub(super) enum TlsError {
    /// The host name is none.
    #[error("parse host name {0}")]
    Name(String),
    /// The crypto provider lacks a protocol version.
    #[error("set up TLS")]
    Provider(#[source] rustls::Error),
    /// Nobody listens.
    #[error("connect port {port}")]
    Connect {
        /// The port.
        port: u16,
        /// Why.
        source: io::Error,
    },
    /// The server has no TLS.
    #[error("ask port {port} for TLS")]
    StartTls {
        /// The port.
        port: u16,
        /// Why.
        source: io::Error,
    },
    /// The handshake failed.
    #[error("handshake with port {port}")]
    Handshake {
        /// The port.
        port: u16,
        /// Why.
        source: io::Error,
    },
    /// The server has sent none.
    #[error("handshake with port {0}: the server sent no certificate")]
    NoCertificate(u16),
}

/// The certificate that the server on `port` proves to have the key of, asked for as `sni`.
pub(super) async fn served(
    (port, starttls): (u16, Option<StartTls>),
    sni: Option<&str>,
) -> Result<CertificateDer<'static>, TlsError> {
    let stream = connect((port, starttls), sni).await?;
    let certificates = stream.get_ref().1.peer_certificates().unwrap_or_default();
    let leaf = certificates.first().ok_or(TlsError::NoCertificate(port))?;
    Ok(leaf.clone().into_owned())
}

/// A connection to the server on `port`, whoever signed its certificate: it is compared with a
/// file, or, as kubelet does, not looked at.
pub(super) async fn connect(
    (port, starttls): (u16, Option<StartTls>),
    sni: Option<&str>,
) -> Result<TlsStream<TcpStream>, TlsError> {
    let name = sni.unwrap_or(LOCALHOST);
    let name =
        ServerName::try_from(name.to_owned()).map_err(|_| TlsError::Name(name.to_owned()))?;
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut config = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_protocol_versions(rustls::ALL_VERSIONS)
        .map_err(TlsError::Provider)?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(AnyCertificate(provider)))
        .with_no_client_auth();
    config.resumption = Resumption::disabled();
    let mut tcp = TcpStream::connect(&*addresses(LOCALHOST, port))
        .await
        .map_err(|source| TlsError::Connect { port, source })?;
    if let Some(StartTls::Postgres) = starttls {
        ask_postgres(&mut tcp).await.map_err(|source| TlsError::StartTls { port, source })?;
    }
    let connector = TlsConnector::from(Arc::new(config));
    connector.connect(name, tcp).await.map_err(|source| TlsError::Handshake { port, source })
}

/// Asks a PostgreSQL server for TLS.
async fn ask_postgres(tcp: &mut TcpStream) -> io::Result<()> {
    tcp.write_all(&POSTGRES_SSL_REQUEST).await?;
    match tcp.read_u8().await? {
        b'S' => Ok(()),
        b'N' => Err(io::Error::other("the server has TLS switched off")),
        _ => Err(io::Error::other("this is no PostgreSQL server")),
    }
}

/// Accepts every certificate whose private key the server has.
#[derive(Debug)]
struct AnyCertificate(Arc<CryptoProvider>);

impl ServerCertVerifier for AnyCertificate {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        verify_tls12_signature(message, certificate, signature, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        verify_tls13_signature(message, certificate, signature, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
