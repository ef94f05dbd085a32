//! From nothing to an open stream: connect, TLS, login, upgrade. Each step has its deadline.

use std::future::Future;
use std::io;
use std::path::{Path, PathBuf};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use contract::stream::{BUNDLE_PARAMETER, PATH, PROTOCOL};
use contract::{BundleRef, Problem, Redacted};
use http::{HeaderValue, Request, Response, StatusCode, header};
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

use super::address::Address;
use crate::schedule::{CONNECT_DEADLINE, HANDSHAKE_DEADLINE, LOGIN_DEADLINE, Loss};
use crate::source::USER_AGENT;

/// An open stream's connection.
pub(super) type Connection = TokioIo<Upgraded>;

// A problem document is a few hundred bytes; whatever else a server says is not worth more.
const MAX_ANSWER_BYTES: usize = 64 << 10;

/// Why there is no stream.
#[derive(Debug, thiserror::Error)]
pub enum LoginError {
    /// The pod's token cannot be read.
    #[error("read token {path}", path = path.display())]
    Token {
        /// Its file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A step took too long.
    #[error("{step}: no answer within {within:?}")]
    Deadline {
        /// The step.
        step: &'static str,
        /// Its deadline.
        within: Duration,
    },
    /// The server was not reached.
    #[error("connect")]
    Connect(#[source] io::Error),
    /// The server is not the one that the trust bundle vouches for, or does not speak TLS.
    #[error("greet server")]
    Handshake(#[source] io::Error),
    /// The request cannot be built.
    #[error("build login")]
    Request(#[source] http::Error),
    /// The connection broke, or what came back is not HTTP.
    #[error("log in")]
    Exchange(#[source] hyper::Error),
    /// The server says no.
    #[error("log in: {0}")]
    Refused(Problem),
    /// The server cannot say yes right now.
    #[error("log in: {0}")]
    Unavailable(Problem),
}

impl LoginError {
    /// What it means for the next try.
    pub(super) fn loss(&self) -> Loss {
        if matches!(self, Self::Refused(_)) { Loss::Refused } else { Loss::Away }
    }
}

/// Opens a stream for these bundles.
pub(super) async fn open(
    address: &Address,
    tls: Arc<ClientConfig>,
    token_file: &Path,
    bundles: &[BundleRef],
) -> Result<Connection, LoginError> {
    let token = token(token_file)?;
    let connect = TcpStream::connect((address.host.as_str(), address.port));
    let tcp = within("connect", CONNECT_DEADLINE, connect).await?.map_err(LoginError::Connect)?;
    // A message is one write, and waiting for more of it would only cost time. Where the option
    // cannot be set the stream is slower and still right.
    let _ = tcp.set_nodelay(true);
    let greet = TlsConnector::from(tls).connect(address.name.clone(), tcp);
    let tls =
        within("greet server", HANDSHAKE_DEADLINE, greet).await?.map_err(LoginError::Handshake)?;
    let request = request(address, &token, bundles).map_err(LoginError::Request)?;
    drop(token);
    within("log in", LOGIN_DEADLINE, log_in(tls, request)).await?
}

async fn within<T>(
    step: &'static str,
    within: Duration,
    work: impl Future<Output = T>,
) -> Result<T, LoginError> {
    timeout(within, work).await.map_err(|_| LoginError::Deadline { step, within })
}

/// The kubelet replaces the token long before it expires, so it is read anew each time.
fn token(path: &Path) -> Result<Redacted, LoginError> {
    let failed = |source| LoginError::Token { path: path.to_owned(), source };
    let bytes = Redacted::new(std::fs::read(path).map_err(failed)?);
    let text = bytes.expose().trim_ascii();
    if text.is_empty() || !text.iter().all(u8::is_ascii_graphic) {
        return Err(failed(io::Error::new(io::ErrorKind::InvalidData, "it holds no token")));
    }
    Ok(Redacted::from(text))
}

fn request(
    address: &Address,
    token: &Redacted,
    bundles: &[BundleRef],
) -> http::Result<Request<Empty<Bytes>>> {
    let mut authorization = HeaderValue::from_bytes(&[b"Bearer ", token.expose()].concat())?;
    authorization.set_sensitive(true);
    // A bundle's name is of letters, digits and dashes: nothing to escape.
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
    tls: TlsStream<TcpStream>,
    request: Request<Empty<Bytes>>,
) -> Result<Connection, LoginError> {
    let (mut sender, connection) =
        http1::handshake(TokioIo::new(tls)).await.map_err(LoginError::Exchange)?;
    let mut connection = pin!(connection.with_upgrades());
    let login = async {
        let response = sender.send_request(request).await.map_err(LoginError::Exchange)?;
        if response.status() != StatusCode::SWITCHING_PROTOCOLS {
            return Err(refusal(response).await);
        }
        hyper::upgrade::on(response).await.map(TokioIo::new).map_err(LoginError::Exchange)
    };
    drive(connection.as_mut(), login).await
}

/// Runs `work` while the connection it needs is kept moving.
async fn drive<T>(
    connection: Pin<&mut impl Future<Output = hyper::Result<()>>>,
    work: impl Future<Output = Result<T, LoginError>>,
) -> Result<T, LoginError> {
    let mut work = pin!(work);
    tokio::select! {
        biased;
        done = &mut work => done,
        end = connection => {
            end.map_err(LoginError::Exchange)?;
            // It ended in order: with the upgrade, or behind an answer that is there already.
            work.await
        }
    }
}

/// What the server says instead of opening the stream.
async fn refusal(response: Response<Incoming>) -> LoginError {
    let status = response.status();
    let body = Limited::new(response.into_body(), MAX_ANSWER_BYTES)
        .collect()
        .await
        .map(|body| body.to_bytes())
        .unwrap_or_default();
    judge(status, &body)
}

fn judge(status: StatusCode, body: &[u8]) -> LoginError {
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
    // 408 and 429 are about the moment, not about who asks.
    let about_asker = status.is_client_error()
        && !matches!(status, StatusCode::REQUEST_TIMEOUT | StatusCode::TOO_MANY_REQUESTS);
    if about_asker { LoginError::Refused(problem) } else { LoginError::Unavailable(problem) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_says_who_was_refused_what() {
        let body = br#"{"type":"/problems/denied","title":"access denied","status":403,"detail":"service account shop/web may not read bundle api-prod"}"#;
        let error = judge(StatusCode::FORBIDDEN, body);
        assert_eq!(
            error.to_string(),
            "log in: access denied: service account shop/web may not read bundle api-prod"
        );
        assert_eq!(error.loss(), Loss::Refused);
    }

    #[test]
    fn what_an_answer_means() {
        for (status, body, text, loss) in [
            (401, &b""[..], "log in: Unauthorized (401)", Loss::Refused),
            (404, b"<html>", "log in: Not Found (404)", Loss::Refused),
            (429, b"{}", "log in: Too Many Requests (429)", Loss::Away),
            (503, br#"{"title":"starting"}"#, "log in: starting (503)", Loss::Away),
            (200, b"", "log in: OK (200)", Loss::Away),
        ] {
            let error = judge(StatusCode::from_u16(status).unwrap(), body);
            assert_eq!((error.to_string().as_str(), error.loss()), (text, loss));
        }
    }

    #[test]
    fn a_token_is_one_line() {
        let temp = tempfile::tempdir().unwrap();
        let path = temp.path().join("token");
        let write = |bytes: &[u8]| {
            io::Write::write_all(&mut std::fs::File::create(&path).unwrap(), bytes).unwrap()
        };
        assert!(token(&path).is_err());
        write(b"abc.def-_\n");
        assert_eq!(token(&path).unwrap().expose(), b"abc.def-_");
        for bad in [&b""[..], b"\n", b"a b", b"a\r\nX: y", b"\xff"] {
            write(bad);
            let error = token(&path).unwrap_err();
            assert!(crate::fault::chain(&error).ends_with("it holds no token"), "{error:?}");
        }
    }

    #[test]
    fn the_login_names_its_bundles_and_hides_its_token() {
        let address: Address = "https://switchyard:8443".parse().unwrap();
        let bundles = ["api-prod".parse().unwrap(), "shared-prod".parse().unwrap()];
        let request = request(&address, &Redacted::from(b"s3cret".as_slice()), &bundles).unwrap();
        assert_eq!(request.uri(), "/v1/agent/stream?bundle=api-prod&bundle=shared-prod");
        assert_eq!(request.headers()[header::HOST], "switchyard:8443");
        assert_eq!(request.headers()[header::AUTHORIZATION], "Bearer s3cret");
        assert!(!format!("{request:?}").contains("s3cret"));
    }
}
