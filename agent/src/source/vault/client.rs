//! HTTP to Vault: one request at a time, over one connection that stays open between the polls.
//! Each step has a timeout.
//!
//! A connection that has carried a secret is closed after it: the libraries' buffers may hold the
//! secret for as long as it is open.

use std::future::Future;
use std::pin::{Pin, pin};
use std::sync::Arc;

use bytes::Bytes;
use contract::Redacted;
use http::{HeaderValue, Method, Request, header};
use http_body_util::{BodyExt, Full, Limited};
use hyper::client::conn::TrySendError;
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use rustls::ClientConfig;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use super::answer::{Answer, Question, VaultError};
use super::schedule::ANSWER_TIMEOUT;
use crate::schedule::{CONNECT_TIMEOUT, HANDSHAKE_TIMEOUT};
use crate::source::USER_AGENT;
use crate::source::address::Address;
use crate::source::wiped_io::WipedIo;

/// The longest answer, in bytes. A KV entry has a megabyte at most, and each byte of it takes at
/// most six in JSON; the metadata of one version takes some 150.
const MAX_ANSWER_BYTES: usize = 8 << 20;

type Outgoing = Request<Full<Bytes>>;

type Driver = http1::Connection<TokioIo<Box<dyn Transport>>, Full<Bytes>>;

/// A server's connection, encrypted or not.
trait Transport: AsyncRead + AsyncWrite + Send + Unpin {}

impl<Io: AsyncRead + AsyncWrite + Send + Unpin> Transport for Io {}

/// What to ask.
pub(super) struct Call<'a> {
    pub(super) verb: &'static str,
    pub(super) method: Method,
    /// The path below `/v1/`, not encoded.
    pub(super) path: String,
    /// What follows `?`, encoded.
    pub(super) query: Option<String>,
    pub(super) token: Option<&'a Redacted>,
    /// The JSON to send.
    pub(super) body: Option<Vec<u8>>,
    /// Whether the answer holds a secret.
    pub(super) is_secret: bool,
}

/// A client of one Vault.
pub(super) struct VaultClient {
    address: Address,
    /// `None` for plain HTTP.
    tls: Option<Arc<ClientConfig>>,
    namespace: Option<HeaderValue>,
    connection: Option<OpenConnection>,
}

impl VaultClient {
    pub(super) fn new(
        address: Address,
        tls: Option<Arc<ClientConfig>>,
        namespace: Option<HeaderValue>,
    ) -> Self {
        Self { address, tls, namespace, connection: None }
    }

    /// The server's address.
    pub(super) fn address(&self) -> &Address {
        &self.address
    }

    /// Asks, and waits for the whole answer. A dropped call closes the connection.
    pub(super) async fn send(&mut self, call: Call<'_>) -> Result<Answer, VaultError> {
        let request = self.request(&call)?;
        let question = Question { verb: call.verb, path: call.path };
        let mut connection = match self.connection.take() {
            Some(connection) => connection,
            None => self.connect().await?,
        };
        let work = async {
            // The server may have closed the connection since the last call. What was not sent is
            // sent again, once, on a new one.
            match connection.exchange(request).await {
                Err(Failure::Unsent(request)) => {
                    connection = self.connect().await?;
                    Ok::<_, VaultError>(connection.exchange(*request).await)
                }
                other => Ok(other),
            }
        };
        let Ok(exchanged) = timeout(ANSWER_TIMEOUT, work).await else {
            return Err(VaultError::Timeout { question, limit: ANSWER_TIMEOUT });
        };
        match exchanged? {
            Ok((status, body)) => {
                if !call.is_secret && connection.driver.is_some() {
                    self.connection = Some(connection);
                }
                Ok(Answer { question, status, body })
            }
            Err(Failure::Http(source)) => Err(VaultError::Http { question, source }),
            Err(Failure::Body(source)) => Err(VaultError::Body { question, source }),
            Err(Failure::Unsent(_)) => {
                Err(VaultError::Connect(std::io::ErrorKind::ConnectionAborted.into()))
            }
        }
    }

