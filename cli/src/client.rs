//! The client of switchyard's REST API. No other module speaks HTTP to switchyard.
//!
//! Most operations have a method of their own; [`Client::get`], [`Client::send`] and
//! [`Client::stream`] take a path for the rest. Each write carries an idempotency key, so that it
//! can be retried after a broken connection: see [`retry`].

mod access;
mod retry;
mod secrets;

use std::time::{Duration, Instant};

use contract::{Problem, Redacted};
use reqwest::header::{AUTHORIZATION, CONTENT_TYPE, DATE, HeaderMap, HeaderValue};
use reqwest::{Method, Response, StatusCode};
use runtime::http_client::HttpClientBuilder;
use runtime::logs::ErrorChain;
use runtime::{backoff, bearer};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::common_args::ConnectionArgs;
use crate::connect_failure::classify;
use crate::error::Error;
use crate::output::Output;
use retry::RequestFailure;
pub(crate) use secrets::{ManyValues, VersionChoice};

/// The `User-Agent` of every request.
pub(crate) const USER_AGENT: &str = concat!("enclii/", env!("CARGO_PKG_VERSION"));

/// A connection to one switchyard as one principal.
pub(crate) struct Client<'a> {
    http: reqwest::Client,
    address: String,
    authorization: Option<HeaderValue>,
    /// Where the token comes from, in words.
    credential: String,
    timeout: Duration,
    output: &'a Output,
}

/// A response whatever its status: see [`Client::probe`].
pub(crate) struct ProbeResponse {
    pub(crate) status: StatusCode,
    pub(crate) date: Option<String>,
    pub(crate) body: Vec<u8>,
}

/// What a request has besides its method and path.
#[derive(Default)]
struct RequestOptions<'a> {
    body: Option<&'a Redacted>,
    headers: HeaderMap,
    /// Whether the timeout applies to each chunk instead of the whole response.
    streamed: bool,
}

impl<'a> Client<'a> {
    /// A client with a token.
    pub(crate) fn new(connection: &ConnectionArgs, output: &'a Output) -> Result<Self, Error> {
        let authorization = authorization(&connection.credential()?)?;
        Ok(Self { authorization: Some(authorization), ..Self::anonymous(connection, output)? })
    }

    /// A client without a token.
    pub(crate) fn anonymous(
        connection: &ConnectionArgs,
        output: &'a Output,
    ) -> Result<Self, Error> {
        let address = connection.addr.trim_end_matches('/').to_owned();
        if !address.starts_with("https://") {
            return Err(Error::Usage(format!(
                "address {address} must start with https://, since secrets travel over it"
            )));
        }
        let timeout = connection.timeout;
        let http = HttpClientBuilder::new(USER_AGENT)
            .ca_file(connection.cacert.as_deref())?
            .environment_proxy()
            .connect_timeout(timeout)
            .read_timeout(timeout)
            .build()?;
        let credential = connection.credential_origin();
        Ok(Self { http, address, authorization: None, credential, timeout, output })
    }

    /// The response to a GET.
    pub(crate) async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, Error> {
        self.parsed(Method::GET, path, RequestOptions::default()).await
    }

