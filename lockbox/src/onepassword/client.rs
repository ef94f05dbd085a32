//! Connect's REST API: the only file of the backend that speaks HTTP.
//!
//! Every call has a timeout, and so have all its attempts together, so a server that never answers
//! is given up soon. Transient failures are retried if the call is idempotent. Creating and
//! replacing are not, so their callers look first. Errors quote Connect's message, never a value.

use std::time::Duration;

use contract::Redacted;
use reqwest::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HeaderValue};
use reqwest::{RequestBuilder, Response};
use runtime::http_client::HttpClientBuilder;
use rustls::RootCertStore;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use tokio::time::Instant;
use zeroize::Zeroizing;

use super::config::{OnePasswordConfig, SetupError};
use super::endpoint;
use super::error::ConnectError;
use super::item::{Item, ItemSummary, VaultInfo};
use super::item_title;
use super::retry::{self, Idempotency};
use super::token::Token;

/// The size limit of an answer. It fits a list of some hundred thousand items.
const MAX_ANSWER_BYTES: usize = 64 << 20;

/// A Connect server.
#[derive(Debug)]
pub(super) struct ConnectClient {
    http: reqwest::Client,
    host: String,
    token: Token,
    timeout: Duration,
    /// How long one call is retried.
    retry_timeout: Duration,
}

/// The answer of `/health`.
#[derive(Debug, Deserialize)]
pub(super) struct Health {
    #[serde(default)]
    dependencies: Option<Vec<Dependency>>,
}

#[derive(Debug, Deserialize)]
struct Dependency {
    #[serde(default)]
    service: String,
    #[serde(default)]
    status: String,
    #[serde(default)]
    message: String,
}

#[derive(Deserialize)]
struct ErrorBody {
    #[serde(default)]
    message: String,
}

impl ConnectClient {
    pub(super) fn new(config: &OnePasswordConfig) -> Result<Self, SetupError> {
        let host = endpoint::address(&config.host, config.allow_plain_http)?;
        let plain = host.starts_with("http:");
        let mut builder = HttpClientBuilder::new(concat!("enclii/", env!("CARGO_PKG_VERSION")))
            .allow_http(plain)
            .timeout(config.timeout);
        if plain {
            builder = builder.roots(RootCertStore::empty());
        }
        let http = builder.ca_file(config.ca_file.as_deref())?.build()?;
        let retry_timeout = retry::timeout(config.timeout, config.visibility_timeout);
        Ok(Self {
            http,
            host,
            token: Token::read(config.token_file.clone())?,
            timeout: config.timeout,
            retry_timeout,
        })
    }

    /// The vaults that the token has access to, unfiltered: servers differ in the filters they
    /// take.
    pub(super) async fn vaults(&self) -> Result<Vec<VaultInfo>, ConnectError> {
        self.call(Idempotency::Idempotent, |http, host| http.get(format!("{host}/v1/vaults"))).await
    }

    pub(super) async fn vault(&self, vault: &str) -> Result<VaultInfo, ConnectError> {
        self.call(Idempotency::Idempotent, |http, host| {
            http.get(format!("{host}/v1/vaults/{vault}"))
        })
        .await
    }

    /// All items, without their fields.
    pub(super) async fn items(&self, vault: &str) -> Result<Vec<ItemSummary>, ConnectError> {
        self.call(Idempotency::Idempotent, |http, host| {
            http.get(format!("{host}/v1/vaults/{vault}/items"))
        })
        .await
    }

    /// The items of one title, without their fields, the oldest first.
    pub(super) async fn items_titled(
        &self,
        vault: &str,
        title: &str,
    ) -> Result<Vec<ItemSummary>, ConnectError> {
        let filter = item_title::filter(title)?;
        let query = url::form_urlencoded::Serializer::new(String::new())
            .append_pair("filter", &filter)
            .finish();
        let mut found: Vec<ItemSummary> = self
            .call(Idempotency::Idempotent, |http, host| {
                http.get(format!("{host}/v1/vaults/{vault}/items?{query}"))
            })
            .await?;
        found.retain(|summary| summary.title == title && summary.is_active());
        found.sort_by(|a, b| a.age().cmp(&b.age()));
        Ok(found)
    }

