//! One HTTP connection, from its first byte to its end or to the drain.
//!
//! ALPN chooses the protocol, not the first bytes: reading those would have no timeout.

use std::convert::Infallible;
use std::future::Future;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::time::Duration;

use http::header::CONNECTION;
use http::{HeaderValue, StatusCode};
use hyper::body::Incoming;
use hyper::server::conn::{http1, http2};
use hyper::service::Service;
use hyper::{Request, Response, Version};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_util::sync::CancellationToken;

use super::activity::Activity;
use super::guarded_io::GuardedIo;
use super::table::Slot;
use super::tracked_body::TrackedBody;
use super::{Handler, Limits, PeerAddr, PeerCertificates};
use crate::tasks::Tasks;

/// How often an idle HTTP/2 connection is pinged, so that a peer that has vanished gives its slot
/// back.
const PING_INTERVAL: Duration = Duration::from_secs(30);
const PING_TIMEOUT: Duration = Duration::from_secs(20);

/// Concurrent requests on one HTTP/2 connection.
const MAX_STREAMS: u32 = 256;

/// What a peer may send on one HTTP/2 stream, and on all streams of a connection, before a handler
/// reads it, in bytes.
const STREAM_WINDOW: u32 = 64 << 10;
const CONNECTION_WINDOW: u32 = 256 << 10;

/// How long a connection that is closed for its silence has for its last bytes.
const FAREWELL_TIMEOUT: Duration = Duration::from_secs(1);

/// The peer, the limits, the place and the task owner of one connection.
pub(super) struct ConnectionContext {
    pub(super) peer: PeerAddr,
    pub(super) certificates: Option<PeerCertificates>,
    pub(super) limits: Limits,
    pub(super) tasks: Tasks,
    pub(super) slot: Slot,
}

impl ConnectionContext {
    fn io<I>(&self, io: I) -> TokioIo<GuardedIo<I>> {
        let activity = Arc::clone(&self.slot.activity);
        TokioIo::new(GuardedIo::new(io, activity, self.limits.write_timeout))
    }
}

pub(super) async fn http1<I, H>(io: I, context: ConnectionContext, handler: H)
where
    I: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    H: Handler,
{
    let service = ConnectionService::new(handler, &context);
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        // hyper starts this timer after the previous response, so it cannot tell a header that
        // takes too long from an idle connection. The connection's activity can.
        .header_read_timeout(None::<Duration>)
        .max_buf_size(context.limits.max_header_bytes)
        .serve_connection(context.io(io), service)
        .with_upgrades();
    // A request may be on its way: it is answered, and the answer closes the connection.
    drive(connection, |open| open.graceful_shutdown(), &context, super::LAST_MOMENT).await;
}

pub(super) async fn http2<I, H>(io: I, context: ConnectionContext, handler: H)
where
    I: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    H: Handler,
{
    let service = ConnectionService::new(handler, &context);
    let header_bytes = u32::try_from(context.limits.max_header_bytes).unwrap_or(u32::MAX);
    let connection = http2::Builder::new(context.tasks.clone())
        .timer(TokioTimer::new())
        .keep_alive_interval(PING_INTERVAL)
        .keep_alive_timeout(PING_TIMEOUT)
        .max_concurrent_streams(MAX_STREAMS)
        .max_header_list_size(header_bytes)
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .serve_connection(context.io(io), service);
    // GOAWAY says which requests were not seen, so there is nothing to wait for.
    drive(connection, |open| open.graceful_shutdown(), &context, Duration::ZERO).await;
}

type Answer<H> = Result<Response<TrackedBody<<H as Handler>::Body>>, Infallible>;

/// An answer that is being made.
type AnswerFuture<H> = Pin<Box<dyn Future<Output = Answer<H>> + Send>>;

/// The service that hyper calls: notes that a request came and adds the peer to it.
struct ConnectionService<H> {
    handler: H,
    peer: PeerAddr,
    certificates: Option<PeerCertificates>,
    activity: Arc<Activity>,
    leaving: CancellationToken,
}

impl<H> ConnectionService<H> {
    fn new(handler: H, context: &ConnectionContext) -> Self {
        Self {
            handler,
            peer: context.peer,
            certificates: context.certificates.clone(),
            activity: Arc::clone(&context.slot.activity),
            leaving: context.tasks.leaving(),
        }
    }
}

impl<H: Handler> Service<Request<Incoming>> for ConnectionService<H> {
    type Response = Response<TrackedBody<H::Body>>;
    type Error = Infallible;
    type Future = AnswerFuture<H>;

    fn call(&self, mut request: Request<Incoming>) -> Self::Future {
        let busy = self.activity.begin();
        request.extensions_mut().insert(self.peer);
        if let Some(certificates) = &self.certificates {
            request.extensions_mut().insert(certificates.clone());
        }
        // HTTP/2 has no such header, and tells its clients by itself.
        let leaving = (request.version() <= Version::HTTP_11).then(|| self.leaving.clone());
        let answer = self.handler.answer(request);
        Box::pin(async move {
            let mut answer = answer.await;
            let is_final = answer.status() != StatusCode::SWITCHING_PROTOCOLS;
            if is_final && leaving.is_some_and(|leaving| leaving.is_cancelled()) {
                answer.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
            }
            Ok(answer.map(|body| TrackedBody::new(body, busy)))
        })
    }
}

/// Runs a connection to its end. Once the drain has begun, it goes on for `last_moment`, or until
/// nothing is in flight.
async fn drive<C, G>(connection: C, finish: G, context: &ConnectionContext, last_moment: Duration)
where
    C: Future<Output = hyper::Result<()>>,
    G: FnOnce(Pin<&mut C>),
{
    let peer = context.peer.0;
    let stopping = context.tasks.stopping();
    let Slot { activity, evicted, .. } = &context.slot;
    let mut connection = pin!(connection);
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        reason = activity.overdue(&context.limits) => {
            tracing::debug!(%peer, reason, "connection closed");
            finish(connection.as_mut());
            tokio::time::timeout(FAREWELL_TIMEOUT, connection).await.unwrap_or(Ok(()))
        }
        () = evicted.cancelled() => {
            tracing::debug!(%peer, reason = "another one needs its place", "connection closed");
            return;
        }
        () = stopping.cancelled() => {
            match tokio::time::timeout(last_moment, connection.as_mut()).await {
                Ok(ended) => ended,
                Err(_) => {
                    finish(connection.as_mut());
                    connection.await
                }
            }
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%peer, %error, "connection");
    }
}
