//! The only place that speaks HTTP to Vault.
//!
//! vaultrs makes the requests. It does not send them: its own client drops the KV version that a
//! read names, takes the 404 of a deleted version for a broken connection, logs an error for every
//! conflict, has no deadline unless told, keeps the token in a text that its `Debug` prints, and
//! takes addresses, tokens and the end of TLS verification from the environment. Nothing of that is
//! used: the token is put into a request when it goes out, as a header that is marked sensitive,
//! and what comes back is read and judged here.

use std::path::Path;
use std::time::Duration;

use contract::Redacted;
use reqwest::header::{HeaderMap, HeaderValue};
use reqwest::{Certificate, Method, redirect};
use rustify::endpoint::Endpoint;
use vaultrs::api::EndpointMiddleware;
use zeroize::Zeroizing;

use super::call::{Answer, CallError, judge};
use super::config::{ConfigError, VaultConfig};

/// A scope's entry is below one MiB, and the list of one folder far below this.
const MOST: usize = 8 << 20;

/// Where Vault is, and the connections to it. It holds no token.
pub(super) struct Client {
    http: reqwest::Client,
    base: String,
    middleware: EndpointMiddleware,
    timeout: Duration,
}

/// A request that can be sent more than once.
pub(super) struct Request {
    step: &'static str,
    method: Method,
    url: String,
    headers: HeaderMap,
    body: Zeroizing<Vec<u8>>,
}

impl Client {
    pub(super) fn new(config: &VaultConfig) -> Result<Self, ConfigError> {
        let address = config.checked()?;
        runtime::provider::install()?;
        let certificates = config.ca_file.as_deref().map(certificates).transpose()?;
        let plain = address.scheme() == "http";
        let mut builder = reqwest::Client::builder()
            .tls_backend_rustls()
            .https_only(!plain)
            // A proxy of the environment's is nobody's decision, and a redirect would take the
            // token along.
            .no_proxy()
            .redirect(redirect::Policy::none())
            .connect_timeout(config.timeout)
            .pool_idle_timeout(Duration::from_secs(60));
        if plain || certificates.is_some() {
            builder = builder.tls_certs_only(certificates.unwrap_or_default());
        }
        let http = builder.build().map_err(ConfigError::Client)?;
        let namespace = config.namespace.clone();
        let middleware = EndpointMiddleware {
            token: String::new(),
            version: "v1".to_owned(),
            wrap: None,
            namespace,
        };
        Ok(Self { http, base: address.to_string(), middleware, timeout: config.timeout })
    }

    pub(super) fn timeout(&self) -> Duration {
        self.timeout
    }

    /// The request of one of vaultrs' endpoints.
    pub(super) fn request(
        &self,
        step: &'static str,
        endpoint: impl Endpoint,
    ) -> Result<Request, CallError> {
        let made = endpoint.with_middleware(&self.middleware).request(&self.base);
        // The cause would quote the body.
        let (parts, body) = made
            .map_err(|_| CallError::Nonsense { step, what: "the request cannot be made" })?
            .into_parts();
        Ok(Request {
            step,
            method: parts.method,
            url: parts.uri.to_string(),
            headers: parts.headers,
            body: Zeroizing::new(body),
        })
    }

    /// Sends a request once.
    pub(super) async fn send(
        &self,
        request: &Request,
        token: Option<&Redacted>,
    ) -> Result<Answer, CallError> {
        let step = request.step;
        let mut headers = request.headers.clone();
        if let Some(token) = token {
            let value = HeaderValue::from_bytes(token.expose());
            let mut value = value.map_err(|_| CallError::Nonsense {
                step,
                what: "the token is not one line of text",
            })?;
            value.set_sensitive(true);
            headers.insert("x-vault-token", value);
        }
        let exchange = self.exchange(request, headers);
        let answered = tokio::time::timeout(self.timeout, exchange).await;
        let (status, body) =
            answered.map_err(|_| CallError::Late { step, timeout: self.timeout })??;
        judge(step, status, &body)
    }

    async fn exchange(
        &self,
        request: &Request,
        headers: HeaderMap,
    ) -> Result<(u16, Zeroizing<Vec<u8>>), CallError> {
        let step = request.step;
        let failed = |source: reqwest::Error| {
            if source.is_connect() {
                CallError::Unreached { step, source }
            } else {
                CallError::Torn { step, source }
            }
        };
        let sent = self
            .http
            .request(request.method.clone(), &request.url)
            .headers(headers)
            .body(request.body.to_vec())
            .send();
        let mut response = sent.await.map_err(failed)?;
        let mut body = Zeroizing::new(Vec::new());
        while let Some(chunk) = response.chunk().await.map_err(failed)? {
            if body.len() + chunk.len() > MOST {
                return Err(CallError::Nonsense { step, what: "it is larger than any entry" });
            }
            body.extend_from_slice(&chunk);
        }
        Ok((response.status().as_u16(), body))
    }
}

fn certificates(path: &Path) -> Result<Vec<Certificate>, ConfigError> {
    let pem = std::fs::read(path)
        .map_err(|source| ConfigError::ReadCa { path: path.to_owned(), source })?;
    let parsed =
        Certificate::from_pem_bundle(&pem).ok().filter(|certificates| !certificates.is_empty());
    parsed.ok_or_else(|| ConfigError::ParseCa { path: path.to_owned() })
}
