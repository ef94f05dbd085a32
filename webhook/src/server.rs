//! The HTTPS port: `POST /mutate`, and the probes for whoever can reach only this port.
//!
//! What a stranger can hold is bounded here too: a body in size and time, and large bodies in
//! number.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use http::{HeaderValue, Method, Request, Response, StatusCode, header};
use http_body_util::{BodyExt, Full};
use hyper::body::{Body, Incoming};
use runtime::readiness::Readiness;
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::timeout;

use crate::metrics::{Metrics, TurnedAway};
use crate::review::{Answer, MAX_BYTES, Record, plain};
use crate::world::Known;

/// From the header to the end of the body. The API server gives the whole call five seconds.
const BODY_DEADLINE: Duration = Duration::from_secs(5);

/// Bodies up to this size need no permit: nearly every review is smaller.
const SMALL: u64 = 64 << 10;

/// Larger bodies at one time: 24 MiB at most.
const LARGE_AT_ONCE: usize = 8;

/// The most of a body that is too large that is read to be forgotten.
const DISCARDED: usize = 32 << 20;

/// What answers requests.
#[derive(Debug)]
pub struct Service {
    known: Known,
    readiness: Readiness,
    metrics: Metrics,
    large: Semaphore,
}

/// Why there is no body to review. The text is the answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
enum BodyError {
    #[error(
        "read review: the body is over 3 MiB ({MAX_BYTES} bytes), more than any review of a pod"
    )]
    TooLarge,
    #[error("read review: the body did not come within {BODY_DEADLINE:?}")]
    TooSlow,
    #[error("read review: too many large reviews at one time; try again")]
    Busy,
    #[error("read review: the connection broke")]
    Broken,
}

impl BodyError {
    fn answer(self) -> (StatusCode, TurnedAway) {
        match self {
            Self::TooLarge => (StatusCode::PAYLOAD_TOO_LARGE, TurnedAway::TooLarge),
            Self::TooSlow => (StatusCode::REQUEST_TIMEOUT, TurnedAway::TooSlow),
            Self::Busy => (StatusCode::SERVICE_UNAVAILABLE, TurnedAway::Busy),
            Self::Broken => (StatusCode::BAD_REQUEST, TurnedAway::Broken),
        }
    }
}

impl Service {
    /// Answers with what is `known`.
    #[must_use]
    pub fn new(known: Known, readiness: Readiness, metrics: Metrics) -> Arc<Self> {
        Arc::new(Self { known, readiness, metrics, large: Semaphore::new(LARGE_AT_ONCE) })
    }

    /// Answers one request.
    pub async fn answer(self: Arc<Self>, request: Request<Incoming>) -> Response<Full<Bytes>> {
        let answer = match (request.uri().path(), request.method()) {
            ("/mutate", &Method::POST) => self.mutate(request).await,
            ("/mutate", _) => plain(StatusCode::METHOD_NOT_ALLOWED, &"only POST"),
            ("/healthz", &Method::GET | &Method::HEAD) => plain(StatusCode::OK, &"ok"),
            ("/readyz", &Method::GET | &Method::HEAD) => self.ready(),
            ("/healthz" | "/readyz", _) => plain(StatusCode::METHOD_NOT_ALLOWED, &"only GET"),
            _ => plain(StatusCode::NOT_FOUND, &"not found; reviews are answered at /mutate"),
        };
        let Answer { status, content_type, body, record: _ } = answer;
        let mut response = Response::new(Full::new(Bytes::from(body)));
        *response.status_mut() = status;
        response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
        response
    }

    fn ready(&self) -> Answer {
        match self.readiness.pending().as_slice() {
            [] => plain(StatusCode::OK, &"ready"),
            pending => plain(
                StatusCode::SERVICE_UNAVAILABLE,
                &format_args!("waiting for: {}", pending.join(", ")),
            ),
        }
    }

    async fn mutate(&self, request: Request<Incoming>) -> Answer {
        // Held until the answer is made: the body is in memory for as long.
        let read = timeout(BODY_DEADLINE, self.body(request.into_body())).await;
        match read.unwrap_or(Err(BodyError::TooSlow)) {
            Ok((body, _permit)) => {
                let start = Instant::now();
                let answer = self.known.respond(&body);
                self.metrics.reviewed(
                    answer.record.outcome,
                    answer.record.warnings,
                    start.elapsed(),
                );
                log(&answer.record);
                answer
            }
            Err(error) => {
                let (status, reason) = error.answer();
                self.metrics.turned_away(reason);
                tracing::warn!(%error, "review turned away");
                plain(status, &error)
            }
        }
    }

    async fn body(
        &self,
        mut body: Incoming,
    ) -> Result<(Bytes, Option<SemaphorePermit<'_>>), BodyError> {
        let size = body.size_hint();
        if size.lower() > MAX_BYTES as u64 {
            return discard(body).await;
        }
        let permit = match size.upper() {
            Some(upper) if upper <= SMALL => None,
            _ => Some(self.large.try_acquire().map_err(|_| BodyError::Busy)?),
        };
        let mut whole = BytesMut::new();
        while let Some(frame) = body.frame().await {
            let Ok(data) = frame.map_err(|_| BodyError::Broken)?.into_data() else { continue };
            if whole.len() + data.len() > MAX_BYTES {
                return discard(body).await;
            }
            // Nearly every review comes in one piece, which is then taken as it is.
            if whole.is_empty() && body.is_end_stream() {
                return Ok((data, permit));
            }
            whole.extend_from_slice(&data);
        }
        Ok((whole.freeze(), permit))
    }
}

/// Reads on and forgets what it reads, for a while: a client that is still writing when the
/// connection is closed sees a reset and not the answer.
async fn discard<T>(mut body: Incoming) -> Result<T, BodyError> {
    let rest = async {
        let mut seen = 0;
        while let Some(Ok(frame)) = body.frame().await {
            seen += frame.data_ref().map_or(0, Bytes::len);
            if seen > DISCARDED {
                break;
            }
        }
    };
    let _ = timeout(BODY_DEADLINE / 2, rest).await;
    Err(BodyError::TooLarge)
}

/// One line per decision, of names alone.
fn log(record: &Record) {
    let Record { outcome, namespace, pod, service_account, bundles, warnings, dry_run } = record;
    tracing::info!(%outcome, namespace, pod, service_account, bundles, warnings, dry_run, "review");
}
