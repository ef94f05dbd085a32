//! The accept loop: TLS (or plain text) and HTTP on a listener that the caller has bound.
//!
//! Unauthenticated peers are bounded: connections by number, in all and for each address; the
//! handshake, each header, idleness and the reading of an answer by time; a header by size. When
//! there are too many connections, an idle one makes room. Connections can be upgraded
//! (`hyper::upgrade::on`); from then on they count no longer.
//!
//! The end loses no request. While the process is about to stop, each HTTP/1 answer asks the client
//! to close the connection, since a client may send on an idle one at the moment at which the
//! server closes it. When the drain begins, the loop accepts who waits already and no others, and
//! answers what has been sent until then; idle connections are closed a moment later.

mod activity;
mod connection;
mod guarded_io;
mod handshake;
mod table;
#[cfg(test)]
mod tests;
mod tracked_body;

use std::convert::Infallible;
use std::error::Error;
use std::future::Future;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::Map;
use hyper::body::{Body, Incoming};
use hyper::service::Service;
use hyper::{Request, Response};
use hyper_util::service::TowerToHyperService;
use rustls::ServerConfig;
use rustls::pki_types::CertificateDer;
use tokio::net::{TcpListener, TcpStream};

use crate::listen::concerns_one_peer;
use crate::tasks::Tasks;
use connection::ConnectionContext;
use handshake::Handshakes;
use table::{ConnectionTable, Slot};

/// The address of the peer, an extension of every request. An IPv4-mapped IPv6 address is IPv4.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PeerAddr(pub SocketAddr);

/// The verified certificates of the client, its own first: an extension of a request when the
/// `ServerConfig` asks for them and the client sent some.
#[derive(Clone, Debug)]
pub struct PeerCertificates(pub Arc<[CertificateDer<'static>]>);

/// Bounds on connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// From accept to the end of the TLS handshake.
    pub handshake_timeout: Duration,
    /// From the handshake to the end of the first request's header.
    pub first_request_timeout: Duration,
    /// From the first byte of an HTTP/1 header to its end.
    pub header_timeout: Duration,
    /// The wait for a further request on an open connection. For a server of the API server it is
    /// longer than the 90 s after which that closes an idle connection itself, or a request could
    /// meet a connection that is just being closed.
    pub idle_timeout: Duration,
    /// How long a peer may take no byte of an answer. It gains no time by taking only a few.
    pub write_timeout: Duration,
    /// The largest header, with the request line, in bytes; at least 8,192. It is also the most
    /// that is buffered of a body before a handler reads it.
    pub max_header_bytes: usize,
    /// Connections at one time. Above it an idle one is closed, or a further one waits in the
    /// kernel's queue until a request is answered.
    pub max_connections: usize,
    /// Connections of one address at one time: of an IPv4 address, or of the /64 network of an IPv6
    /// address. Above it an idle one of the same address is closed, or the new one. Loopback has no
    /// limit of its own, because a proxy or a port forward is everybody.
    pub max_per_address: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self::with_connections(1024)
    }
}

impl Limits {
    /// The defaults for this number of connections, a quarter of which one address may have.
    #[must_use]
    pub fn with_connections(max_connections: usize) -> Self {
        Self {
            handshake_timeout: Duration::from_secs(10),
            first_request_timeout: Duration::from_secs(10),
            header_timeout: Duration::from_secs(10),
            idle_timeout: Duration::from_secs(120),
            write_timeout: Duration::from_secs(30),
            max_header_bytes: 16 << 10,
            max_connections,
            max_per_address: max_connections.div_ceil(4),
        }
    }
}

/// An HTTP handler: any closure from a request to the future of a response.
pub trait Handler: Clone + Send + Sync + 'static {
    /// The body of the response.
    type Body: Body<Data: Send, Error: Into<Box<dyn Error + Send + Sync>>> + Send + Unpin + 'static;
    /// The future of the response.
    type Future: Future<Output = Response<Self::Body>> + Send + 'static;

    /// Answers one request.
    fn answer(&self, request: Request<Incoming>) -> Self::Future;
}

impl<H, F, B> Handler for H
where
    H: Fn(Request<Incoming>) -> F + Clone + Send + Sync + 'static,
    F: Future<Output = Response<B>> + Send + 'static,
    B: Body<Data: Send, Error: Into<Box<dyn Error + Send + Sync>>> + Send + Unpin + 'static,
{
    type Body = B;
    type Future = F;

    fn answer(&self, request: Request<Incoming>) -> F {
        self(request)
    }
}

/// Turns a tower service that cannot fail, such as an axum `Router`, into a handler.
pub fn tower_handler<S>(service: S) -> TowerHandler<S> {
    TowerHandler(TowerToHyperService::new(service))
}

/// A tower service as a handler; made by [`tower_handler`].
#[derive(Clone, Copy, Debug)]
pub struct TowerHandler<S>(TowerToHyperService<S>);

