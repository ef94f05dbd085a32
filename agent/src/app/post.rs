//! Tells the application to reload by a POST on the pod's loopback.
//!
//! An application that is still starting refuses the connection, or answers that it is not ready:
//! it is asked again until the reload times out. A request that was sent and has no answer yet is
//! never sent a second time beside the first, since both would reload.

use std::time::Duration;

use contract::LoopbackUrl;
use http::{Method, StatusCode, header};
use http_body_util::Empty;
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout};

use crate::loopback::{self, addresses, exchange};
use crate::schedule::{self, POST_CONNECT_TIMEOUT};

// An application that answers with an error gets this many attempts.
const MAX_ERROR_ANSWERS: u32 = 5;

/// Why a POST failed.
#[derive(Debug, thiserror::Error)]
pub enum PostError {
    /// The application does not listen.
    #[error("connect {url}")]
    Connect {
        /// The URL.
        url: LoopbackUrl,
        /// Why.
        source: std::io::Error,
    },
    /// The application does not accept a connection.
    #[error("connect {url}: no connection within {POST_CONNECT_TIMEOUT:?}")]
    ConnectTimeout {
        /// The URL.
        url: LoopbackUrl,
    },
    /// The connection broke, or the answer is not HTTP.
    #[error("post {url}")]
    Exchange {
        /// The URL.
        url: LoopbackUrl,
        /// Why.
        source: hyper::Error,
    },
    /// The request cannot be built from the URL.
    #[error("build request for {url}")]
    Request {
        /// The URL.
        url: LoopbackUrl,
        /// Why.
        source: http::Error,
    },
    /// The application answered with another status than 2xx.
    #[error("post {url}: the application answered {status}, expected 2xx")]
    Status {
        /// The URL.
        url: LoopbackUrl,
        /// Its status.
        status: StatusCode,
    },
    /// The application did not answer in time.
    #[error(
        "post {url}: no response within {limit:?}; enclii.io/reload-timeout gives it more time"
    )]
    Timeout {
        /// The URL.
        url: LoopbackUrl,
        /// The time it had.
        limit: Duration,
    },
}

/// What an error says about the next attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Retry {
    /// The application is not ready yet.
    Later,
    /// It may be a fault that passes, and more probably it is one that stays.
    AFewTimes,
    /// The application has the request, and may still be reloading.
    Never,
}

impl PostError {
    fn retry(&self) -> Retry {
        match self {
            Self::Connect { .. } | Self::ConnectTimeout { .. } => Retry::Later,
            // Also an application that restarts: its requests end with it.
            Self::Exchange { .. } => Retry::Later,
            Self::Status { status, .. } if says_not_ready(*status) => Retry::Later,
            Self::Status { .. } => Retry::AFewTimes,
            Self::Request { .. } | Self::Timeout { .. } => Retry::Never,
        }
    }
}

/// Whether a status says that the request was not handled and is welcome later (RFC 9110, RFC
/// 6585). A proxy in the application's container answers 502 while the application starts.
fn says_not_ready(status: StatusCode) -> bool {
    matches!(
        status,
        StatusCode::SERVICE_UNAVAILABLE | StatusCode::TOO_MANY_REQUESTS | StatusCode::BAD_GATEWAY
    )
}

/// Posts until the application accepts it or the retries are used up. `limit` is the time for each
/// answer.
pub(super) async fn send(url: &LoopbackUrl, limit: Duration) -> Result<(), PostError> {
    let started = Instant::now();
    let mut attempt = 0;
    let mut error_answers = 0;
    loop {
        let Err(error) = send_once(url, limit).await else { return Ok(()) };
        let retry = error.retry();
        error_answers += u32::from(retry == Retry::AFewTimes);
        let delay =
            schedule::reload_retry_delay(attempt, started.elapsed(), runtime::backoff::random());
        let Some(delay) =
            delay.filter(|_| retry != Retry::Never && error_answers < MAX_ERROR_ANSWERS)
        else {
            return Err(error);
        };
        attempt += 1;
        tokio::time::sleep(delay).await;
    }
}

async fn send_once(url: &LoopbackUrl, limit: Duration) -> Result<(), PostError> {
    let request = loopback::request(Method::POST, url.host(), url.port(), url.path())
        // Hyper leaves it out where there is no body, and strict servers answer 411 then.
        .header(header::CONTENT_LENGTH, "0")
        .body(Empty::new())
        .map_err(|source| PostError::Request { url: url.clone(), source })?;
    let addresses = addresses(url.host(), url.port());
    let tcp = timeout(POST_CONNECT_TIMEOUT, TcpStream::connect(&*addresses))
        .await
        .map_err(|_| PostError::ConnectTimeout { url: url.clone() })?
        .map_err(|source| PostError::Connect { url: url.clone(), source })?;
    let status = timeout(limit, exchange(tcp, request, 0))
        .await
        .map_err(|_| PostError::Timeout { url: url.clone(), limit })?
        .map_err(|source| PostError::Exchange { url: url.clone(), source })?
        .status;
    if status.is_success() { Ok(()) } else { Err(PostError::Status { url: url.clone(), status }) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_status_says_about_the_next_attempt() {
        let url: LoopbackUrl = "http://127.0.0.1:80/".parse().unwrap();
        for (status, expected) in [
            (503, Retry::Later),
            (429, Retry::Later),
            (502, Retry::Later),
            (404, Retry::AFewTimes),
            (411, Retry::AFewTimes),
            (500, Retry::AFewTimes),
            (301, Retry::AFewTimes),
        ] {
            let status = StatusCode::from_u16(status).unwrap();
            assert_eq!(PostError::Status { url: url.clone(), status }.retry(), expected);
        }
        assert_eq!(
            PostError::Timeout { url: url.clone(), limit: Duration::ZERO }.retry(),
            Retry::Never
        );
        assert_eq!(PostError::ConnectTimeout { url }.retry(), Retry::Later);
    }
}
