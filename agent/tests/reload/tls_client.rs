//! Clients with TLS that look at the certificate, whoever signed it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::{ClientConfig, DigitallySignedStruct, SignatureScheme};
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

#[derive(Debug)]
struct UncheckedCertificate(Arc<rustls::crypto::CryptoProvider>);

impl ServerCertVerifier for UncheckedCertificate {
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
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        rustls::crypto::verify_tls13_signature(message, certificate, signature, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

/// PostgreSQL's request for TLS.
const SSL_REQUEST: [u8; 8] = [0, 0, 0, 8, 4, 210, 22, 47];

async fn connect(port: u16) -> std::io::Result<TlsStream<TcpStream>> {
    let tcp = TcpStream::connect(("127.0.0.1", port)).await?;
    tcp.set_nodelay(true)?;
    handshake(tcp).await
}

async fn handshake(tcp: TcpStream) -> std::io::Result<TlsStream<TcpStream>> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut config = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .unwrap()
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(UncheckedCertificate(provider)))
        .with_no_client_auth();
    config.resumption = rustls::client::Resumption::disabled();
    let name = ServerName::try_from("localhost").unwrap();
    TlsConnector::from(Arc::new(config)).connect(name, tcp).await
}

/// The certificate that a port serves.
pub(crate) async fn served(port: u16) -> CertificateDer<'static> {
    leaf(&connect(port).await.unwrap())
}

/// The certificate that PostgreSQL serves; `None` if it has no TLS.
pub(crate) async fn served_by_postgres(port: u16) -> Option<CertificateDer<'static>> {
    let mut tcp = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
    tcp.write_all(&SSL_REQUEST).await.unwrap();
    match tcp.read_u8().await.unwrap() {
        b'S' => Some(leaf(&handshake(tcp).await.unwrap())),
        _ => None,
    }
}

fn leaf(stream: &TlsStream<TcpStream>) -> CertificateDer<'static> {
    stream.get_ref().1.peer_certificates().unwrap()[0].clone().into_owned()
}

/// Clients that keep their connections, and send one request after the other.
pub(crate) struct KeptConnections {
    clients: JoinSet<()>,
    ends: Arc<AtomicBool>,
    requests: Arc<AtomicU64>,
    closed: Arc<AtomicU64>,
}

impl KeptConnections {
    pub(crate) fn start(port: u16, clients: usize) -> Self {
        let (ends, requests, closed) = Default::default();
        let mut it = Self { clients: JoinSet::new(), ends, requests, closed };
        for _ in 0..clients {
            let (ends, requests) = (Arc::clone(&it.ends), Arc::clone(&it.requests));
            let closed = Arc::clone(&it.closed);
            it.clients.spawn(async move {
                let mut connection = connect(port).await.unwrap();
                while !ends.load(Ordering::Relaxed) {
                    if exchange(&mut connection).await.is_ok() {
                        requests.fetch_add(1, Ordering::Relaxed);
                    } else {
                        closed.fetch_add(1, Ordering::Relaxed);
                        connection = connect(port).await.unwrap();
                    }
                }
            });
        }
        it
    }

    pub(crate) fn requests(&self) -> u64 {
        self.requests.load(Ordering::Relaxed)
    }

    /// Ends the clients. How many requests were answered, and how often a connection was closed.
    pub(crate) async fn stop(mut self) -> (u64, u64) {
        self.ends.store(true, Ordering::Relaxed);
        while let Some(ended) = self.clients.join_next().await {
            ended.unwrap();
        }
        (self.requests(), self.closed.load(Ordering::Relaxed))
    }
}

/// A request and its answer, which has no body.
async fn exchange(connection: &mut TlsStream<TcpStream>) -> std::io::Result<()> {
    connection.write_all(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n").await?;
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(connection.read_u8().await?);
    }
    assert!(head.starts_with(b"HTTP/1.1 200"), "{}", String::from_utf8_lossy(&head));
    Ok(())
}
