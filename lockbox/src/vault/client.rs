//! The only place that speaks HTTP to Vault.
//!
//! vaultrs builds the requests but does not send them. Its own client ignores the KV version that a
//! read names, treats the 404 of a deleted version as a broken connection, logs an error for every
//! conflict, has no timeout by default, keeps the token in a string that its `Debug` prints, and
//! reads addresses, tokens and the TLS verification switch from the environment. Here the token is
//! added to each request as a header that is marked sensitive, and the answer is read and
//! classified.

use std::time::Duration;

use contract::Redacted;
use reqwest::Method;
use reqwest::header::{HeaderMap, HeaderValue};
use runtime::http_client::HttpClientBuilder;
use rustify::endpoint::Endpoint;
use rustls::RootCertStore;
use vaultrs::api::EndpointMiddleware;
use zeroize::Zeroizing;

use super::config::{ConfigError, VaultConfig};
use super::response::{Response, VaultError, classify};

/// The size limit of an answer. A scope's entry is below 1 MiB, and a folder's list far below this.
const MAX_ANSWER_BYTES: usize = 8 << 20;

/// An HTTP client for one Vault. It holds no token.
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
        let plain = address.scheme() == "http";
        let mut builder = HttpClientBuilder::new(concat!("enclii/", env!("CARGO_PKG_VERSION")))
            .allow_http(plain)
            .connect_timeout(config.timeout)
            // `send` bounds the whole request.
            .read_timeout(config.timeout)
            .pool_idle_timeout(Duration::from_secs(60));
        if plain {
            builder = builder.roots(RootCertStore::empty());
        }
        let http = builder.ca_file(config.ca_file.as_deref())?.build()?;
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

    /// Builds the request of one of vaultrs' endpoints.
    pub(super) fn request(
        &self,
        step: &'static str,
        endpoint: impl Endpoint,
    ) -> Result<Request, VaultError> {
        let made = endpoint.with_middleware(&self.middleware).request(&self.base);
        // The cause would quote the body, which may hold a value.
        let (parts, body) = made
            .map_err(|_| VaultError::UnexpectedAnswer {
                step,
                what: "the request cannot be built",
            })?
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
    ) -> Result<Response, VaultError> {
        let step = request.step;
        let mut headers = request.headers.clone();
        if let Some(token) = token {
            let value = HeaderValue::from_bytes(token.expose());
            let mut value = value.map_err(|_| VaultError::UnexpectedAnswer {
                step,
                what: "the token is not valid in a header",
            })?;
            value.set_sensitive(true);
            headers.insert("x-vault-token", value);
        }
        let exchange = self.exchange(request, headers);
        let answered = tokio::time::timeout(self.timeout, exchange).await;
        let (status, body) =
            answered.map_err(|_| VaultError::Timeout { step, timeout: self.timeout })??;
        classify(step, status, &body)
    }

    async fn exchange(
        &self,
        request: &Request,
        headers: HeaderMap,
    ) -> Result<(u16, Zeroizing<Vec<u8>>), VaultError> {
        let step = request.step;
        let failed = |source: reqwest::Error| {
            if source.is_connect() {
                VaultError::Connect { step, source }
            } else {
                VaultError::Interrupted { step, source }
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
            if body.len() + chunk.len() > MAX_ANSWER_BYTES {
                return Err(VaultError::UnexpectedAnswer {
                    step,
                    what: "it is larger than any entry",
                });
            }
            body.extend_from_slice(&chunk);
        }
        Ok((response.status().as_u16(), body))
    }
}
