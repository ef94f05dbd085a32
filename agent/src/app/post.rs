//! Tells the application to reload by a POST on the pod's loopback.

use std::pin::pin;

use bytes::Bytes;
use contract::reload::ReloadUrl;
use contract::stream::ReloadOutcome;
use http::{Method, Request, StatusCode, header};
use http_body_util::Empty;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout};

use crate::schedule::{self, POST_TIMEOUT};

// An application that answers with an error gets this many attempts. One that does not answer may
// still be starting, and is retried until the reload times out.
const MAX_ERROR_ANSWERS: u32 = 5;

/// Why a POST failed.
#[derive(Debug, thiserror::Error)]
pub enum PostError {
    /// The application does not listen.
    #[error("connect {url}")]
    Connect {
        /// The URL.
        url: ReloadUrl,
        /// Why.
        source: std::io::Error,
    },
    /// The connection broke, or the answer is not HTTP.
    #[error("post {url}")]
    Exchange {
        /// The URL.
        url: ReloadUrl,
        /// Why.
        source: hyper::Error,
    },
    /// The request cannot be built from the URL.
    #[error("build request for {url}")]
    Request {
        /// The URL.
        url: ReloadUrl,
        /// Why.
        source: http::Error,
    },
    /// The application answered with another status than 2xx.
    #[error("post {url}: the application answered {status}, expected 2xx")]
    Status {
        /// The URL.
        url: ReloadUrl,
        /// Its status.
        status: StatusCode,
    },
    /// The application did not answer in time.
    #[error("post {url}: no response within {POST_TIMEOUT:?}")]
    Timeout {
        /// The URL.
        url: ReloadUrl,
    },
}

/// Posts until the application accepts it or the retries are used up.
pub(super) async fn send(url: &ReloadUrl) -> Result<ReloadOutcome, PostError> {
    let started = Instant::now();
    let mut attempt = 0;
    let mut error_answers = 0;
    loop {
        let error = match timeout(POST_TIMEOUT, send_once(url)).await {
            Ok(Ok(())) => return Ok(ReloadOutcome::Accepted),
            Ok(Err(error)) => error,
            Err(_) => PostError::Timeout { url: url.clone() },
        };
        error_answers += u32::from(matches!(error, PostError::Status { .. }));
        let delay =
            schedule::reload_retry_delay(attempt, started.elapsed(), runtime::backoff::random());
        let Some(delay) = delay.filter(|_| error_answers < MAX_ERROR_ANSWERS) else {
            return Err(error);
        };
        attempt += 1;
        tokio::time::sleep(delay).await;
    }
}

async fn send_once(url: &ReloadUrl) -> Result<(), PostError> {
    let host = url.host();
    let authority = if host.contains(':') {
        format!("[{host}]:{}", url.port())
    } else {
        format!("{host}:{}", url.port())
    };
    let request = Request::builder()
        .method(Method::POST)
        .uri(url.path())
        .header(header::HOST, authority)
        .header(header::USER_AGENT, crate::source::USER_AGENT)
        .header(header::CONNECTION, "close")
        .body(Empty::<Bytes>::new())
        .map_err(|source| PostError::Request { url: url.clone(), source })?;
    let tcp = TcpStream::connect((host, url.port()))
        .await
        .map_err(|source| PostError::Connect { url: url.clone(), source })?;
    let status = exchange(tcp, request)
        .await
        .map_err(|source| PostError::Exchange { url: url.clone(), source })?;
    if status.is_success() { Ok(()) } else { Err(PostError::Status { url: url.clone(), status }) }
}

async fn exchange(tcp: TcpStream, request: Request<Empty<Bytes>>) -> hyper::Result<StatusCode> {
    let (mut sender, connection) = http1::handshake(TokioIo::new(tcp)).await?;
    let mut connection = pin!(connection);
    let mut answer = pin!(sender.send_request(request));
    tokio::select! {
        biased;
        answer = &mut answer => Ok(answer?.status()),
        end = &mut connection => {
            // The server may close right after its answer, which has then arrived already.
            end?;
            Ok(answer.await?.status())
        }
    }
}
