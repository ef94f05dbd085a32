//! One keep-alive connection of a load client.

use std::future::Future;
use std::pin::{Pin, pin};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, StatusCode, Uri, header};
use http_body_util::{BodyExt, Empty};
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::time::timeout;

const REQUEST_TIMEOUT: Duration = Duration::from_secs(5);

/// A connection: its request sender and the future that drives it.
type OpenConnection =
    (SendRequest<Empty<Bytes>>, Pin<Box<dyn Future<Output = hyper::Result<()>> + Send>>);

/// A connection that is opened on demand, and again after the server has closed it.
pub(super) struct Client {
    host: String,
    port: u16,
    request: Request<Empty<Bytes>>,
    open: Option<OpenConnection>,
}

impl Client {
    /// `None` if the URL is not a plain HTTP URL.
    pub(super) fn new(url: &Uri) -> Option<Self> {
        let authority = url.authority().filter(|_| url.scheme_str() == Some("http"))?;
        let path = url.path_and_query().map_or("/", |path| path.as_str());
        let request = Request::builder()
            .uri(path)
            .header(header::HOST, authority.as_str())
            .body(Empty::new())
            .ok()?;
        let host = authority.host().trim_start_matches('[').trim_end_matches(']').to_owned();
        Some(Self { host, port: authority.port_u16().unwrap_or(80), request, open: None })
    }

    /// Sends one request and reads the whole answer.
    pub(super) async fn request(&mut self) -> Result<StatusCode, String> {
        timeout(REQUEST_TIMEOUT, self.exchange())
            .await
            .unwrap_or_else(|_| Err(format!("no answer within {REQUEST_TIMEOUT:?}")))
    }

    /// Keeps the connection only after a complete answer.
    async fn exchange(&mut self) -> Result<StatusCode, String> {
        let (mut sender, mut driver) = match self.take_idle().await {
            Some(open) => open,
            None => connect(&self.host, self.port).await?,
        };
        let exchange = async {
            let answer = sender
                .send_request(self.request.clone())
                .await
                .map_err(|error| describe("request", &error))?;
            let status = answer.status();
            answer.into_body().collect().await.map_err(|error| describe("read answer", &error))?;
            Ok::<_, String>((status, sender))
        };
        let mut exchange = pin!(exchange);
        tokio::select! {
            biased;
            outcome = &mut exchange => {
                let (status, sender) = outcome?;
                self.open = Some((sender, driver));
                Ok(status)
            }
            // The connection has ended; the answer may have arrived all the same.
            _ = driver.as_mut() => Ok(exchange.await?.0),
        }
    }

    /// The open connection, unless the server has closed it. A server may close an idle connection,
    /// and then another one is opened. A request is never sent twice.
    async fn take_idle(&mut self) -> Option<OpenConnection> {
        let (mut sender, mut driver) = self.open.take()?;
        let usable = tokio::select! {
            biased;
            _ = driver.as_mut() => false,
            ready = sender.ready() => ready.is_ok(),
        };
        usable.then_some((sender, driver))
    }
}

async fn connect(host: &str, port: u16) -> Result<OpenConnection, String> {
    let tcp =
        TcpStream::connect((host, port)).await.map_err(|error| describe("connect", &error))?;
    let _ = tcp.set_nodelay(true);
    let (sender, connection) =
        http1::handshake(TokioIo::new(tcp)).await.map_err(|error| describe("connect", &error))?;
    Ok((sender, Box::pin(connection)))
}

/// Formats a step and the error it failed with, including the causes.
fn describe(step: &str, error: &dyn std::error::Error) -> String {
    let mut line = format!("{step}: {error}");
    let mut next = error.source();
    while let Some(cause) = next {
        line.push_str(": ");
        line.push_str(&cause.to_string());
        next = cause.source();
    }
    line
}
