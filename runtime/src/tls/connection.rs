//! One HTTP connection, from its first byte to its end or to the drain.
//!
//! ALPN chooses the protocol, not the first bytes: reading those would have no timeout.

use std::convert::Infallible;
use std::future::{Future, pending};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::Map;
use hyper::body::Incoming;
use hyper::server::conn::{http1, http2};
use hyper::service::Service;
use hyper::{Request, Response};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};

use super::{Handler, Limits, PeerAddr, PeerCertificates};
use crate::tasks::Tasks;

/// How often an idle HTTP/2 connection is pinged, so that a peer that has vanished gives its slot
/// back.
const PING_INTERVAL: Duration = Duration::from_secs(30);
const PING_TIMEOUT: Duration = Duration::from_secs(20);

/// Concurrent requests on one HTTP/2 connection.
const MAX_STREAMS: u32 = 256;

/// The peer, the limits and the task owner of one connection.
pub(super) struct ConnectionContext {
    pub(super) peer: PeerAddr,
    pub(super) certificates: Option<PeerCertificates>,
    pub(super) limits: Limits,
    pub(super) tasks: Tasks,
}

pub(super) async fn http1<I, H>(io: I, context: ConnectionContext, handler: H)
where
    I: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    H: Handler,
{
    let seen = Arc::new(AtomicBool::new(false));
    let service = ConnectionService::new(handler, &context, &seen);
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        // hyper starts this timer after the previous response, so it bounds idleness as well.
        .header_read_timeout(context.limits.idle_timeout)
        .serve_connection(TokioIo::new(io), service)
        .with_upgrades();
    drive(connection, |open| open.graceful_shutdown(), &context, &seen).await;
}

pub(super) async fn http2<I, H>(io: I, context: ConnectionContext, handler: H)
where
    I: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    H: Handler,
{
    let seen = Arc::new(AtomicBool::new(false));
    let service = ConnectionService::new(handler, &context, &seen);
    let connection = http2::Builder::new(context.tasks.clone())
        .timer(TokioTimer::new())
        .keep_alive_interval(PING_INTERVAL)
        .keep_alive_timeout(PING_TIMEOUT)
        .max_concurrent_streams(MAX_STREAMS)
        .serve_connection(TokioIo::new(io), service);
    drive(connection, |open| open.graceful_shutdown(), &context, &seen).await;
}

/// The service that hyper calls: notes that a request came and adds the peer to it.
struct ConnectionService<H> {
    handler: H,
    peer: PeerAddr,
    certificates: Option<PeerCertificates>,
    seen: Arc<AtomicBool>,
}

impl<H> ConnectionService<H> {
    fn new(handler: H, context: &ConnectionContext, seen: &Arc<AtomicBool>) -> Self {
        Self {
            handler,
            peer: context.peer,
            certificates: context.certificates.clone(),
            seen: Arc::clone(seen),
        }
    }
}

impl<H: Handler> Service<Request<Incoming>> for ConnectionService<H> {
    type Response = Response<H::Body>;
    type Error = Infallible;
    type Future = Map<H::Future, fn(Self::Response) -> Result<Self::Response, Infallible>>;

    fn call(&self, mut request: Request<Incoming>) -> Self::Future {
        self.seen.store(true, Ordering::Relaxed);
        request.extensions_mut().insert(self.peer);
        if let Some(certificates) = &self.certificates {
            request.extensions_mut().insert(certificates.clone());
        }
        self.handler.answer(request).map(Ok)
    }
}

async fn drive<C, G>(connection: C, finish: G, context: &ConnectionContext, seen: &AtomicBool)
where
    C: Future<Output = hyper::Result<()>>,
    G: FnOnce(Pin<&mut C>),
{
    let peer = context.peer.0;
    let stopping = context.tasks.stopping();
    let mut connection = pin!(connection);
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = silence(seen, context.limits.first_request_timeout) => {
            tracing::debug!(%peer, "no request in time");
            return;
        }
        () = stopping.cancelled() => {
            finish(connection.as_mut());
            connection.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%peer, %error, "connection");
    }
}

/// Returns when no request has come in time, and never otherwise.
async fn silence(seen: &AtomicBool, limit: Duration) {
    tokio::time::sleep(limit).await;
    if seen.load(Ordering::Relaxed) {
        pending::<()>().await;
    }
}
