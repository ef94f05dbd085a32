//! Fetches the provider's discovery document and keys. Only this module talks to the provider.
//!
//! Keys are cached for an hour. A token with an unknown key causes a fetch, because providers
//! rotate their keys, but at most one every ten seconds, so that made-up keys cannot cause a flood.
//! Requests carry no credentials, and redirects are not followed.

#[cfg(test)]
mod tests;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use jsonwebtoken::jwk::Jwk;
use reqwest::{Certificate, Client, redirect};
use runtime::logs::ErrorChain;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use tokio::sync::Mutex;
use tokio::time::Instant;
use url::{Host, Url};

use super::verify::algorithms;

/// From the request to the end of the response. A login may need two requests.
const FETCH_TIMEOUT: Duration = Duration::from_secs(5);

/// The documents of a provider have a few KiB.
const MAX_RESPONSE_BYTES: usize = 1 << 20;

/// How long keys are used without a fetch.
const KEYS_TTL: Duration = Duration::from_secs(3600);

/// The least time between two fetches.
const MIN_FETCH_INTERVAL: Duration = Duration::from_secs(10);

/// Fetches and caches the provider's keys.
#[derive(Debug)]
pub(in crate::identity) struct ProviderClient {
    issuer: String,
    client: Client,
    /// Whether plain HTTP on loopback is allowed.
    development: bool,
    cache: Mutex<CachedKeys>,
}

#[derive(Debug, Default)]
struct CachedKeys {
    keys: Arc<[Jwk]>,
    fetched_at: Option<Instant>,
    tried_at: Option<Instant>,
}

/// Why a provider cannot be set up.
#[derive(Debug, thiserror::Error)]
pub enum OidcSetupError {
    /// The issuer's address is invalid.
    #[error(
        "use OIDC issuer {0}: must be https://… without a query or a fragment; http:// is allowed \
         on loopback with --development-identities"
    )]
    Address(String),
    /// The CA file cannot be read.
    #[error("read CA of OIDC issuer from {path}")]
    Read {
        /// The file.
        path: PathBuf,
        /// The error of the system.
        source: std::io::Error,
    },
    /// The CA file holds no certificate.
    #[error("read CA of OIDC issuer from {path}: it holds no certificate")]
    Ca {
        /// The file.
        path: PathBuf,
    },
    /// The HTTP client cannot be built.
    #[error("set up client of OIDC issuer")]
    Client(#[source] reqwest::Error),
}

/// Why the keys cannot be fetched.
#[derive(Debug, thiserror::Error)]
pub enum OidcFetchError {
    /// The request failed.
    #[error("fetch {url}")]
    Request {
        /// The address.
        url: String,
        /// The error of the client.
        #[source]
        source: reqwest::Error,
    },
    /// The response is not a success.
    #[error("fetch {url}: status {status}")]
    Status {
        /// The address.
        url: String,
        /// Its status.
        status: u16,
    },
    /// The response is too large or malformed.
    #[error("fetch {url}: the response is malformed")]
    Malformed {
        /// The address.
        url: String,
    },
    /// The document belongs to another issuer.
    #[error("fetch OIDC discovery document: it belongs to another issuer")]
    OtherIssuer,
    /// The address of the keys is not allowed.
    #[error("fetch OIDC keys: their address is not https")]
    KeysAddress,
    /// The last fetch failed a moment ago.
    #[error("fetch OIDC keys: tried less than {MIN_FETCH_INTERVAL:?} ago")]
    Paused,
}

#[derive(Deserialize)]
struct Discovery {
    issuer: String,
    jwks_uri: String,
}

#[derive(Deserialize)]
struct KeySet {
    keys: Vec<Value>,
}

