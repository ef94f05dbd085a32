//! Outbound HTTP: one way to build a client, with the decisions that hold everywhere.
//!
//! No redirects, because a redirect would carry a token to another server. No proxy from the
//! environment unless the caller asks for it. TLS by rustls with the process' provider, trusting
//! the platform's CAs or those of one file. HTTPS only, unless the caller has checked the address
//! with [`is_https_or_loopback`]. Connecting and the whole request have a timeout.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use reqwest::redirect;
use rustls::{ClientConfig, RootCertStore};
use url::{Host, Url};

use crate::provider::{self, ProviderError};
use crate::root_certs::{self, RootCertsError};

/// From the first packet to the end of the TLS handshake.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// From the first packet to the last byte of the answer.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(30);

/// Why a client could not be built.
#[derive(Debug, thiserror::Error)]
pub enum HttpClientError {
    /// The CA file cannot be read.
    #[error("read CA file {path}")]
    ReadCa {
        /// The file.
        path: PathBuf,
        /// The system's error.
        source: io::Error,
    },
    /// The CA file is not a list of PEM certificates.
    #[error("parse CA file {path}")]
    ParseCa {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: RootCertsError,
    },
    /// Another cryptography provider is installed in the process.
    #[error(transparent)]
    Provider(#[from] ProviderError),
    /// The client itself, such as the platform's CAs.
    #[error("build HTTP client")]
    Build(#[source] reqwest::Error),
}

/// Builds an HTTP client.
#[derive(Debug)]
#[must_use]
pub struct HttpClientBuilder {
    inner: reqwest::ClientBuilder,
    timeout: Option<Duration>,
    tls: Option<ClientConfig>,
    roots: Option<RootCertStore>,
    https_only: bool,
    proxy: bool,
}

impl HttpClientBuilder {
    /// The usual client: HTTPS only, the platform's CAs, 10 s to connect, 30 s for a request.
    ///
    /// `user_agent` is `NAME/VERSION` (RFC 9110, section 10.1.5).
    pub fn new(user_agent: &str) -> Self {
        Self {
            inner: reqwest::Client::builder()
                .user_agent(user_agent)
                .redirect(redirect::Policy::none())
                .connect_timeout(CONNECT_TIMEOUT),
            timeout: Some(REQUEST_TIMEOUT),
            tls: None,
            roots: None,
            https_only: true,
            proxy: false,
        }
    }

    /// Trusts the CAs of a PEM file and no others. `None` keeps the platform's.
    ///
    /// # Errors
    /// When the file cannot be read or holds no certificate.
    pub fn ca_file(mut self, path: Option<&Path>) -> Result<Self, HttpClientError> {
        if let Some(path) = path {
            let pem = std::fs::read(path)
                .map_err(|source| HttpClientError::ReadCa { path: path.to_owned(), source })?;
            let roots = root_certs::from_pem(&pem)
                .map_err(|source| HttpClientError::ParseCa { path: path.to_owned(), source })?;
            self.roots = Some(roots);
        }
        Ok(self)
    }

    /// Trusts these CAs and no others. An empty store saves a client that only speaks plain HTTP
    /// from loading the platform's CAs.
    pub fn roots(mut self, roots: RootCertStore) -> Self {
        self.roots = Some(roots);
        self
    }

    /// Uses a whole TLS configuration, for a client certificate. Replaces the CAs.
    pub fn tls_config(mut self, config: ClientConfig) -> Self {
        self.tls = Some(config);
        self
    }

    /// Also takes `http://` addresses. The caller checks each with [`is_https_or_loopback`], or
    /// has the operator's word that plain HTTP is accepted.
    pub fn allow_http(mut self, allowed: bool) -> Self {
        self.https_only = !allowed;
        self
    }

    /// Takes proxies from the environment (`HTTPS_PROXY` and so on).
    pub fn environment_proxy(mut self) -> Self {
        self.proxy = true;
        self
    }

    /// How long connecting may take, TLS handshake included.
    pub fn connect_timeout(mut self, timeout: Duration) -> Self {
        self.inner = self.inner.connect_timeout(timeout);
        self
    }

    /// How long a whole request may take, to the last byte of the answer.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = Some(timeout);
        self
    }

    /// How long the server may be silent, instead of a bound on the whole request: for answers that
    /// are streamed, and for callers that set a timeout for each request.
    pub fn read_timeout(mut self, timeout: Duration) -> Self {
        self.timeout = None;
        self.inner = self.inner.read_timeout(timeout);
        self
    }

    /// How long an idle connection is kept for the next request.
    pub fn pool_idle_timeout(mut self, timeout: Duration) -> Self {
        self.inner = self.inner.pool_idle_timeout(timeout);
        self
    }

    /// The client.
    ///
    /// # Errors
    /// When another cryptography provider is installed or the platform's CAs cannot be loaded.
    pub fn build(self) -> Result<reqwest::Client, HttpClientError> {
        let Self { mut inner, timeout, tls, roots, https_only, proxy } = self;
        provider::install()?;
        let tls = tls.or_else(|| {
            let builder = ClientConfig::builder().with_root_certificates(roots?);
            Some(builder.with_no_client_auth())
        });
        inner = match tls {
            Some(config) => inner.tls_backend_preconfigured(config),
            None => inner.tls_backend_rustls(),
        };
        if let Some(timeout) = timeout {
            inner = inner.timeout(timeout);
        }
        if !proxy {
            inner = inner.no_proxy();
        }
        inner.https_only(https_only).build().map_err(HttpClientError::Build)
    }
}

/// Whether what is sent to `url` is encrypted or stays on this machine: `https`, or `http` to
/// `localhost` or a loopback address.
pub fn is_https_or_loopback(url: &Url) -> bool {
    match (url.scheme(), url.host()) {
        ("https", Some(_)) => true,
        ("http", Some(Host::Domain(name))) => name == "localhost",
        ("http", Some(Host::Ipv4(address))) => address.is_loopback(),
        ("http", Some(Host::Ipv6(address))) => address.is_loopback(),
        _ => false,
    }
}

#[cfg(test)]
mod tests;
