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

const DEADLINE: Duration = Duration::from_secs(5);

/// A connection and what keeps it moving.
type Open = (SendRequest<Empty<Bytes>>, Pin<Box<dyn Future<Output = hyper::Result<()>> + Send>>);

/// A connection that is opened when it is needed, and opened again when the server has closed it.
pub(super) struct Client {
    host: String,
    port: u16,
    request: Request<Empty<Bytes>>,
    open: Option<Open>,
}

impl Client {
    /// `None` where the URL is not one to send requests to.
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

    /// Sends one request and takes the whole answer.
    pub(super) async fn request(&mut self) -> Result<StatusCode, String> {
        timeout(DEADLINE, self.exchange())
            .await
            .unwrap_or_else(|_| Err(format!("no answer within {DEADLINE:?}")))
    }

    /// The connection is back in its place only behind a good answer.
    async fn exchange(&mut self) -> Result<StatusCode, String> {
        let (mut sender, mut moving) = match self.at_rest().await {
            Some(open) => open,
            None => connect(&self.host, self.port).await?,
        };
        let exchange = async {
            let answer = sender
                .send_request(self.request.clone())
                .await
                .map_err(|error| text("request", &error))?;
            let status = answer.status();
            answer.into_body().collect().await.map_err(|error| text("read answer", &error))?;
            Ok::<_, String>((status, sender))
        };
        let mut exchange = pin!(exchange);
        tokio::select! {
            biased;
            outcome = &mut exchange => {
                let (status, sender) = outcome?;
                self.open = Some((sender, moving));
                Ok(status)
            }
            // The connection is over; the answer may be there all the same.
            _ = moving.as_mut() => Ok(exchange.await?.0),
        }
    }

    /// The open connection, unless the server has closed it. A server may do that while it is at
    /// rest, and then another one is opened; a request that it had begun to take is never sent
    /// again.
    async fn at_rest(&mut self) -> Option<Open> {
        let (mut sender, mut moving) = self.open.take()?;
        let usable = tokio::select! {
            biased;
            _ = moving.as_mut() => false,
            ready = sender.ready() => ready.is_ok(),
        };
        usable.then_some((sender, moving))
    }
}

async fn connect(host: &str, port: u16) -> Result<Open, String> {
    let tcp = TcpStream::connect((host, port)).await.map_err(|error| text("connect", &error))?;
    let _ = tcp.set_nodelay(true);
    let (sender, connection) =
        http1::handshake(TokioIo::new(tcp)).await.map_err(|error| text("connect", &error))?;
    Ok((sender, Box::pin(connection)))
}

/// A step and why it failed, with the causes.
fn text(step: &str, error: &dyn std::error::Error) -> String {
    let mut line = format!("{step}: {error}");
    let mut next = error.source();
    while let Some(cause) = next {
        line.push_str(": ");
        line.push_str(&cause.to_string());
        next = cause.source();
    }
    line
}
