//! Opens a stream: connect, TLS handshake, login, upgrade. Each step has a timeout.

use std::future::Future;
use std::io;
use std::path::{Path, PathBuf};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use contract::stream::{BUNDLE_PARAMETER, PATH, PROTOCOL};
use contract::{BundleRef, Problem, Redacted};
use http::{Request, Response, StatusCode, header};
use http_body_util::{BodyExt, Empty, Limited};
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
use rustls::ClientConfig;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::schedule::{CONNECT_TIMEOUT, Disconnect, HANDSHAKE_TIMEOUT, LOGIN_TIMEOUT};
use crate::source::address::Address;
use crate::source::wiped_io::WipedIo;
use crate::source::{USER_AGENT, token_file};

/// An open stream's connection.
pub(super) type Connection = TokioIo<Upgraded>;

// A problem document is a few hundred bytes long.
const MAX_ERROR_BODY_BYTES: usize = 64 << 10;

/// Why a stream could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum LoginError {
    /// The pod's token is unreadable.
    #[error("read token {path}", path = path.display())]
    Token {
        /// Its file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A step took too long.
    #[error("{step}: no response within {timeout:?}")]
    Timeout {
        /// The step.
        step: &'static str,
        /// Its timeout.
        timeout: Duration,
    },
    /// The server is unreachable.
    #[error("connect")]
    Connect(#[source] io::Error),
    /// The server's certificate is not trusted, or the server does not speak TLS 1.3.
    #[error("TLS handshake")]
    Handshake(#[source] io::Error),
    /// The request cannot be built.
    #[error("build login")]
    Request(#[source] http::Error),
    /// The connection broke, or the response is not HTTP.
    #[error("log in")]
    Http(#[source] hyper::Error),
    /// The server denied the login.
    #[error("log in: {0}")]
    Denied(Problem),
    /// The server cannot decide right now.
    #[error("log in: {0}")]
    Unavailable(Problem),
}

impl LoginError {
    /// The kind of disconnect, which decides when to retry.
    pub(super) fn disconnect(&self) -> Disconnect {
        if matches!(self, Self::Denied(_)) { Disconnect::Denied } else { Disconnect::Unavailable }
    }
}

/// Opens a stream for these bundles with the pod's token.
pub(super) async fn open(
    address: &Address,
    tls: Arc<ClientConfig>,
    token: Redacted,
    bundles: &[BundleRef],
) -> Result<Connection, LoginError> {
    let connect = TcpStream::connect((address.host.as_str(), address.port));
    let tcp =
        with_timeout("connect", CONNECT_TIMEOUT, connect).await?.map_err(LoginError::Connect)?;
    // A message is one write, so Nagle's algorithm would only delay it. Without the option the
    // stream is slower and still correct.
    let _ = tcp.set_nodelay(true);
    let handshake = TlsConnector::from(tls).connect(address.server_name.clone(), WipedIo(tcp));
    let tls = with_timeout("TLS handshake", HANDSHAKE_TIMEOUT, handshake)
        .await?
        .map_err(LoginError::Handshake)?;
    let request = login_request(address, &token, bundles).map_err(LoginError::Request)?;
    drop(token);
    with_timeout("log in", LOGIN_TIMEOUT, log_in(tls, request)).await?
}

async fn with_timeout<T>(
    step: &'static str,
    limit: Duration,
    work: impl Future<Output = T>,
) -> Result<T, LoginError> {
    timeout(limit, work).await.map_err(|_| LoginError::Timeout { step, timeout: limit })
}

/// Reads the pod's token, for each login and while a stream is open.
pub(super) fn read_token(path: &Path) -> Result<Redacted, LoginError> {
    token_file::read(path).map_err(|source| LoginError::Token { path: path.to_owned(), source })
}

fn login_request(
    address: &Address,
    token: &Redacted,
    bundles: &[BundleRef],
) -> http::Result<Request<Empty<Bytes>>> {
    let authorization = runtime::bearer::header_value(token.expose())?;
    // A bundle's name consists of letters, digits and dashes, so it needs no escaping.
    let query: Vec<String> =
        bundles.iter().map(|bundle| format!("{BUNDLE_PARAMETER}={bundle}")).collect();
    Request::builder()
        .uri(format!("{PATH}?{}", query.join("&")))
        .header(header::HOST, &address.authority)
        .header(header::AUTHORIZATION, authorization)
        .header(header::USER_AGENT, USER_AGENT)
        .header(header::CONNECTION, "Upgrade")
        .header(header::UPGRADE, PROTOCOL)
        .body(Empty::new())
}

async fn log_in(
    tls: TlsStream<WipedIo<TcpStream>>,
    request: Request<Empty<Bytes>>,
) -> Result<Connection, LoginError> {
    let (mut sender, connection) =
        http1::handshake(TokioIo::new(tls)).await.map_err(LoginError::Http)?;
    let mut connection = pin!(connection.with_upgrades());
    let login = async {
        let response = sender.send_request(request).await.map_err(LoginError::Http)?;
        let protocol = response.headers().get(header::UPGRADE);
        let is_stream =
            protocol.is_some_and(|it| it.as_bytes().eq_ignore_ascii_case(PROTOCOL.as_bytes()));
        if response.status() != StatusCode::SWITCHING_PROTOCOLS || !is_stream {
            return Err(read_error_response(response).await);
        }
        hyper::upgrade::on(response).await.map(TokioIo::new).map_err(LoginError::Http)
    };
    drive_connection(connection.as_mut(), login).await
}

/// Runs `work` and polls the connection that it needs.
async fn drive_connection<T>(
    connection: Pin<&mut impl Future<Output = hyper::Result<()>>>,
    work: impl Future<Output = Result<T, LoginError>>,
) -> Result<T, LoginError> {
    let mut work = pin!(work);
    tokio::select! {
        biased;
        done = &mut work => done,
        end = connection => {
            end.map_err(LoginError::Http)?;
            // The connection ended normally: with the upgrade, or after a whole response.
            work.await
        }
    }
}

/// Reads the response of a server that does not open the stream.
async fn read_error_response(response: Response<Incoming>) -> LoginError {
    let status = response.status();
    let body = Limited::new(response.into_body(), MAX_ERROR_BODY_BYTES)
        .collect()
        .await
        .map(|body| body.to_bytes())
        .unwrap_or_default();
    error_from_response(status, &body)
}

fn error_from_response(status: StatusCode, body: &[u8]) -> LoginError {
    let mut problem = serde_json::from_slice::<Problem>(body).unwrap_or_else(|_| Problem {
        kind: "about:blank".to_owned(),
        title: String::new(),
        status: 0,
        detail: String::new(),
        instance: None,
    });
    problem.status = status.as_u16();
    if problem.title.is_empty() {
        problem.title = status.canonical_reason().unwrap_or("unknown status").to_owned();
    }
    // 408 and 429 depend on the moment, not on the client.
    let is_denial = status.is_client_error()
        && !matches!(status, StatusCode::REQUEST_TIMEOUT | StatusCode::TOO_MANY_REQUESTS);
    if is_denial { LoginError::Denied(problem) } else { LoginError::Unavailable(problem) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_denial_shows_who_was_denied_what() {
        let body = concat!(
            r#"{"type":"/problems/denied","title":"access denied","status":403,"#,
            r#""detail":"service account shop/web may not read bundle api-prod"}"#,
        );
        let error = error_from_response(StatusCode::FORBIDDEN, body.as_bytes());
        assert_eq!(
            error.to_string(),
            "log in: access denied: service account shop/web may not read bundle api-prod"
        );
        assert_eq!(error.disconnect(), Disconnect::Denied);
    }

    #[test]
    fn the_status_decides_between_denied_and_unavailable() {
        for (status, body, text, disconnect) in [
            (401, &b""[..], "log in: Unauthorized (401)", Disconnect::Denied),
            (404, b"<html>", "log in: Not Found (404)", Disconnect::Denied),
            (429, b"{}", "log in: Too Many Requests (429)", Disconnect::Unavailable),
            (503, br#"{"title":"starting"}"#, "log in: starting (503)", Disconnect::Unavailable),
            (200, b"", "log in: OK (200)", Disconnect::Unavailable),
        ] {
            let error = error_from_response(StatusCode::from_u16(status).unwrap(), body);
            assert_eq!((error.to_string().as_str(), error.disconnect()), (text, disconnect));
        }
    }

    #[test]
    fn the_login_request_lists_the_bundles_and_hides_the_token() {
        let address = Address::https("https://switchyard:8443").unwrap();
        let bundles = ["api-prod".parse().unwrap(), "shared-prod".parse().unwrap()];
        let token = Redacted::from(b"s3cret".as_slice());
        let request = login_request(&address, &token, &bundles).unwrap();
        assert_eq!(request.uri(), "/v1/agent/stream?bundle=api-prod&bundle=shared-prod");
        assert_eq!(request.headers()[header::HOST], "switchyard:8443");
        assert_eq!(request.headers()[header::AUTHORIZATION], "Bearer s3cret");
        assert!(!format!("{request:?}").contains("s3cret"));
    }
}