    fn request(&self, call: &Call<'_>) -> http::Result<Outgoing> {
        let query = call.query.as_ref().map(|query| format!("?{query}")).unwrap_or_default();
        let mut request = Request::builder()
            .method(&call.method)
            .uri(format!("/v1/{}{query}", encode(&call.path)))
            .header(header::HOST, &self.address.authority)
            .header(header::USER_AGENT, USER_AGENT)
            // Proves that no browser was tricked into it; some listeners insist.
            .header("x-vault-request", "true");
        if let Some(namespace) = &self.namespace {
            request = request.header("x-vault-namespace", namespace);
        }
        if let Some(token) = call.token {
            let mut token = HeaderValue::from_bytes(token.expose())?;
            token.set_sensitive(true);
            request = request.header("x-vault-token", token);
        }
        if call.body.is_some() {
            request = request.header(header::CONTENT_TYPE, "application/json");
        }
        request.body(Full::from(call.body.clone().unwrap_or_default()))
    }

    async fn connect(&mut self) -> Result<OpenConnection, VaultError> {
        let late = |limit| move |_| VaultError::ConnectTimeout(limit);
        let Address { host, port, server_name, .. } = &self.address;
        let tcp = timeout(CONNECT_TIMEOUT, TcpStream::connect((host.as_str(), *port)))
            .await
            .map_err(late(CONNECT_TIMEOUT))?
            .map_err(VaultError::Connect)?;
        // A request is one write, so Nagle's algorithm would only delay it.
        let _ = tcp.set_nodelay(true);
        let transport: Box<dyn Transport> = if let Some(tls) = &self.tls {
            let connector = TlsConnector::from(Arc::clone(tls));
            let handshake = connector.connect(server_name.clone(), WipedIo(tcp));
            let tls = timeout(HANDSHAKE_TIMEOUT, handshake).await;
            Box::new(tls.map_err(late(HANDSHAKE_TIMEOUT))?.map_err(VaultError::Connect)?)
        } else {
            Box::new(WipedIo(tcp))
        };
        let (sender, connection) = http1::handshake(TokioIo::new(transport))
            .await
            .map_err(|error| VaultError::Connect(std::io::Error::other(error)))?;
        Ok(OpenConnection { sender, driver: Some(Box::pin(connection)) })
    }
}

/// An open connection.
struct OpenConnection {
    sender: SendRequest<Full<Bytes>>,
    /// Reads and writes, only while a request is under way; `None` once the connection has ended.
    driver: Option<Pin<Box<Driver>>>,
}

/// Why a request has no whole answer.
enum Failure {
    /// Nothing of it was sent.
    Unsent(Box<Outgoing>),
    Http(hyper::Error),
    Body(Box<dyn std::error::Error + Send + Sync>),
}

impl OpenConnection {
    /// Sends a request and reads the answer: its status and body.
    async fn exchange(&mut self, request: Outgoing) -> Result<(u16, Redacted), Failure> {
        let Self { sender, driver } = self;
        let work = async {
            if sender.ready().await.is_err() {
                return Err(Failure::Unsent(Box::new(request)));
            }
            let response = sender.try_send_request(request).await.map_err(failure)?;
            let status = response.status().as_u16();
            let body = Limited::new(response.into_body(), MAX_ANSWER_BYTES).collect().await;
            Ok((status, Redacted::from(Vec::from(body.map_err(Failure::Body)?.to_bytes()))))
        };
        drive(driver, work).await
    }
}

fn failure(mut error: TrySendError<Outgoing>) -> Failure {
    match error.take_message() {
        Some(request) => Failure::Unsent(Box::new(request)),
        None => Failure::Http(error.into_error()),
    }
}

/// Runs `work` and polls the connection that it needs.
async fn drive<T>(driver: &mut Option<Pin<Box<Driver>>>, work: impl Future<Output = T>) -> T {
    let mut work = pin!(work);
    if let Some(running) = driver {
        tokio::select! {
            biased;
            done = &mut work => return done,
            _ = running => {}
        }
        // With it goes the request that it had not begun to send, which `work` then learns.
        *driver = None;
    }
    work.await
}

