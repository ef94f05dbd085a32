//! Telling the application by a POST on the pod's own loopback.

use std::pin::pin;

use bytes::Bytes;
use contract::reload::ReloadUrl;
use contract::stream::Outcome;
use http::{Method, Request, StatusCode, header};
use http_body_util::Empty;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout};

use crate::schedule::{self, POST_DEADLINE};

// An application that answers, and not with 2xx, is asked this often; one that does not answer may
// still be starting and is asked until the deadline.
const MOST_ANSWERS: u32 = 5;

/// Why a POST did not work.
#[derive(Debug, thiserror::Error)]
pub enum PostError {
    /// Nobody listens.
    #[error("connect {url}")]
    Connect {
        /// The address.
        url: ReloadUrl,
        /// Why.
        source: std::io::Error,
    },
    /// The connection broke, or what came back is not HTTP.
    #[error("post {url}")]
    Exchange {
        /// The address.
        url: ReloadUrl,
        /// Why.
        source: hyper::Error,
    },
    /// The request could not be made of the address.
    #[error("build request for {url}")]
    Request {
        /// The address.
        url: ReloadUrl,
        /// Why.
        source: http::Error,
    },
    /// The application said something else than 2xx.
    #[error("post {url}: the application answered {status}, and 2xx means that it has reloaded")]
    Answer {
        /// The address.
        url: ReloadUrl,
        /// Its answer.
        status: StatusCode,
    },
    /// The application took too long.
    #[error("post {url}: no answer within {POST_DEADLINE:?}")]
    Deadline {
        /// The address.
        url: ReloadUrl,
    },
}

/// Posts until the application accepts it.
pub(super) async fn tell(url: &ReloadUrl) -> Result<Outcome, PostError> {
    let began = Instant::now();
    let mut attempt = 0;
    let mut answers = 0;
    loop {
        let failure = match timeout(POST_DEADLINE, once(url)).await {
            Ok(Ok(())) => return Ok(Outcome::Accepted),
            Ok(Err(failure)) => failure,
            Err(_) => PostError::Deadline { url: url.clone() },
        };
        answers += u32::from(matches!(failure, PostError::Answer { .. }));
        let wait = schedule::retell(attempt, began.elapsed(), runtime::backoff::random());
        let Some(wait) = wait.filter(|_| answers < MOST_ANSWERS) else { return Err(failure) };
        attempt += 1;
        tokio::time::sleep(wait).await;
    }
}

async fn once(url: &ReloadUrl) -> Result<(), PostError> {
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
    if status.is_success() { Ok(()) } else { Err(PostError::Answer { url: url.clone(), status }) }
}

async fn exchange(tcp: TcpStream, request: Request<Empty<Bytes>>) -> hyper::Result<StatusCode> {
    let (mut sender, connection) = http1::handshake(TokioIo::new(tcp)).await?;
    let mut connection = pin!(connection);
    let mut answer = pin!(sender.send_request(request));
    tokio::select! {
        biased;
        answer = &mut answer => Ok(answer?.status()),
        end = &mut connection => {
            // The server may close right behind its answer, which is then there already.
            end?;
            Ok(answer.await?.status())
        }
    }
}
