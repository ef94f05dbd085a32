//! Connect's REST API: the only file of the backend that speaks HTTP.
//!
//! Every call has a deadline, and so have all its tries together: a server that swallows everything
//! is not asked for minutes. What fails in passing is made again where that is safe; a creation or
//! a replacement is not, so its caller looks first. Errors hold Connect's own words, never a value.

use std::time::Duration;

use contract::Redacted;
use reqwest::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HeaderValue};
use reqwest::{RequestBuilder, Response};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use tokio::time::Instant;
use zeroize::Zeroizing;

use super::again::{self, Repeat};
use super::config::{OnePasswordConfig, SetupError};
use super::error::ConnectError;
use super::item::{Item, Summary, Vault};
use super::title;
use super::token::Token;
use super::trust;

/// The most that an answer may have: a list of some hundred thousand items.
const LIMIT: usize = 64 << 20;

/// A Connect server.
#[derive(Debug)]
pub(super) struct Client {
    http: reqwest::Client,
    host: String,
    token: Token,
    timeout: Duration,
    /// How long one call is tried again.
    limit: Duration,
}

/// What `/health` says.
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
struct Words {
    #[serde(default)]
    message: String,
}

impl Client {
    pub(super) fn new(config: &OnePasswordConfig) -> Result<Self, SetupError> {
        let host = trust::address(&config.host, config.plain_http)?;
        let builder = reqwest::Client::builder()
            .redirect(reqwest::redirect::Policy::none())
            // The environment names no proxy for what carries values.
            .no_proxy()
            .user_agent(concat!("enclii/", env!("CARGO_PKG_VERSION")))
            .timeout(config.timeout);
        let builder = match trust::tls(&host, config.ca_file.as_deref())? {
            Some(tls) => builder.tls_backend_preconfigured(tls),
            None => builder,
        };
        let http = builder.build().map_err(SetupError::Http)?;
        let limit = again::limit(config.timeout, config.settle);
        Ok(Self {
            http,
            host,
            token: Token::read(config.token_file.clone())?,
            timeout: config.timeout,
            limit,
        })
    }

    /// The vaults that the token reaches. All of them: servers differ in which filter they take.
    pub(super) async fn vaults(&self) -> Result<Vec<Vault>, ConnectError> {
        self.call(Repeat::Safe, |http, host| http.get(format!("{host}/v1/vaults"))).await
    }

    pub(super) async fn vault(&self, vault: &str) -> Result<Vault, ConnectError> {
        self.call(Repeat::Safe, |http, host| http.get(format!("{host}/v1/vaults/{vault}"))).await
    }

    /// All items, without their fields.
    pub(super) async fn items(&self, vault: &str) -> Result<Vec<Summary>, ConnectError> {
        self.call(Repeat::Safe, |http, host| http.get(format!("{host}/v1/vaults/{vault}/items")))
            .await
    }

    /// The items of one title, without their fields, the oldest first.
    pub(super) async fn titled(
        &self,
        vault: &str,
        title: &str,
    ) -> Result<Vec<Summary>, ConnectError> {
        let filter = title::filter(title)?;
        let query = url::form_urlencoded::Serializer::new(String::new())
            .append_pair("filter", &filter)
            .finish();
        let mut found: Vec<Summary> = self
            .call(Repeat::Safe, |http, host| {
                http.get(format!("{host}/v1/vaults/{vault}/items?{query}"))
            })
            .await?;
        found.retain(|summary| summary.title == title && summary.lives());
        found.sort_by(|a, b| a.age().cmp(&b.age()));
        Ok(found)
    }