    /// One item, or `None` if it does not exist or is archived or deleted.
    pub(super) async fn item(&self, vault: &str, id: &str) -> Result<Option<Item>, ConnectError> {
        match self
            .call(Idempotency::Idempotent, |http, host| {
                http.get(format!("{host}/v1/vaults/{vault}/items/{id}"))
            })
            .await
        {
            Ok(item) => Ok(Some(item).filter(Item::is_active)),
            Err(error) if error.is_absent() => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Creates an item. If the answer is lost it may exist anyway: see
    /// [`ConnectError::may_have_succeeded`].
    pub(super) async fn create(&self, vault: &str, item: &Item) -> Result<Item, ConnectError> {
        let body = body(item)?;
        self.call(Idempotency::NotIdempotent, |http, host| {
            with(http.post(format!("{host}/v1/vaults/{vault}/items")), &body)
        })
        .await
    }

    /// Replaces a whole item. If the answer is lost it may have been replaced, and edited since.
    pub(super) async fn replace(&self, vault: &str, item: &Item) -> Result<Item, ConnectError> {
        let body = body(item)?;
        self.call(Idempotency::NotIdempotent, |http, host| {
            with(http.put(format!("{host}/v1/vaults/{vault}/items/{}", item.id)), &body)
        })
        .await
    }

    /// Deletes an item. Returns whether it existed.
    pub(super) async fn remove(&self, vault: &str, id: &str) -> Result<bool, ConnectError> {
        let request = |http: &reqwest::Client, host: &str| {
            http.delete(format!("{host}/v1/vaults/{vault}/items/{id}"))
        };
        match self
            .bytes(Idempotency::Idempotent, Instant::now() + self.retry_timeout, request)
            .await
        {
            Ok(_) => Ok(true),
            Err(error) if error.is_absent() => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Connect's report about its components.
    pub(super) async fn health(&self) -> Result<Health, ConnectError> {
        self.call(Idempotency::Idempotent, |http, host| http.get(format!("{host}/health"))).await
    }

    async fn call<T: DeserializeOwned>(
        &self,
        idempotency: Idempotency,
        request: impl Fn(&reqwest::Client, &str) -> RequestBuilder,
    ) -> Result<T, ConnectError> {
        let end = Instant::now() + self.retry_timeout;
        let mut attempts = 0;
        loop {
            let bytes = self.bytes(idempotency, end, &request).await?;
            attempts += 1;
            let error = match parse(&bytes) {
                Ok(parsed) => return Ok(parsed),
                Err(error) => error,
            };
            match retry::next_delay(idempotency, &error, attempts) {
                Some(delay) if Instant::now() + delay < end => tokio::time::sleep(delay).await,
                _ => return Err(error),
            }
        }
    }

    /// Makes a call, and retries transient failures until `end`.
    async fn bytes(
        &self,
        idempotency: Idempotency,
        end: Instant,
        request: impl Fn(&reqwest::Client, &str) -> RequestBuilder,
    ) -> Result<Redacted, ConnectError> {
        let mut attempts = 0;
        let mut renewed = false;
        loop {
            let header = self.token.header();
            let error = match self.once(request(&self.http, &self.host), header.clone()).await {
                Ok(bytes) => return Ok(bytes),
                Err(error) => error,
            };
            if matches!(error, ConnectError::Token { .. }) && !renewed && self.token.renew(&header)
            {
                renewed = true;
                continue;
            }
            attempts += 1;
            match retry::next_delay(idempotency, &error, attempts) {
                Some(delay) if Instant::now() + delay < end => tokio::time::sleep(delay).await,
                _ => return Err(error),
            }
        }
    }

    async fn once(
        &self,
        request: RequestBuilder,
        token: HeaderValue,
    ) -> Result<Redacted, ConnectError> {
        let request = request
            .header(AUTHORIZATION, token)
            .header(ACCEPT, "application/json")
            .timeout(self.timeout);
        let answer = request.send().await.map_err(unreachable)?;
        let status = answer.status();
        let bytes = read(answer).await?;
        if status.is_success() {
            return Ok(bytes);
        }
        // A proxy on the way may answer instead of Connect.
        let message = serde_json::from_slice::<ErrorBody>(bytes.expose())
            .map(|body| body.message)
            .unwrap_or_default();
        let message = if message.is_empty() {
            "no reason given".to_owned()
        } else {
            message.chars().take(300).collect()
        };
        Err(match status.as_u16() {
            401 => ConnectError::Token { file: self.token.file().to_owned(), message },
            403 => ConnectError::Access(message),
            status => ConnectError::Status { status, message },
        })
    }
}

impl Health {
    /// Connect answers 200 even when it cannot work, so this checks the status of its components.
    pub(super) fn check(&self) -> Result<(), ConnectError> {
        let parts = self.dependencies.iter().flatten();
        let unhealthy = parts.filter(|part| part.status != "ACTIVE");
        let unhealthy: Vec<String> = unhealthy
            .map(|part| format!("{} is {} ({})", part.service, part.status, part.message))
            .collect();
        if unhealthy.is_empty() {
            Ok(())
        } else {
            Err(ConnectError::Unhealthy(unhealthy.join(", ")))
        }
    }
}

fn unreachable(error: reqwest::Error) -> ConnectError {
    ConnectError::Unreachable(error.without_url())
}

/// The item as JSON, wiped after use.
fn body(item: &Item) -> Result<Zeroizing<Vec<u8>>, ConnectError> {
    serde_json::to_vec(item).map(Zeroizing::new).map_err(|error| malformed(&error))
}

fn with(request: RequestBuilder, body: &Zeroizing<Vec<u8>>) -> RequestBuilder {
    request.header(CONTENT_TYPE, "application/json").body(body.to_vec())
}

async fn read(mut answer: Response) -> Result<Redacted, ConnectError> {
    let mut bytes = Zeroizing::new(Vec::new());
    while let Some(chunk) = answer.chunk().await.map_err(unreachable)? {
        if bytes.len() + chunk.len() > MAX_ANSWER_BYTES {
            return Err(ConnectError::TooLarge(MAX_ANSWER_BYTES));
        }
        bytes.extend_from_slice(&chunk);
    }
    Ok(Redacted::new(std::mem::take(&mut bytes)))
}

fn parse<T: DeserializeOwned>(bytes: &Redacted) -> Result<T, ConnectError> {
    serde_json::from_slice(bytes.expose()).map_err(|error| malformed(&error))
}

/// A parser's message may quote what it read, so only the position is kept.
fn malformed(error: &serde_json::Error) -> ConnectError {
    ConnectError::MalformedAnswer { line: error.line(), column: error.column() }
}

#[cfg(test)]
mod tests {
    use runtime::http_client::HttpClientError;

    use super::*;

    #[test]
    fn a_file_without_certificates_is_refused() {
        let directory = tempfile::tempdir().unwrap();
        let token_file = directory.path().join("token");
        std::io::Write::write_all(&mut std::fs::File::create(&token_file).unwrap(), b"t").unwrap();
        let ca_file = directory.path().join("ca.crt");
        let open = |host: &str, ca_file| {
            let config =
                OnePasswordConfig::new(host.to_owned(), token_file.clone(), "Enclii".to_owned());
            ConnectClient::new(&OnePasswordConfig { ca_file, ..config })
        };
        let error = open("https://x", Some(ca_file.clone())).unwrap_err();
        assert!(matches!(error, SetupError::Http(HttpClientError::ReadCa { .. })), "{error}");
        std::fs::File::create(&ca_file).unwrap();
        let error = open("https://x", Some(ca_file)).unwrap_err();
        assert!(matches!(error, SetupError::Http(HttpClientError::ParseCa { .. })), "{error}");
        // Without TLS, the system's certificates need not exist.
        assert!(open("http://localhost", None).is_ok());
    }
}