    /// The response to a request whose body holds no secret value.
    pub(crate) async fn send<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        body: &impl Serialize,
    ) -> Result<T, Error> {
        let body = serde_json::to_vec(body)
            .map(Redacted::new)
            .map_err(|error| Error::Encode(error.to_string()))?;
        self.parsed(method, path, RequestOptions { body: Some(&body), ..RequestOptions::default() })
            .await
    }

    /// The response to a request without a body, such as a DELETE.
    pub(crate) async fn call<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
    ) -> Result<T, Error> {
        self.parsed(method, path, RequestOptions::default()).await
    }

    /// A long response, read in chunks.
    pub(crate) async fn stream(&self, path: &str) -> Result<Response, Error> {
        self.response(
            Method::GET,
            path,
            &RequestOptions { streamed: true, ..RequestOptions::default() },
            &mut 0,
        )
        .await
    }

    /// One attempt, with the response whatever its status.
    pub(crate) async fn probe(&self, path: &str) -> Result<ProbeResponse, Error> {
        let response = self
            .attempt(Method::GET, path, &RequestOptions::default())
            .await
            .map_err(|error| self.unreachable(&error))?;
        let (status, date) = (
            response.status(),
            response.headers().get(DATE).and_then(|it| it.to_str().ok()).map(str::to_owned),
        );
        let body = response.bytes().await.map_err(|error| self.unreachable(&error))?.into();
        Ok(ProbeResponse { status, date, body })
    }

    async fn parsed<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        mut options: RequestOptions<'_>,
    ) -> Result<T, Error> {
        if method != Method::GET {
            options.headers.insert("idempotency-key", idempotency_key()?);
        }
        let (_, body) = self.success(method, path, &options).await?;
        // A parser's message may quote its input, so only the position is reported.
        serde_json::from_slice(if body.is_empty() { b"null" } else { body.expose() }).map_err(
            |error| Error::Response {
                address: self.address.clone(),
                reason: format!(
                    "line {} column {} is not what this version of enclii expects",
                    error.line(),
                    error.column()
                ),
            },
        )
    }

    /// The complete response of a request that succeeds.
    async fn success(
        &self,
        method: Method,
        path: &str,
        options: &RequestOptions<'_>,
    ) -> Result<(HeaderMap, Redacted), Error> {
        let mut failed = 0;
        loop {
            let response = self.response(method.clone(), path, options, &mut failed).await?;
            let headers = response.headers().clone();
            match response.bytes().await {
                Ok(body) => return Ok((headers, Redacted::new(body.into()))),
                Err(error) => {
                    self.wait_or_fail(
                        &mut failed,
                        retry::of_error(&error, true),
                        self.unreachable(&error),
                    )
                    .await?
                }
            }
        }
    }

    /// The head of a successful response. Broken connections and overload are retried.
    async fn response(
        &self,
        method: Method,
        path: &str,
        options: &RequestOptions<'_>,
        failed: &mut u32,
    ) -> Result<Response, Error> {
        loop {
            let (failure, error) = match self.attempt(method.clone(), path, options).await {
                Ok(response) if response.status().is_success() => return Ok(response),
                Ok(response) => {
                    let status = response.status();
                    let failure = retry::of_response(status, response.headers());
                    let body = response.bytes().await.unwrap_or_default();
                    (failure, self.refused(problem(status, &body)))
                }
                Err(error) => (retry::of_error(&error, *failed > 0), self.unreachable(&error)),
            };
            self.wait_or_fail(failed, failure, error).await?;
        }
    }

    async fn attempt(
        &self,
        method: Method,
        path: &str,
        options: &RequestOptions<'_>,
    ) -> Result<Response, reqwest::Error> {
        let mut request = self
            .http
            .request(method.clone(), format!("{}{path}", self.address))
            .headers(options.headers.clone());
        if let Some(authorization) = &self.authorization {
            request = request.header(AUTHORIZATION, authorization.clone());
        }
        if let Some(body) = options.body {
            request = request.header(CONTENT_TYPE, "application/json").body(body.expose().to_vec());
        }
        if !options.streamed {
            request = request.timeout(self.timeout);
        }
        let start = Instant::now();
        let response = request.send().await;
        self.output.verbose(|| match &response {
            Ok(response) => {
                let trace_id = response.headers().get("trace-id").and_then(|it| it.to_str().ok());
                format!(
                    "{method} {path}: {} after {} ms, trace {}",
                    response.status().as_u16(),
                    start.elapsed().as_millis(),
                    trace_id.unwrap_or("-")
                )
            }
            Err(error) => {
                let elapsed = start.elapsed().as_millis();
                format!("{method} {path}: {} after {elapsed} ms", ErrorChain(error))
            }
        });
        response
    }

    /// Counts a failed attempt and waits before the next, or fails if there is none.
    async fn wait_or_fail(
        &self,
        failed: &mut u32,
        failure: RequestFailure,
        error: Error,
    ) -> Result<(), Error> {
        *failed += 1;
        let Some(wait) = retry::delay(*failed, failure, backoff::random()) else {
            return Err(error);
        };
        if wait > Duration::from_secs(1) {
            self.output.note(&format!("{error}; retrying in {} s", wait.as_secs()));
        }
        tokio::time::sleep(wait).await;
        Ok(())
    }

    fn refused(&self, problem: Problem) -> Error {
        if problem.status == 401 && self.authorization.is_some() {
            return Error::unauthenticated(&problem, &self.credential);
        }
        Error::Refused(problem)
    }

    fn unreachable(&self, error: &reqwest::Error) -> Error {
        Error::Unreachable { address: self.address.clone(), failure: classify(error) }
    }
}

fn problem(status: StatusCode, body: &[u8]) -> Problem {
    serde_json::from_slice(body).unwrap_or_else(|_| Problem {
        kind: "about:blank".to_owned(),
        title: status
            .canonical_reason()
            .unwrap_or("the response is not a problem document")
            .to_owned(),
        status: status.as_u16(),
        detail: String::new(),
        instance: None,
    })
}

fn authorization(token: &Redacted) -> Result<HeaderValue, Error> {
    bearer::header_value(token.expose()).map_err(|_| {
        Error::Usage("the API token has a character that tokens cannot have".to_owned())
    })
}

/// A random key, drawn once per write and reused by its retries.
fn idempotency_key() -> Result<HeaderValue, Error> {
    let failed = || Error::System("generate the idempotency key".to_owned());
    let mut random = [0; 16];
    aws_lc_rs::rand::fill(&mut random).map_err(|_| failed())?;
    HeaderValue::from_str(&format!("{:032x}", u128::from_be_bytes(random))).map_err(|_| failed())
}