    /// One item; `None` where there is none, or it is archived or deleted.
    pub(super) async fn item(&self, vault: &str, id: &str) -> Result<Option<Item>, ConnectError> {
        match self
            .call(Repeat::Safe, |http, host| {
                http.get(format!("{host}/v1/vaults/{vault}/items/{id}"))
            })
            .await
        {
            Ok(item) => Ok(Some(item).filter(Item::lives)),
            Err(error) if error.is_absent() => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Makes an item. Where the answer is lost it may have been made: see
    /// [`ConnectError::maybe_done`].
    pub(super) async fn create(&self, vault: &str, item: &Item) -> Result<Item, ConnectError> {
        let body = body(item)?;
        self.call(Repeat::Unsafe, |http, host| {
            with(http.post(format!("{host}/v1/vaults/{vault}/items")), &body)
        })
        .await
    }

    /// Replaces an item as a whole. Where the answer is lost it may have been done, and edited
    /// since.
    pub(super) async fn replace(&self, vault: &str, item: &Item) -> Result<Item, ConnectError> {
        let body = body(item)?;
        self.call(Repeat::Unsafe, |http, host| {
            with(http.put(format!("{host}/v1/vaults/{vault}/items/{}", item.id)), &body)
        })
        .await
    }

    /// Deletes an item. Whether there was one.
    pub(super) async fn remove(&self, vault: &str, id: &str) -> Result<bool, ConnectError> {
        let request = |http: &reqwest::Client, host: &str| {
            http.delete(format!("{host}/v1/vaults/{vault}/items/{id}"))
        };
        match self.bytes(Repeat::Safe, Instant::now() + self.limit, request).await {
            Ok(_) => Ok(true),
            Err(error) if error.is_absent() => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// What Connect says of its parts.
    pub(super) async fn health(&self) -> Result<Health, ConnectError> {
        self.call(Repeat::Safe, |http, host| http.get(format!("{host}/health"))).await
    }

    async fn call<T: DeserializeOwned>(
        &self,
        repeat: Repeat,
        request: impl Fn(&reqwest::Client, &str) -> RequestBuilder,
    ) -> Result<T, ConnectError> {
        let end = Instant::now() + self.limit;
        let mut tries = 0;
        loop {
            let bytes = self.bytes(repeat, end, &request).await?;
            tries += 1;
            let wait = again::wait(tries);
            match parse(&bytes) {
                Err(error)
                    if again::again(repeat, &error, tries) && Instant::now() + wait < end =>
                {
                    tokio::time::sleep(wait).await
                }
                parsed => return parsed,
            }
        }
    }

    /// Makes a call, again until `end` where it failed in passing.
    async fn bytes(
        &self,
        repeat: Repeat,
        end: Instant,
        request: impl Fn(&reqwest::Client, &str) -> RequestBuilder,
    ) -> Result<Redacted, ConnectError> {
        let mut tries = 0;
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
            tries += 1;
            let wait = again::wait(tries);
            if !again::again(repeat, &error, tries) || Instant::now() + wait >= end {
                return Err(error);
            }
            tokio::time::sleep(wait).await;
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
        // A proxy on the way answers with something else than Connect does.
        let words = serde_json::from_slice::<Words>(bytes.expose())
            .map(|words| words.message)
            .unwrap_or_default();
        let message = if words.is_empty() {
            "no reason is given".to_owned()
        } else {
            words.chars().take(300).collect()
        };
        Err(match status.as_u16() {
            401 => ConnectError::Token { file: self.token.file().to_owned(), message },
            403 => ConnectError::Access(message),
            status => ConnectError::Answer { status, message },
        })
    }
}

impl Health {
    /// Connect answers 200 while it cannot work, so its parts are looked at.
    pub(super) fn judge(&self) -> Result<(), ConnectError> {
        let parts = self.dependencies.iter().flatten();
        let ill = parts.filter(|part| part.status != "ACTIVE");
        let ill: Vec<String> = ill
            .map(|part| format!("{} is {} ({})", part.service, part.status, part.message))
            .collect();
        if ill.is_empty() { Ok(()) } else { Err(ConnectError::Unusable(ill.join(", "))) }
    }
}

fn unreachable(error: reqwest::Error) -> ConnectError {
    ConnectError::Unreachable(error.without_url())
}

/// The item as JSON, wiped after use.
fn body(item: &Item) -> Result<Zeroizing<Vec<u8>>, ConnectError> {
    serde_json::to_vec(item).map(Zeroizing::new).map_err(|error| form(&error))
}

fn with(request: RequestBuilder, body: &Zeroizing<Vec<u8>>) -> RequestBuilder {
    request.header(CONTENT_TYPE, "application/json").body(body.to_vec())
}

async fn read(mut answer: Response) -> Result<Redacted, ConnectError> {
    let mut bytes = Zeroizing::new(Vec::new());
    while let Some(chunk) = answer.chunk().await.map_err(unreachable)? {
        if bytes.len() + chunk.len() > LIMIT {
            return Err(ConnectError::TooLarge(LIMIT));
        }
        bytes.extend_from_slice(&chunk);
    }
    Ok(Redacted::new(std::mem::take(&mut bytes)))
}

fn parse<T: DeserializeOwned>(bytes: &Redacted) -> Result<T, ConnectError> {
    serde_json::from_slice(bytes.expose()).map_err(|error| form(&error))
}

/// A parser's words may quote what it read, so only the place is told.
fn form(error: &serde_json::Error) -> ConnectError {
    ConnectError::Form { line: error.line(), column: error.column() }
}