impl<S, B> Handler for TowerHandler<S>
where
    S: Clone + Send + Sync + 'static,
    TowerToHyperService<S>: Service<
            Request<Incoming>,
            Response = Response<B>,
            Error = Infallible,
            Future: Send + 'static,
        >,
    B: Body<Data: Send, Error: Into<Box<dyn Error + Send + Sync>>> + Send + Unpin + 'static,
{
    type Body = B;
    type Future = Map<
        <TowerToHyperService<S> as Service<Request<Incoming>>>::Future,
        fn(Result<Response<B>, Infallible>) -> Response<B>,
    >;

    fn answer(&self, request: Request<Incoming>) -> Self::Future {
        self.0.call(request).map(|Ok(response)| response)
    }
}

/// Serves HTTP/1 and, where ALPN chose it, HTTP/2 over TLS until the drain begins.
///
/// Each connection is a task in `tasks`; the drain waits for it.
pub async fn serve<H: Handler>(
    listener: TcpListener,
    tls: Arc<ServerConfig>,
    limits: Limits,
    handler: H,
    tasks: Tasks,
) {
    let handshakes = Handshakes::new(tls, limits.handshake_timeout);
    accept(listener, limits, tasks.clone(), move |stream, peer, slot| {
        let (handshakes, handler, tasks) = (handshakes.clone(), handler.clone(), tasks.clone());
        async move {
            let handshake = handshakes.accept(stream, peer);
            let handshake = slot.evicted.run_until_cancelled(handshake);
            let last_moment = last_moment(&tasks);
            let Some(Some(connection_)) = (tokio::select! {
                handshaken = handshake => handshaken,
                () = last_moment => None,
            }) else {
                return;
            };
            let context = ConnectionContext {
                peer: PeerAddr(peer),
                certificates: connection_.certificates,
                limits,
                tasks,
                slot,
            };
            if connection_.http2 {
                connection::http2(connection_.stream, context, handler).await;
            } else {
                connection::http1(connection_.stream, context, handler).await;
            }
        }
    })
    .await;
}

/// Serves HTTP/1 in plain text until the drain begins: for the admin port and for localhost.
pub async fn serve_plain<H: Handler>(
    listener: TcpListener,
    limits: Limits,
    handler: H,
    tasks: Tasks,
) {
    accept(listener, limits, tasks.clone(), move |stream, peer, slot| {
        let (handler, tasks) = (handler.clone(), tasks.clone());
        async move {
            let context =
                ConnectionContext { peer: PeerAddr(peer), certificates: None, limits, tasks, slot };
            connection::http1(stream, context, handler).await;
        }
    })
    .await;
}

/// How long a client that has come already has to finish its handshake and to send its request,
/// once the drain has begun.
const LAST_MOMENT: Duration = Duration::from_secs(1);

/// How long the kernel may take to say that somebody waits.
const QUEUE_POLL: Duration = Duration::from_millis(10);

/// Ends a moment after the drain has begun.
async fn last_moment(tasks: &Tasks) {
    tasks.stopping().cancelled().await;
    tokio::time::sleep(LAST_MOMENT).await;
}

async fn accept<C, F>(listener: TcpListener, limits: Limits, tasks: Tasks, connection: C)
where
    C: Fn(TcpStream, SocketAddr, Slot) -> F,
    F: Future<Output = ()> + Send + 'static,
{
    let stopping = tasks.stopping();
    let table = ConnectionTable::new(&limits);
    let mut pause = AcceptBackoff::default();
    let mut last_moment = pin!(last_moment(&tasks));
    loop {
        let accepted = match stopping.run_until_cancelled(listener.accept()).await {
            Some(accepted) => accepted,
            // The last ones of the kernel's queue: closing the listener would reset them.
            None => tokio::select! {
                biased;
                () = &mut last_moment => return,
                accepted = listener.accept() => accepted,
                () = tokio::time::sleep(QUEUE_POLL) => return,
            },
        };
        match accepted {
            Ok((stream, peer)) => {
                pause = AcceptBackoff::default();
                let peer = SocketAddr::new(peer.ip().to_canonical(), peer.port());
                // While this one waits for a place, others wait in the kernel's queue.
                let place = tokio::select! {
                    place = table.admit(peer.ip()) => Some(place),
                    () = &mut last_moment => None,
                };
                match place {
                    Some(Some(slot)) => {
                        // Responses are small and complete; waiting to fill a segment only adds
                        // latency.
                        let _ = stream.set_nodelay(true);
                        tasks.spawn("connection", connection(stream, peer, slot));
                    }
                    Some(None) => {
                        let limit = limits.max_per_address;
                        tracing::warn!(%peer, limit, "connection refused: too many of one address");
                    }
                    None => return,
                }
            }
            Err(error) if concerns_one_peer(&error) => {}
            Err(error) => {
                // Out of file descriptors or memory: the error stays until a connection ends, and
                // accept would return it at once, again and again.
                let wait = pause.next();
                tracing::warn!(%error, ?wait, "accept connection");
                let _ = stopping.run_until_cancelled(tokio::time::sleep(wait)).await;
            }
        }
    }
}

/// The wait after an accept error: 50 ms, doubling to a second.
#[derive(Debug, Default)]
struct AcceptBackoff(Option<Duration>);

impl AcceptBackoff {
    fn next(&mut self) -> Duration {
        let wait =
            self.0.map_or(Duration::from_millis(50), |last| (last * 2).min(Duration::from_secs(1)));
        self.0 = Some(wait);
        wait
    }
}
