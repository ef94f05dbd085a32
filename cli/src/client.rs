//! Switchyard's REST API: the only module that speaks HTTP.
//!
//! A command uses the methods named after what they do; for what has none, [`Client::get`],
//! [`Client::send`] and [`Client::stream`] take the path. Each write carries an idempotency key, so
//! that it may be tried again after a torn connection: see [`again`].

mod again;
mod endpoints;
mod people;
mod trust;

pub(crate) use trust::trusting;

use std::time::{Duration, Instant};

use contract::{Problem, Redacted};
use reqwest::header::{AUTHORIZATION, CONTENT_TYPE, DATE, HeaderMap, HeaderValue};
use reqwest::{Method, Response, StatusCode};
use runtime::backoff;
use runtime::logs::ErrorChain;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::common::Connection;
use crate::error::Error;
use crate::output::Output;
use again::Failure;

/// One switchyard, one principal.
pub(crate) struct Client<'a> {
    http: reqwest::Client,
    address: String,
    authorization: Option<HeaderValue>,
    timeout: Duration,
    output: &'a Output,
}

/// An answer as it came, to be judged.
pub(crate) struct Probe {
    pub(crate) status: StatusCode,
    pub(crate) date: Option<String>,
    pub(crate) body: Vec<u8>,
}

/// What goes with a request besides its path.
#[derive(Default)]
struct Extras<'a> {
    body: Option<&'a Redacted>,
    headers: HeaderMap,
    /// Then the deadline holds between two pieces and not for the whole.
    streamed: bool,
}

impl<'a> Client<'a> {
    /// A client that says who asks.
    pub(crate) fn new(connection: &Connection, output: &'a Output) -> Result<Self, Error> {
        let authorization = authorization(&connection.credential()?)?;
        Ok(Self { authorization: Some(authorization), ..Self::anonymous(connection, output)? })
    }

    /// A client for what needs no token.
    pub(crate) fn anonymous(connection: &Connection, output: &'a Output) -> Result<Self, Error> {
        let address = connection.addr.trim_end_matches('/').to_owned();
        if !address.starts_with("https://") {
            return Err(Error::Usage(format!(
                "address {address}: must start with https://, since values travel over it"
            )));
        }
        let timeout = Duration::from_secs(connection.timeout);
        let builder = reqwest::Client::builder()
            .https_only(true)
            .redirect(reqwest::redirect::Policy::none())
            .read_timeout(timeout)
            .user_agent(concat!("enclii/", env!("CARGO_PKG_VERSION")));
        let builder = match &connection.cacert {
            Some(path) => builder.tls_backend_preconfigured(trusting(path)?),
            None => builder,
        };
        let http = builder.build().map_err(|error| Error::Start(ErrorChain(&error).to_string()))?;
        Ok(Self { http, address, authorization: None, timeout, output })
    }

    /// The answer to a GET.
    pub(crate) async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, Error> {
        self.parsed(Method::GET, path, Extras::default()).await
    }

