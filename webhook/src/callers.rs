//! Who asks: the API server, as far as its AdmissionConfiguration proves it, or anybody.
//!
//! A client certificate is verified in the handshake, a bearer token here. The port's probes need
//! neither.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use aws_lc_rs::constant_time::verify_slices_are_equal;
use certs::certificate::Certificate;
use contract::Redacted;
use http::{HeaderMap, Request, header};
use runtime::root_certs::{self, RootCertsError};
use runtime::tls::PeerCertificates;
use rustls::server::danger::ClientCertVerifier;
use rustls::server::{VerifierBuilderError, WebPkiClientVerifier};

use crate::args::CallerArgs;

/// The longest token file that is read, in bytes.
const MAX_TOKEN_BYTES: u64 = 16 << 10;

/// How often a token that is not the known one has the file read again, since it may have changed.
const REREAD_INTERVAL: Duration = Duration::from_secs(1);

/// Why callers cannot be verified.
#[derive(Debug, thiserror::Error)]
pub enum CallersError {
    /// A file cannot be read.
    #[error("read {path}")]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The client CA file has no usable certificates.
    #[error("use client CA file {path}")]
    Roots {
        /// The file.
        path: PathBuf,
        /// Why.
        source: RootCertsError,
    },
    /// The certificates make no verifier.
    #[error("use client CA file {path}")]
    Verifier {
        /// The file.
        path: PathBuf,
        /// Why.
        source: VerifierBuilderError,
    },
    /// The token file is empty.
    #[error("read client token from {0}: the file is empty")]
    EmptyToken(PathBuf),
}

/// Why a caller gets no answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum CallerError {
    /// It has no client certificate of the configured CA.
    #[error("identify caller: a review needs the API server's client certificate")]
    NoCertificate,
    /// Its certificate has another common name.
    #[error("identify caller: the client certificate is not the API server's")]
    OtherName,
    /// It has no token, or another one.
    #[error("identify caller: a review needs the API server's bearer token")]
    Token,
}

/// What proves that a caller is the API server; nothing if nothing is configured.
#[derive(Debug, Default)]
pub struct Callers {
    certificate: Option<CertificateProof>,
    token: Option<ClientToken>,
}

#[derive(Debug)]
struct CertificateProof {
    verifier: Arc<dyn ClientCertVerifier>,
    /// The common name; `None` accepts every certificate of the CA.
    name: Option<String>,
}

impl Callers {
    /// Reads the CA and the token.
    ///
    /// # Errors
    /// When a file cannot be read or used.
    pub fn new(args: &CallerArgs) -> Result<Self, CallersError> {
        let CallerArgs { client_ca_file, client_name, client_token_file, trust_every_caller: _ } =
            args;
        let verifier = client_ca_file.as_deref().map(verifier).transpose()?;
        let certificate =
            verifier.map(|verifier| CertificateProof { verifier, name: client_name.clone() });
        let token = client_token_file.clone().map(ClientToken::read).transpose()?;
        Ok(Self { certificate, token })
    }

    /// What verifies client certificates in the handshake. A client without one gets through, and
    /// is refused by [`Callers::check`].
    #[must_use]
    pub fn verifier(&self) -> Option<Arc<dyn ClientCertVerifier>> {
        self.certificate.as_ref().map(|proof| Arc::clone(&proof.verifier))
    }

    /// Checks that the caller has every configured proof.
    ///
    /// # Errors
    /// When one is missing or another's.
    pub fn check<B>(&self, request: &Request<B>) -> Result<(), CallerError> {
        if let Some(CertificateProof { name, .. }) = &self.certificate {
            let sent = request.extensions().get::<PeerCertificates>();
            let own = sent.and_then(|sent| sent.0.first()).ok_or(CallerError::NoCertificate)?;
            if let Some(name) = name {
                let own = Certificate::from_der(own.clone()).map_err(|_| CallerError::OtherName)?;
                if own.common_name().as_ref() != Some(name) {
                    return Err(CallerError::OtherName);
                }
            }
        }
        match &self.token {
            Some(token) if !token.is_in(request.headers()) => Err(CallerError::Token),
            _ => Ok(()),
        }
    }
}

fn verifier(path: &Path) -> Result<Arc<dyn ClientCertVerifier>, CallersError> {
    let pem = std::fs::read(path)
        .map_err(|source| CallersError::Read { path: path.to_owned(), source })?;
    let roots = root_certs::from_pem(&pem)
        .map_err(|source| CallersError::Roots { path: path.to_owned(), source })?;
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider)
        .allow_unauthenticated()
        .build()
        .map_err(|source| CallersError::Verifier { path: path.to_owned(), source })
}

/// A token in a file, which may be replaced while the process runs.
#[derive(Debug)]
struct ClientToken {
    path: PathBuf,
    known: Mutex<(Redacted, Instant)>,
}

impl ClientToken {
    fn read(path: PathBuf) -> Result<Self, CallersError> {
        let token = read_token(&path)?;
        Ok(Self { path, known: Mutex::new((token, Instant::now())) })
    }

    fn is_in(&self, headers: &HeaderMap) -> bool {
        let value = headers.get(header::AUTHORIZATION).map(http::HeaderValue::as_bytes);
        let Some(sent) = value.and_then(|value| value.strip_prefix(b"Bearer ")) else {
            return false;
        };
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if verify_slices_are_equal(known.0.expose(), sent).is_ok() {
            return true;
        }
        if known.1.elapsed() < REREAD_INTERVAL {
            return false;
        }
        known.1 = Instant::now();
        if let Ok(token) = read_token(&self.path) {
            known.0 = token;
        }
        verify_slices_are_equal(known.0.expose(), sent).is_ok()
    }
}

fn read_token(path: &Path) -> Result<Redacted, CallersError> {
    let mut bytes = zeroize::Zeroizing::new(Vec::new());
    let read = File::open(path).and_then(|file| file.take(MAX_TOKEN_BYTES).read_to_end(&mut bytes));
    read.map_err(|source| CallersError::Read { path: path.to_owned(), source })?;
    let token = Redacted::from(bytes.trim_ascii());
    if token.is_empty() { Err(CallersError::EmptyToken(path.to_owned())) } else { Ok(token) }
}
