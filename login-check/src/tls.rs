//! TLS as the URL asks for it.
//!
//! A URL that has the certificate checked and names no CA leaves the CA to the application, whose
//! file or code this program does not see. The certificate is then held against the public CAs. If
//! none of those issued it, this program cannot tell, and sends nothing.

use std::fs::File;
use std::io::{self, Read as _};
use std::path::Path;
use std::sync::Arc;

use aws_lc_rs::digest::{SHA256, digest};
use contract::login_check::Unreachable;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{WebPkiServerVerifier, verify_server_name};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, Error as TlsError, RootCertStore,
    SignatureScheme,
};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::failure::{Failure, short};
use crate::target::{CertificateCheck, Endpoint, Roots, Tls};

/// The longest file with CA certificates, in bytes.
const MAX_CA_BYTES: u64 = 1 << 20;

/// A TLS client for one URL.
pub(crate) struct TlsClient {
    connector: TlsConnector,
    names_no_ca: bool,
}

impl TlsClient {
    /// Reads the CA's file, if there is one.
    pub(crate) fn new(tls: &Tls) -> Result<Self, Failure> {
        let failed = |text: &str| Failure::unsupported(format!("set up TLS: {text}"));
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let mut pinned = Vec::new();
        let chain = match tls.check {
            CertificateCheck::None => None,
            CertificateCheck::Issuer | CertificateCheck::IssuerAndName => {
                let roots = roots(&tls.roots, &mut pinned).map_err(failed)?;
                let builder =
                    WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider.clone());
                Some(builder.build().map_err(|_| failed("the CA certificates are unusable"))?)
            }
        };
        let policy = CertificatePolicy {
            provider: provider.clone(),
            chain,
            pinned,
            checks_name: tls.check == CertificateCheck::IssuerAndName,
        };
        let builder = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|_| failed("no protocol version"))?;
        let config = builder
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(policy))
            .with_no_client_auth();
        Ok(Self {
            connector: TlsConnector::from(Arc::new(config)),
            names_no_ca: tls.roots == Roots::Unnamed,
        })
    }

    /// Shakes hands, and returns the hash of the certificate that the server showed.
    pub(crate) async fn handshake(
        &self,
        endpoint: &Endpoint,
        stream: TcpStream,
    ) -> Result<(TlsStream<TcpStream>, Option<String>), Failure> {
        let name = ServerName::try_from(endpoint.host.clone())
            .map_err(|_| Failure::unsupported(format!("{endpoint}: not a name for TLS")))?;
        let stream = self
            .connector
            .connect(name, stream)
            .await
            .map_err(|error| self.failure(endpoint, &error))?;
        let shown = stream.get_ref().1.peer_certificates().and_then(<[_]>::first);
        let fingerprint = shown.map(|certificate| hex(digest(&SHA256, certificate).as_ref()));
        Ok((stream, fingerprint))
    }

    fn failure(&self, endpoint: &Endpoint, error: &io::Error) -> Failure {
        let cause = error.get_ref().and_then(|inner| inner.downcast_ref::<TlsError>());
        if self.names_no_ca && cause.is_some_and(is_of_unknown_issuer) {
            return Failure::unsupported(format!(
                "{endpoint}: the URL names no CA, and no public one issued its certificate"
            ));
        }
        let text = cause.map_or_else(|| error.kind().to_string(), ToString::to_string);
        let detail = format!("TLS with {endpoint}: {}", short(&text));
        Failure::unreachable(Unreachable::Tls, detail)
    }
}

fn is_of_unknown_issuer(error: &TlsError) -> bool {
    // A certificate that signed itself may also be one that only a CA may have.
    matches!(
        error,
        TlsError::InvalidCertificate(CertificateError::UnknownIssuer | CertificateError::Other(_))
    )
}

/// The CAs, and the certificates that a file has as they are.
fn roots(
    source: &Roots,
    pinned: &mut Vec<CertificateDer<'static>>,
) -> Result<RootCertStore, &'static str> {
    match source {
        Roots::Unnamed | Roots::Public => {
            Ok(RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() })
        }
        Roots::File(path) => {
            let pem = read_file(path)
                .map_err(|_| "the URL's CA file cannot be read in the agent's container")?;
            pinned.extend(CertificateDer::pem_slice_iter(&pem).filter_map(Result::ok));
            runtime::root_certs::from_pem(&pem)
                .map_err(|_| "the URL's CA file has no CA certificate")
        }
    }
}

/// The hash of the first certificate in a file; `None` if there is none that can be read here.
pub(crate) fn fingerprint_of_file(path: &Path) -> Option<String> {
    let pem = read_file(path).ok()?;
    let certificate = CertificateDer::from_pem_slice(&pem).ok()?;
    Some(hex(digest(&SHA256, &certificate).as_ref()))
}

fn read_file(path: &Path) -> io::Result<Vec<u8>> {
    // Without waiting for whoever would write to a pipe.
    if !std::fs::metadata(path)?.is_file() {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    let mut bytes = Vec::new();
    File::open(path)?.take(MAX_CA_BYTES).read_to_end(&mut bytes)?;
    Ok(bytes)
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// What is checked of a server's certificate. Its signature of the handshake always is.
#[derive(Debug)]
struct CertificatePolicy {
    provider: Arc<CryptoProvider>,
    /// Checks the issuer, and then the name.
    chain: Option<Arc<WebPkiServerVerifier>>,
    /// Those of the CA file. A server may have one of them itself: `openssl req -x509` makes a CA
    /// of what is then a server's certificate, and OpenSSL takes it.
    pinned: Vec<CertificateDer<'static>>,
    checks_name: bool,
}

impl ServerCertVerifier for CertificatePolicy {
    fn verify_server_cert(
        &self,
        certificate: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, TlsError> {
        let Some(chain) = &self.chain else { return Ok(ServerCertVerified::assertion()) };
        let result = match chain.verify_server_cert(certificate, intermediates, name, ocsp, now) {
            // The last of what is looked at before the issuer. That it is still valid comes first.
            Err(TlsError::InvalidCertificate(CertificateError::Other(_)))
                if self.pinned.iter().any(|pinned| pinned == certificate) =>
            {
                verify_server_name(&ParsedCertificate::try_from(certificate)?, name)
                    .map(|()| ServerCertVerified::assertion())
            }
            result => result,
        };
        match result {
            Err(TlsError::InvalidCertificate(
                CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
            )) if !self.checks_name => Ok(ServerCertVerified::assertion()),
            result => result,
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, TlsError> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls12_signature(message, certificate, signature, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, TlsError> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls13_signature(message, certificate, signature, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}