impl ProviderClient {
    pub(in crate::identity) fn new(
        issuer: &str,
        ca: Option<&Path>,
        development: bool,
    ) -> Result<Self, OidcSetupError> {
        let is_valid = issuer.parse::<Url>().is_ok_and(|it| {
            it.query().is_none() && it.fragment().is_none() && is_allowed(&it, development)
        });
        if !is_valid {
            return Err(OidcSetupError::Address(issuer.chars().take(200).collect()));
        }
        let mut builder = Client::builder()
            .redirect(redirect::Policy::none())
            .no_proxy()
            .timeout(FETCH_TIMEOUT)
            .user_agent(concat!("enclii-switchyard/", env!("CARGO_PKG_VERSION")));
        if let Some(path) = ca {
            let pem = std::fs::read(path)
                .map_err(|source| OidcSetupError::Read { path: path.to_owned(), source })?;
            let certificates =
                Certificate::from_pem_bundle(&pem).ok().filter(|all| !all.is_empty());
            builder = builder.tls_certs_only(
                certificates.ok_or_else(|| OidcSetupError::Ca { path: path.to_owned() })?,
            );
        }
        let client = builder.build().map_err(OidcSetupError::Client)?;
        Ok(Self { issuer: issuer.to_owned(), client, development, cache: Mutex::default() })
    }

    /// The keys. They are fetched again if they are old or none of them is `kid`.
    pub(super) async fn keys(&self, kid: Option<&str>) -> Result<Arc<[Jwk]>, OidcFetchError> {
        let mut cache = self.cache.lock().await;
        let is_fresh = cache.fetched_at.is_some_and(|at| at.elapsed() < KEYS_TTL);
        let has_key = kid.is_none_or(|kid| {
            cache.keys.iter().any(|key| key.common.key_id.as_deref() == Some(kid))
        });
        if is_fresh && has_key {
            return Ok(Arc::clone(&cache.keys));
        }
        if cache.tried_at.is_some_and(|at| at.elapsed() < MIN_FETCH_INTERVAL) {
            // Until the next fetch is allowed, the cached keys are all there is.
            return cache.fetched_at.map(|_| Arc::clone(&cache.keys)).ok_or(OidcFetchError::Paused);
        }
        cache.tried_at = Some(Instant::now());
        match self.fetch().await {
            Ok(keys) => {
                cache.keys = keys;
                cache.fetched_at = Some(Instant::now());
                Ok(Arc::clone(&cache.keys))
            }
            // A provider that is away for a moment locks nobody out whose key is cache.
            Err(error) if has_key && cache.fetched_at.is_some() => {
                tracing::warn!(error = %ErrorChain(&error), "fetch keys of the identity provider; \
                    the cached ones stay in use");
                Ok(Arc::clone(&cache.keys))
            }
            Err(error) => Err(error),
        }
    }

    async fn fetch(&self) -> Result<Arc<[Jwk]>, OidcFetchError> {
        let Discovery { issuer, jwks_uri } = self
            .get(&format!("{}/.well-known/openid-configuration", self.issuer.trim_end_matches('/')))
            .await?;
        if issuer != self.issuer {
            return Err(OidcFetchError::OtherIssuer);
        }
        if !jwks_uri.parse::<Url>().is_ok_and(|it| is_allowed(&it, self.development)) {
            return Err(OidcFetchError::KeysAddress);
        }
        let KeySet { keys } = self.get(&jwks_uri).await?;
        // An unsupported key does not invalidate the others.
        let keys = keys.into_iter().filter_map(|key| serde_json::from_value::<Jwk>(key).ok());
        Ok(keys.filter(|key| !algorithms(&key.algorithm).is_empty()).collect())
    }

    async fn get<T: DeserializeOwned>(&self, url: &str) -> Result<T, OidcFetchError> {
        let failed = |source| OidcFetchError::Request { url: url.to_owned(), source };
        let malformed = || OidcFetchError::Malformed { url: url.to_owned() };
        let mut response = self.client.get(url).send().await.map_err(failed)?;
        if response.status() != reqwest::StatusCode::OK {
            return Err(OidcFetchError::Status {
                url: url.to_owned(),
                status: response.status().as_u16(),
            });
        }
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(failed)? {
            body.extend_from_slice(&chunk);
            if body.len() > MAX_RESPONSE_BYTES {
                return Err(malformed());
            }
        }
        serde_json::from_slice(&body).map_err(|_| malformed())
    }
}

/// Whether an address may be fetched: over TLS, or on loopback in development.
fn is_allowed(url: &Url, development: bool) -> bool {
    let loopback = match url.host() {
        Some(Host::Ipv4(it)) => it.is_loopback(),
        Some(Host::Ipv6(it)) => it.is_loopback(),
        Some(Host::Domain(it)) => it == "localhost",
        None => return false,
    };
    match url.scheme() {
        "https" => true,
        "http" => development && loopback,
        _ => false,
    }
}
