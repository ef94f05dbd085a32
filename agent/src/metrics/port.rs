//! The port on which the agent answers `GET /metrics`.
//!
//! One task owns the listener and its few connections. Each is good for one small request, has a
//! deadline, and is closed after its answer; when all places are taken, the oldest makes room. Of
//! hyper the agent links the client alone, and its server would do far more than this needs.

use std::future::{Future, poll_fn};
use std::io;
use std::net::{Ipv6Addr, SocketAddr};
use std::pin::{Pin, pin};
use std::task::Poll;
use std::time::Duration;

use contract::AgentMetricsPort;
use http::StatusCode;
use runtime::listen::concerns_one_peer;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::time::timeout;

use super::AgentMetrics;
use super::answer::{answer, refusal};

/// More than the scrapers of a pod.
const MAX_CONNECTIONS: usize = 8;

/// How long one request may take, with its answer.
const CONNECTION_TIMEOUT: Duration = Duration::from_secs(5);

/// Far more than a scraper sends, in bytes; a mesh adds headers.
const MAX_HEAD_BYTES: usize = 8 << 10;

/// The most that is read and dropped after an answer, in bytes.
const MAX_REST_BYTES: usize = 64 << 10;

/// How long the listener rests after an error that is not of one connection.
const ACCEPT_PAUSE: Duration = Duration::from_secs(1);

/// The metrics' port is not there.
#[derive(Debug, thiserror::Error)]
#[error("open metrics port {port}")]
pub(crate) struct MetricsPortError {
    port: AgentMetricsPort,
    source: io::Error,
}

/// Opens the port on every address of the pod, IPv6 and IPv4.
///
/// # Errors
/// When something else in the pod has it.
pub(crate) fn open(port: AgentMetricsPort) -> Result<TcpListener, MetricsPortError> {
    let address = SocketAddr::new(Ipv6Addr::UNSPECIFIED.into(), port.get());
    runtime::listen::bind(address).map_err(|source| MetricsPortError { port, source })
}

/// Answers requests until `stopped`.
pub(crate) async fn serve(
    listener: TcpListener,
    metrics: watch::Receiver<AgentMetrics>,
    stopped: impl Future<Output = ()>,
) {
    let mut stopped = pin!(stopped);
    let mut connections = Connections::default();
    loop {
        tokio::select! {
            () = &mut stopped => return,
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => connections.add(connection(stream, metrics.clone())),
                Err(error) if concerns_one_peer(&error) => {}
                Err(error) => {
                    tracing::debug!(%error, "accept connection for metrics");
                    // Out of descriptors or memory, perhaps: the agent itself needs them more.
                    connections = Connections::default();
                    if timeout(ACCEPT_PAUSE, &mut stopped).await.is_ok() {
                        return;
                    }
                }
            },
            () = connections.ended() => {}
        }
    }
}

/// The open connections, the oldest first.
#[derive(Default)]
struct Connections(Vec<Pin<Box<dyn Future<Output = ()> + Send>>>);

impl Connections {
    fn add(&mut self, connection: impl Future<Output = ()> + Send + 'static) {
        if self.0.len() >= MAX_CONNECTIONS {
            drop(self.0.remove(0));
        }
        self.0.push(Box::pin(connection));
    }

    /// Goes on with all of them until one ends; forever if there is none.
    async fn ended(&mut self) {
        poll_fn(|context| {
            let before = self.0.len();
            self.0.retain_mut(|it| it.as_mut().poll(context).is_pending());
            if self.0.len() < before { Poll::Ready(()) } else { Poll::Pending }
        })
        .await;
    }
}

/// One request and its answer. What goes wrong is the client's.
async fn connection(mut stream: TcpStream, metrics: watch::Receiver<AgentMetrics>) {
    let exchange = async {
        let mut head = Vec::with_capacity(1024);
        let answer = match read_head(&mut stream, &mut head).await? {
            true => answer(&head, || metrics.borrow().to_string()),
            false => refusal(StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE),
        };
        stream.write_all(&answer).await?;
        stream.shutdown().await?;
        // A connection that is closed with unread bytes is reset, and the answer may be lost.
        let mut rest = 0;
        while rest < MAX_REST_BYTES {
            head.clear();
            match stream.read_buf(&mut head).await? {
                0 => break,
                length => rest += length,
            }
        }
        Ok::<(), io::Error>(())
    };
    if let Ok(Err(error)) = timeout(CONNECTION_TIMEOUT, exchange).await {
        tracing::debug!(%error, "answer request for metrics");
    }
}

/// Reads the head of a request, and perhaps more. Says whether it is short enough.
async fn read_head(stream: &mut TcpStream, head: &mut Vec<u8>) -> io::Result<bool> {
    loop {
        // The end may begin with what was there before.
        let before = head.len().saturating_sub(3);
        if stream.read_buf(head).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        if head.len() > MAX_HEAD_BYTES {
            return Ok(false);
        }
        if head.get(before..).is_some_and(|it| it.windows(4).any(|end| end == b"\r\n\r\n")) {
            return Ok(true);
        }
    }
}

#[cfg(test)]
mod tests;
