//! The HTTPS port: `POST /mutate` and `POST /plaintext/…`, and the probes for clients that reach
//! only this port.
//!
//! It bounds what an unauthenticated client can use: the size and duration of a body, and the
//! number of large bodies at one time.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use http::{HeaderValue, Method, Request, Response, StatusCode, header};
use http_body_util::{BodyExt, Full};
use hyper::body::{Body, Incoming};
use injection::PlaintextMode;
use runtime::readiness::Readiness;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

use crate::callers::Callers;
use crate::metrics::{Metrics, RejectReason};
use crate::review::{HttpReply, MAX_BYTES, PlaintextRecord, ReviewRecord, plain_text};
use crate::state::WebhookState;

/// From the headers to the end of the body. The API server's timeout for the collected call is 5 s.
const BODY_TIMEOUT: Duration = Duration::from_secs(5);

/// Bodies of up to this many bytes need no permit. Nearly every review is smaller.
const MAX_SMALL_BODY: u64 = 64 << 10;

/// Larger bodies at one time. Each, with what is made of it, takes up to 32 MiB of the 128 MiB that
/// the container has.
const MAX_LARGE_BODIES: usize = 2;

/// How long a large body waits for its turn before it is read.
const TURN_TIMEOUT: Duration = Duration::from_secs(2);

/// How many bytes of a body that is too large are read and discarded.
const MAX_DISCARDED: usize = 32 << 20;

/// Answers requests.
#[derive(Debug)]
pub struct ReviewService {
    state: WebhookState,
    readiness: Readiness,
    metrics: Metrics,
    callers: Callers,
    large_bodies: Arc<Semaphore>,
}

/// What a path asks for. A registration's path says which mode it is: a review does not hold the
/// namespace's labels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Endpoint {
    Mutate,
    Plaintext(PlaintextMode),
}

impl Endpoint {
    fn at(path: &str) -> Option<Self> {
        match path {
            "/mutate" => Some(Self::Mutate),
            "/plaintext/warn" => Some(Self::Plaintext(PlaintextMode::Warn)),
            "/plaintext/deny" => Some(Self::Plaintext(PlaintextMode::Deny)),
            _ => None,
        }
    }
}

/// The answer to a review, and what to count and log of it.
enum Answered {
    Mutate(HttpReply),
    Plaintext(PlaintextMode, HttpReply, PlaintextRecord),
}

/// Why a body could not be read. The message is the response.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
enum BodyError {
    #[error(
        "read review: the body is over 3 MiB ({MAX_BYTES} bytes), more than any review of a pod"
    )]
    TooLarge,
    #[error("read review: the body did not arrive within {BODY_TIMEOUT:?}")]
    TooSlow,
    #[error("read review: too many large reviews at one time; try again")]
    Busy,
    #[error("read review: the connection was lost")]
    ConnectionLost,
}

impl BodyError {
    fn status(self) -> (StatusCode, RejectReason) {
        match self {
            Self::TooLarge => (StatusCode::PAYLOAD_TOO_LARGE, RejectReason::BodyTooLarge),
            Self::TooSlow => (StatusCode::REQUEST_TIMEOUT, RejectReason::BodyTimeout),
            Self::Busy => (StatusCode::SERVICE_UNAVAILABLE, RejectReason::TooManyLargeBodies),
            Self::ConnectionLost => (StatusCode::BAD_REQUEST, RejectReason::ConnectionLost),
        }
    }
}

impl ReviewService {
    /// A service that answers `callers` with `state`.
    #[must_use]
    pub fn new(
        state: WebhookState,
        readiness: Readiness,
        metrics: Metrics,
        callers: Callers,
    ) -> Arc<Self> {
        let large_bodies = Arc::new(Semaphore::new(MAX_LARGE_BODIES));
        Arc::new(Self { state, readiness, metrics, callers, large_bodies })
    }

    /// Answers one request.
    pub async fn answer(self: Arc<Self>, request: Request<Incoming>) -> Response<Full<Bytes>> {
        let endpoint = Endpoint::at(request.uri().path());
        let reply = match (request.uri().path(), request.method()) {
            (_, &Method::POST) if let Some(endpoint) = endpoint => {
                self.review(request, endpoint).await
            }
            _ if endpoint.is_some() => plain_text(StatusCode::METHOD_NOT_ALLOWED, &"only POST"),
            ("/healthz", &Method::GET | &Method::HEAD) => plain_text(StatusCode::OK, &"ok"),
            ("/readyz", &Method::GET | &Method::HEAD) => self.ready(),
            ("/healthz" | "/readyz", _) => plain_text(StatusCode::METHOD_NOT_ALLOWED, &"only GET"),
            _ => plain_text(
                StatusCode::NOT_FOUND,
                &"not found; reviews are answered at /mutate and /plaintext/{warn,deny}",
            ),
        };
        let HttpReply { status, content_type, body, record: _ } = reply;
        let mut response = Response::new(Full::new(Bytes::from(body)));
        *response.status_mut() = status;
        response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
        response
    }

    fn ready(&self) -> HttpReply {
        match self.readiness.pending().as_slice() {
            [] => plain_text(StatusCode::OK, &"ready"),
            pending => plain_text(
                StatusCode::SERVICE_UNAVAILABLE,
                &format_args!("waiting for: {}", pending.join(", ")),
            ),
        }
    }

