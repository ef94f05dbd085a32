//! What the provider publishes: where its keys are, and the keys. The only place that speaks to it.
//!
//! Keys are kept for an hour. A token of a key that is not among them makes us look again, as a
//! provider that rotates its keys wants it, but not more often than every few seconds: who sends
//! tokens of made-up keys makes no flood of us. Nothing of ours goes along with a request, and no
//! redirect is followed.

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

/// From the request to the end of the answer. Two of them are made behind a login.
const PATIENCE: Duration = Duration::from_secs(5);

/// A provider's documents have a few KiB.
const LARGEST: usize = 1 << 20;

/// How long keys are good without asking.
const FRESH: Duration = Duration::from_secs(3600);

/// How often we ask at most.
const PAUSE: Duration = Duration::from_secs(10);

/// The provider's keys, as far as they are known.
#[derive(Debug)]
pub(super) struct Provider {
    issuer: String,
    client: Client,
    /// Whether plain HTTP on loopback will do.
    development: bool,
    known: Mutex<Known>,
}

#[derive(Debug, Default)]
struct Known {
    keys: Arc<[Jwk]>,
    fetched: Option<Instant>,
    tried: Option<Instant>,
}

/// Why a provider cannot be used at all.
#[derive(Debug, thiserror::Error)]
pub enum SetupError {
    /// Its address.
    #[error(
        "use OIDC issuer {0}: must be https://…, without a query or a fragment; http:// is for a provider on loopback beside --development-identities"
    )]
    Address(String),
    /// The CA's file.
    #[error("read CA of OIDC issuer from {path}")]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: std::io::Error,
    },
    /// What is in it.
    #[error("read CA of OIDC issuer from {path}: it holds no certificate")]
    Ca {
        /// The file.
        path: PathBuf,
    },
    /// The client.
    #[error("set up client of OIDC issuer")]
    Client(#[source] reqwest::Error),
}

/// Why the keys could not be had.
#[derive(Debug, thiserror::Error)]
pub enum FetchError {
    /// The request.
    #[error("fetch {url}")]
    Request {
        /// What was asked for.
        url: String,
        /// What came of it.
        #[source]
        source: reqwest::Error,
    },
    /// An answer that is no success.
    #[error("fetch {url}: status {status}")]
    Status {
        /// What was asked for.
        url: String,
        /// The answer.
        status: u16,
    },
    /// An answer that is too large, or not of the form.
    #[error("fetch {url}: the answer is not of the form")]
    Form {
        /// What was asked for.
        url: String,
    },
    /// The document is another issuer's.
    #[error("fetch OIDC discovery document: it is of another issuer")]
    OtherIssuer,
    /// The keys are where we do not go.
    #[error("fetch OIDC keys: their address is not https")]
    KeysAddress,
    /// We asked a moment ago, and it was not there.
    #[error("fetch OIDC keys: tried less than {PAUSE:?} ago")]
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

impl Provider {
    pub(super) fn new(
        issuer: &str,
        ca: Option<&Path>,
        development: bool,
    ) -> Result<Self, SetupError> {
        let fits = issuer.parse::<Url>().is_ok_and(|it| {
            it.query().is_none() && it.fragment().is_none() && may_ask(&it, development)
        });
        if !fits {
            return Err(SetupError::Address(issuer.chars().take(200).collect()));
        }
        let mut builder = Client::builder()
            .redirect(redirect::Policy::none())
            .no_proxy()
            .timeout(PATIENCE)
            .user_agent(concat!("enclii-switchyard/", env!("CARGO_PKG_VERSION")));
        if let Some(path) = ca {
            let pem = std::fs::read(path)
                .map_err(|source| SetupError::Read { path: path.to_owned(), source })?;
            let certificates =
                Certificate::from_pem_bundle(&pem).ok().filter(|all| !all.is_empty());
            builder = builder.tls_certs_only(
                certificates.ok_or_else(|| SetupError::Ca { path: path.to_owned() })?,
            );
        }
        let client = builder.build().map_err(SetupError::Client)?;
        Ok(Self { issuer: issuer.to_owned(), client, development, known: Mutex::default() })
    }

    /// The keys, looked up again where they are old or none of them is `kid`.
    pub(super) async fn keys(&self, kid: Option<&str>) -> Result<Arc<[Jwk]>, FetchError> {
        let mut known = self.known.lock().await;
        let fresh = known.fetched.is_some_and(|at| at.elapsed() < FRESH);
        let has = kid.is_none_or(|kid| {
            known.keys.iter().any(|key| key.common.key_id.as_deref() == Some(kid))
        });
        if fresh && has {
            return Ok(Arc::clone(&known.keys));
        }
        if known.tried.is_some_and(|at| at.elapsed() < PAUSE) {
            // What is known is all there is to check with.
            return known.fetched.map(|_| Arc::clone(&known.keys)).ok_or(FetchError::Paused);
        }
        known.tried = Some(Instant::now());
        match self.fetch().await {
            Ok(keys) => {
                known.keys = keys;
                known.fetched = Some(Instant::now());
                Ok(Arc::clone(&known.keys))
            }
            // A provider that is away for a moment locks nobody out whose key is known.
            Err(error) if has && known.fetched.is_some() => {
                tracing::warn!(error = %ErrorChain(&error), "keys of the identity provider not fetched, the known ones stay");
                Ok(Arc::clone(&known.keys))
            }
            Err(error) => Err(error),
        }
    }

    async fn fetch(&self) -> Result<Arc<[Jwk]>, FetchError> {
        let Discovery { issuer, jwks_uri } = self
            .get(&format!("{}/.well-known/openid-configuration", self.issuer.trim_end_matches('/')))
            .await?;
        if issuer != self.issuer {
            return Err(FetchError::OtherIssuer);
        }
        if !jwks_uri.parse::<Url>().is_ok_and(|it| may_ask(&it, self.development)) {
            return Err(FetchError::KeysAddress);
        }
        let KeySet { keys } = self.get(&jwks_uri).await?;
        // A key of a kind that is not known here is no reason to refuse the others.
        let keys = keys.into_iter().filter_map(|key| serde_json::from_value::<Jwk>(key).ok());
        Ok(keys.filter(|key| !algorithms(&key.algorithm).is_empty()).collect())
    }

    async fn get<T: DeserializeOwned>(&self, url: &str) -> Result<T, FetchError> {
        let failed = |source| FetchError::Request { url: url.to_owned(), source };
        let form = || FetchError::Form { url: url.to_owned() };
        let mut answer = self.client.get(url).send().await.map_err(failed)?;
        if answer.status() != reqwest::StatusCode::OK {
            return Err(FetchError::Status {
                url: url.to_owned(),
                status: answer.status().as_u16(),
            });
        }
        let mut body = Vec::new();
        while let Some(chunk) = answer.chunk().await.map_err(failed)? {
            body.extend_from_slice(&chunk);
            if body.len() > LARGEST {
                return Err(form());
            }
        }
        serde_json::from_slice(&body).map_err(|_| form())
    }
}

/// Whether an address is one that we ask: TLS, or loopback in development.
fn may_ask(url: &Url, development: bool) -> bool {
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