    /// The answer to a request with a body that holds no value.
    pub(crate) async fn send<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        body: &impl Serialize,
    ) -> Result<T, Error> {
        let body = serde_json::to_vec(body)
            .map(Redacted::new)
            .map_err(|error| Error::Start(error.to_string()))?;
        self.parsed(method, path, Extras { body: Some(&body), ..Extras::default() }).await
    }

    /// The answer to a request that goes without a body, as a DELETE does.
    pub(crate) async fn call<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
    ) -> Result<T, Error> {
        self.parsed(method, path, Extras::default()).await
    }

    /// An answer that is read piece by piece, for what may be long.
    pub(crate) async fn stream(&self, path: &str) -> Result<Response, Error> {
        self.answer(Method::GET, path, &Extras { streamed: true, ..Extras::default() }, &mut 0)
            .await
    }

    /// One try, whatever the answer says.
    pub(crate) async fn probe(&self, path: &str) -> Result<Probe, Error> {
        let answer = self
            .once(Method::GET, path, &Extras::default())
            .await
            .map_err(|error| self.unreachable(&error))?;
        let (status, date) = (
            answer.status(),
            answer.headers().get(DATE).and_then(|it| it.to_str().ok()).map(str::to_owned),
        );
        let body = answer.bytes().await.map_err(|error| self.unreachable(&error))?.into();
        Ok(Probe { status, date, body })
    }

    async fn parsed<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        mut extras: Extras<'_>,
    ) -> Result<T, Error> {
        if method != Method::GET {
            extras.headers.insert("idempotency-key", idempotency_key()?);
        }
        let (_, body) = self.whole(method, path, &extras).await?;
        // A parser's message may quote what it read, so only its place is told.
        serde_json::from_slice(if body.is_empty() { b"null" } else { body.expose() }).map_err(
            |error| Error::Answer {
                address: self.address.clone(),
                reason: format!(
                    "line {} column {} is not what this version expects",
                    error.line(),
                    error.column()
                ),
            },
        )
    }

    /// The whole answer that is a success.
    async fn whole(
        &self,
        method: Method,
        path: &str,
        extras: &Extras<'_>,
    ) -> Result<(HeaderMap, Redacted), Error> {
        let mut attempt = 0;
        loop {
            let answer = self.answer(method.clone(), path, extras, &mut attempt).await?;
            let headers = answer.headers().clone();
            match answer.bytes().await {
                Ok(body) => return Ok((headers, Redacted::new(body.into()))),
                Err(error) => {
                    self.pause(&mut attempt, again::failed(&error, true), self.unreachable(&error))
                        .await?
                }
            }
        }
    }

    /// The head of an answer that is a success; what never came, or asks for patience, is tried
    /// again.
    async fn answer(
        &self,
        method: Method,
        path: &str,
        extras: &Extras<'_>,
        attempt: &mut u32,
    ) -> Result<Response, Error> {
        loop {
            let (failure, error) = match self.once(method.clone(), path, extras).await {
                Ok(answer) if answer.status().is_success() => return Ok(answer),
                Ok(answer) => {
                    let (status, failure) =
                        (answer.status(), again::answered(answer.status(), answer.headers()));
                    (
                        failure,
                        Error::Refused(problem(status, &answer.bytes().await.unwrap_or_default())),
                    )
                }
                Err(error) => (again::failed(&error, *attempt > 0), self.unreachable(&error)),
            };
            self.pause(attempt, failure, error).await?;
        }
    }

    async fn once(
        &self,
        method: Method,
        path: &str,
        extras: &Extras<'_>,
    ) -> Result<Response, reqwest::Error> {
        let mut request = self
            .http
            .request(method.clone(), format!("{}{path}", self.address))
            .headers(extras.headers.clone());
        if let Some(authorization) = &self.authorization {
            request = request.header(AUTHORIZATION, authorization.clone());
        }
        if let Some(body) = extras.body {
            request = request.header(CONTENT_TYPE, "application/json").body(body.expose().to_vec());
        }
        if !extras.streamed {
            request = request.timeout(self.timeout);
        }
        let from = Instant::now();
        let answer = request.send().await;
        self.output.detail(|| match &answer {
            Ok(answer) => {
                let trace =
                    answer.headers().get("trace-id").and_then(|it| it.to_str().ok()).unwrap_or("-");
                format!(
                    "{method} {path}: {} after {} ms, trace {trace}",
                    answer.status().as_u16(),
                    from.elapsed().as_millis()
                )
            }
            Err(error) => {
                format!(
                    "{method} {path}: {} after {} ms",
                    ErrorChain(error),
                    from.elapsed().as_millis()
                )
            }
        });
        answer
    }

    /// Waits before the next try, or says that there is none.
    async fn pause(&self, attempt: &mut u32, failure: Failure, error: Error) -> Result<(), Error> {
        let Some(wait) = again::wait(*attempt, failure, backoff::random()) else {
            return Err(error);
        };
        if wait > Duration::from_secs(1) {
            self.output.note(&format!("{error}; trying again in {} s", wait.as_secs()));
        }
        tokio::time::sleep(wait).await;
        *attempt += 1;
        Ok(())
    }

    fn unreachable(&self, error: &reqwest::Error) -> Error {
        Error::Unreachable { address: self.address.clone(), reason: ErrorChain(error).to_string() }
    }
}

fn problem(status: StatusCode, body: &[u8]) -> Problem {
    serde_json::from_slice(body).unwrap_or_else(|_| Problem {
        kind: "about:blank".to_owned(),
        title: status.canonical_reason().unwrap_or("the answer is no problem document").to_owned(),
        status: status.as_u16(),
        detail: String::new(),
        instance: None,
    })
}

fn authorization(token: &Redacted) -> Result<HeaderValue, Error> {
    let mut header = HeaderValue::from_bytes(&[b"Bearer ", token.expose()].concat())
        .map_err(|_| Error::Usage("the API token has a character that no token has".to_owned()))?;
    header.set_sensitive(true);
    Ok(header)
}

/// Random, once for each invocation's write.
fn idempotency_key() -> Result<HeaderValue, Error> {
    let failed = || Error::Start("draw random numbers for the idempotency key".to_owned());
    let mut random = [0; 16];
    rustls::crypto::aws_lc_rs::default_provider()
        .secure_random
        .fill(&mut random)
        .map_err(|_| failed())?;
    HeaderValue::from_str(&format!("{:032x}", u128::from_be_bytes(random))).map_err(|_| failed())
}