/// A path with everything that has a meaning in a URL in its percent encoding.
fn encode(path: &str) -> String {
    let mut encoded = String::with_capacity(path.len());
    for byte in path.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' | b'/' => {
                encoded.push(char::from(byte));
            }
            _ => encoded.push_str(&format!("%{byte:02X}")),
        }
    }
    encoded
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    use super::*;

    #[test]
    fn a_path_is_encoded() {
        for (path, encoded) in [
            ("secret/data/shop/api-1_2.3~", "secret/data/shop/api-1_2.3~"),
            ("secret/data/a b?c#d%2f", "secret/data/a%20b%3Fc%23d%252f"),
            ("kv/é", "kv/%C3%A9"),
        ] {
            assert_eq!(encode(path), encoded);
        }
    }

    fn client(port: u16) -> VaultClient {
        let address = Address::https_or_loopback(&format!("http://127.0.0.1:{port}")).unwrap();
        VaultClient::new(address, None, Some(HeaderValue::from_static("team")))
    }

    fn call(token: &Redacted, is_secret: bool) -> Call<'_> {
        let (path, token) = ("secret/data/a b".to_owned(), Some(token));
        let query = Some("version=1".to_owned());
        Call { verb: "read", method: Method::GET, path, query, token, body: None, is_secret }
    }

    /// Answers each of these requests on a connection of its own, or on one that stays open.
    async fn serve(listener: TcpListener, answers: &[(&str, bool)]) -> Vec<String> {
        let (mut requests, mut open) = (Vec::new(), None);
        for (body, closes) in answers {
            let mut stream = match open.take() {
                Some(stream) => stream,
                None => listener.accept().await.unwrap().0,
            };
            let mut request = Vec::new();
            while !request.ends_with(b"\r\n\r\n") {
                request.push(stream.read_u8().await.unwrap());
            }
            requests.push(String::from_utf8(request).unwrap());
            let length = body.len();
            let answer = format!("HTTP/1.1 200 OK\r\ncontent-length: {length}\r\n\r\n{body}");
            stream.write_all(answer.as_bytes()).await.unwrap();
            if *closes {
                tokio::time::sleep(std::time::Duration::from_millis(20)).await;
            } else {
                open = Some(stream);
            }
        }
        requests
    }

    #[tokio::test]
    async fn a_connection_is_kept_and_replaced_when_it_ended_or_carried_a_secret() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let mut client = client(listener.local_addr().unwrap().port());
        let token = Redacted::from(b"hvs.canary".as_slice());
        let calls = async {
            // The second on the first's connection; the third finds it closed.
            for (body, is_secret) in [("1", false), ("2", false), ("3", false), ("4", true)] {
                let answer = client.send(call(&token, is_secret)).await.unwrap();
                assert_eq!((answer.status, answer.body.expose()), (200, body.as_bytes()));
                assert_eq!(client.connection.is_some(), !is_secret);
                tokio::time::sleep(std::time::Duration::from_millis(50)).await;
            }
        };
        let answers = [("1", false), ("2", true), ("3", false), ("4", false)];
        let (requests, ()) = tokio::join!(serve(listener, &answers), calls);
        let first = requests[0].to_ascii_lowercase();
        for line in [
            "get /v1/secret/data/a%20b?version=1 http/1.1",
            "x-vault-token: hvs.canary",
            "x-vault-namespace: team",
            "x-vault-request: true",
        ] {
            assert!(first.contains(line), "{first}");
        }
        let request = client.request(&call(&token, false)).unwrap();
        assert!(!format!("{request:?}").contains("canary"));
    }

    #[tokio::test(start_paused = true)]
    async fn a_server_that_does_not_answer_times_out() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let mut client = client(listener.local_addr().unwrap().port());
        let token = Redacted::from(b"t".as_slice());
        let error = client.send(call(&token, false)).await.unwrap_err();
        assert_eq!(error.to_string(), "read secret/data/a b: no answer within 10s");
        assert!(client.connection.is_none());
    }
}
