//! Tells the application to reload by a POST on the pod's loopback.
//!
//! An application that is still starting refuses the connection, or answers that it is not ready:
//! it is asked again until the reload times out. A request that was sent and has no answer yet is
//! never sent a second time beside the first, since both would reload.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::pin::pin;

use bytes::Bytes;
use contract::LoopbackUrl;
use contract::stream::ReloadOutcome;
use http::{Method, Request, StatusCode, header};
use http_body_util::Empty;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout};

use crate::schedule::{self, POST_CONNECT_TIMEOUT, POST_TIMEOUT};

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
    #[error("post {url}: no response within {POST_TIMEOUT:?}")]
    Timeout {
        /// The URL.
        url: LoopbackUrl,
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

/// Posts until the application accepts it or the retries are used up.
pub(super) async fn send(url: &LoopbackUrl) -> Result<ReloadOutcome, PostError> {
    let started = Instant::now();
    let mut attempt = 0;
    let mut error_answers = 0;
    loop {
        let Err(error) = send_once(url).await else { return Ok(ReloadOutcome::Accepted) };
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

async fn send_once(url: &LoopbackUrl) -> Result<(), PostError> {
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
        // Hyper leaves it out where there is no body, and strict servers answer 411 then.
        .header(header::CONTENT_LENGTH, "0")
        .header(header::CONNECTION, "close")
        .body(Empty::<Bytes>::new())
        .map_err(|source| PostError::Request { url: url.clone(), source })?;
    let addresses = addresses(url);
    let tcp = timeout(POST_CONNECT_TIMEOUT, TcpStream::connect(&*addresses))
        .await
        .map_err(|_| PostError::ConnectTimeout { url: url.clone() })?
        .map_err(|source| PostError::Connect { url: url.clone(), source })?;
    let status = timeout(POST_TIMEOUT, exchange(tcp, request))
        .await
        .map_err(|_| PostError::Timeout { url: url.clone() })?
        .map_err(|source| PostError::Exchange { url: url.clone(), source })?;
    if status.is_success() { Ok(()) } else { Err(PostError::Status { url: url.clone(), status }) }
}

/// Where a URL's host is, in the order of the attempts. `localhost` is both loopback addresses (RFC
/// 6761), whatever the image's `/etc/hosts` says.
fn addresses(url: &LoopbackUrl) -> Vec<SocketAddr> {
    let hosts = match url.host().parse::<IpAddr>() {
        Ok(host) => vec![host],
        Err(_) => vec![Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()],
    };
    hosts.into_iter().map(|host| SocketAddr::new(host, url.port())).collect()
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn localhost_is_both_loopback_addresses() {
        for (url, expected) in [
            ("http://127.0.0.1:80/", &["127.0.0.1:80"][..]),
            ("http://[::1]:80/", &["[::1]:80"]),
            ("http://localhost:80/", &["127.0.0.1:80", "[::1]:80"]),
        ] {
            let addresses = addresses(&url.parse().unwrap());
            assert_eq!(addresses.iter().map(ToString::to_string).collect::<Vec<_>>(), expected);
        }
    }

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
        assert_eq!(PostError::Timeout { url: url.clone() }.retry(), Retry::Never);
        assert_eq!(PostError::ConnectTimeout { url }.retry(), Retry::Later);
    }
}