    async fn review(&self, request: Request<Incoming>, endpoint: Endpoint) -> HttpReply {
        // Before the body is read: a stranger gets no memory.
        if let Err(error) = self.callers.check(&request) {
            self.metrics.record_rejected(RejectReason::UnknownCaller);
            // Anybody can make these, so they are counted and not logged.
            tracing::debug!(%error, "request rejected");
            return plain_text(StatusCode::FORBIDDEN, &error);
        }
        let read = timeout(BODY_TIMEOUT, self.body(request.into_body())).await;
        match read.unwrap_or(Err(BodyError::TooSlow)) {
            Ok((body, permit)) => {
                let start = Instant::now();
                let answered = self.decide(endpoint, body, permit).await;
                self.record(answered, start.elapsed())
            }
            Err(error) => {
                let (status, reason) = error.status();
                self.metrics.record_rejected(reason);
                tracing::warn!(%error, "request rejected");
                plain_text(status, &error)
            }
        }
    }

    fn record(&self, answered: Answered, elapsed: Duration) -> HttpReply {
        match answered {
            Answered::Mutate(reply) => {
                let ReviewRecord { outcome, warnings, .. } = reply.record;
                self.metrics.record_review(outcome, warnings, elapsed);
                log(&reply.record);
                reply
            }
            Answered::Plaintext(mode, reply, record) => {
                self.metrics.record_plaintext_review(mode, record.outcome);
                log_plaintext(mode, &record);
                reply
            }
        }
    }

    /// Decides on an object. A large one is decided on by another thread, so that other requests do
    /// not wait for it; its permit is held until the reply exists, because it is in memory that
    /// long.
    async fn decide(
        &self,
        endpoint: Endpoint,
        body: Bytes,
        permit: Option<OwnedSemaphorePermit>,
    ) -> Answered {
        let Some(permit) = permit else { return answer(&self.state, endpoint, &body) };
        let state = self.state.clone();
        let deciding = tokio::task::spawn_blocking(move || {
            let _permit = permit;
            answer(&state, endpoint, &body)
        });
        deciding.await.unwrap_or_else(|_| {
            let message = &"review pod: it was not completed";
            let reply = plain_text(StatusCode::INTERNAL_SERVER_ERROR, message);
            match endpoint {
                Endpoint::Mutate => Answered::Mutate(reply),
                Endpoint::Plaintext(mode) => {
                    Answered::Plaintext(mode, reply, PlaintextRecord::default())
                }
            }
        })
    }

    async fn body(
        &self,
        mut body: Incoming,
    ) -> Result<(Bytes, Option<OwnedSemaphorePermit>), BodyError> {
        let size = body.size_hint();
        if size.lower() > MAX_BYTES as u64 {
            return discard(body).await;
        }
        let permit = match size.upper() {
            Some(upper) if upper <= MAX_SMALL_BODY => None,
            _ => {
                let turn = timeout(TURN_TIMEOUT, Arc::clone(&self.large_bodies).acquire_owned());
                Some(turn.await.ok().and_then(Result::ok).ok_or(BodyError::Busy)?)
            }
        };
        let mut collected = BytesMut::new();
        while let Some(frame) = body.frame().await {
            let Ok(data) = frame.map_err(|_| BodyError::ConnectionLost)?.into_data() else {
                continue;
            };
            if collected.len() + data.len() > MAX_BYTES {
                return discard(body).await;
            }
            // Nearly every review arrives in one frame, which is not copied.
            if collected.is_empty() && body.is_end_stream() {
                return Ok((data, permit));
            }
            collected.extend_from_slice(&data);
        }
        Ok((collected.freeze(), permit))
    }
}

fn answer(state: &WebhookState, endpoint: Endpoint, body: &[u8]) -> Answered {
    match endpoint {
        Endpoint::Mutate => Answered::Mutate(state.respond(body)),
        Endpoint::Plaintext(mode) => {
            let (reply, record) = state.respond_plaintext(body, mode);
            Answered::Plaintext(mode, reply, record)
        }
    }
}

/// Reads and discards the rest of the body for a while. A client that is still writing when the
/// connection closes sees a reset instead of the response.
async fn discard<T>(mut body: Incoming) -> Result<T, BodyError> {
    let rest = async {
        let mut seen = 0;
        while let Some(Ok(frame)) = body.frame().await {
            seen += frame.data_ref().map_or(0, Bytes::len);
            if seen > MAX_DISCARDED {
                break;
            }
        }
    };
    let _ = timeout(BODY_TIMEOUT / 2, rest).await;
    Err(BodyError::TooLarge)
}

/// Logs one line per review, which holds names only.
fn log(record: &ReviewRecord) {
    let ReviewRecord { outcome, namespace, pod, service_account, bundles, warnings, dry_run } =
        record;
    tracing::info!(%outcome, namespace, pod, service_account, bundles, warnings, dry_run, "review");
}

fn log_plaintext(mode: PlaintextMode, record: &PlaintextRecord) {
    let PlaintextRecord { outcome, resource, namespace, name } = record;
    let (mode, outcome) = (mode.as_str(), outcome.as_str());
    tracing::info!(mode, outcome, namespace, resource, name, "plaintext review");
}
