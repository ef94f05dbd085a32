//! The admin port, separate from the serving port: `/metrics`, `/healthz`, `/readyz`.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderValue, Method, StatusCode, header};
use http_body_util::Full;
use hyper::Response;
use prometheus_client::encoding::text::encode;
use prometheus_client::registry::Registry;
use tokio::net::TcpListener;
use tokio::sync::oneshot;

use crate::heartbeat::Heartbeat;
use crate::readiness::Readiness;
use crate::tasks::Tasks;
use crate::tls::{Limits, serve_plain};

const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
const TEXT: &str = "text/plain; charset=utf-8";

/// Enough for the probes and some scrapers. Idle ones make room.
const MAX_CONNECTIONS: usize = 256;

/// How long a scraper may keep a connection for its next scrape.
const IDLE_TIMEOUT: Duration = Duration::from_secs(60);

/// How long a probe or a scraper may take to ask.
const HEADER_TIMEOUT: Duration = Duration::from_secs(5);

/// Far more than a probe or a scraper sends, in bytes.
const MAX_HEADER_BYTES: usize = 8 << 10;

/// How long an answer under way may take once the drain has begun.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(2);

/// Serves the admin port on a thread of its own, so that a probe is answered however busy the
/// process is.
///
/// # Errors
/// If the thread cannot be started.
pub fn start(
    listener: TcpListener,
    registry: Registry,
    readiness: &Readiness,
    tasks: &Tasks,
) -> io::Result<()> {
    let listener = listener.into_std()?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let (heartbeat, readiness) = (Heartbeat::start(tasks), readiness.clone());
    let stopping = tasks.stopping();
    let (running, ended) = oneshot::channel::<()>();
    std::thread::Builder::new().name("admin".to_owned()).spawn(move || {
        let _running = running;
        runtime.block_on(async move {
            let listener = match TcpListener::from_std(listener) {
                Ok(listener) => listener,
                Err(error) => return tracing::error!(%error, "open the admin port"),
            };
            // Its connections belong to this thread.
            let own = Tasks::new();
            let state = AdminState { registry, readiness, heartbeat };
            own.spawn("admin", serve(listener, state, own.clone()));
            stopping.cancelled().await;
            let _ = own.drain(DRAIN_TIMEOUT).await;
        });
    })?;
    tasks.spawn_vital("admin", async move {
        // The sender is dropped at the end, never used.
        let _ = ended.await;
    });
    Ok(())
}

/// What the admin port shows.
#[derive(Debug)]
struct AdminState {
    registry: Registry,
    readiness: Readiness,
    heartbeat: Heartbeat,
}

/// Serves the admin port in plain text until the drain begins.
///
/// `/healthz` is 200 while the process makes progress. `/readyz` is 200, or 503 with the names of
/// the closed gates, one per line.
async fn serve(listener: TcpListener, state: AdminState, tasks: Tasks) {
    let state = Arc::new(state);
    let limits = Limits {
        first_request_timeout: HEADER_TIMEOUT,
        header_timeout: HEADER_TIMEOUT,
        idle_timeout: IDLE_TIMEOUT,
        max_header_bytes: MAX_HEADER_BYTES,
        ..Limits::with_connections(MAX_CONNECTIONS)
    };
    let handler = move |request: hyper::Request<hyper::body::Incoming>| {
        std::future::ready(state.answer(request.method(), request.uri().path()))
    };
    serve_plain(listener, limits, handler, tasks).await;
}

impl AdminState {
    /// Answers one request.
    fn answer(&self, method: &Method, path: &str) -> Response<Full<Bytes>> {
        if method != Method::GET && method != Method::HEAD {
            return page(StatusCode::METHOD_NOT_ALLOWED, TEXT, "only GET\n".to_owned());
        }
        match path {
            "/metrics" => metrics(&self.registry),
            "/healthz" if self.heartbeat.is_stuck() => {
                let text = "the process makes no progress\n".to_owned();
                page(StatusCode::SERVICE_UNAVAILABLE, TEXT, text)
            }
            "/healthz" => page(StatusCode::OK, TEXT, "ok\n".to_owned()),
            "/readyz" => match self.readiness.pending() {
                pending if pending.is_empty() => {
                    let notes = self.readiness.notes();
                    let notes = notes.iter().map(|note| format!("note: {note}\n"));
                    let lines = std::iter::once("ready\n".to_owned()).chain(notes);
                    page(StatusCode::OK, TEXT, lines.collect())
                }
                pending => {
                    let lines = pending.iter().map(|name| format!("waiting for: {name}\n"));
                    page(StatusCode::SERVICE_UNAVAILABLE, TEXT, lines.collect())
                }
            },
            _ => page(StatusCode::NOT_FOUND, TEXT, "not found\n".to_owned()),
        }
    }
}

fn metrics(registry: &Registry) -> Response<Full<Bytes>> {
    let mut text = String::new();
    match encode(&mut text, registry) {
        Ok(()) => page(StatusCode::OK, OPEN_METRICS, text),
        Err(error) => {
            tracing::error!(%error, "encode metrics");
            let sorry = "metrics cannot be encoded\n".to_owned();
            page(StatusCode::INTERNAL_SERVER_ERROR, TEXT, sorry)
        }
    }
}

fn page(status: StatusCode, kind: &'static str, text: String) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from(text)));
    *response.status_mut() = status;
    let kind = HeaderValue::from_static(kind);
    response.headers_mut().insert(header::CONTENT_TYPE, kind);
    response
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt;
    use prometheus_client::metrics::counter::Counter;

    use super::*;

    async fn read(response: Response<Full<Bytes>>) -> (u16, String) {
        let status = response.status().as_u16();
        let bytes = response.into_body().collect().await.unwrap().to_bytes();
        (status, String::from_utf8(bytes.to_vec()).unwrap())
    }

    fn state(registry: Registry, readiness: &Readiness) -> AdminState {
        let heartbeat = Heartbeat::of_age(Duration::ZERO);
        AdminState { registry, readiness: readiness.clone(), heartbeat }
    }

    async fn get(path: &str, state: &AdminState) -> (u16, String) {
        read(state.answer(&Method::GET, path)).await
    }

    #[tokio::test]
    async fn readyz_names_what_is_missing() {
        let readiness = Readiness::new();
        let state = state(Registry::default(), &readiness);
        let certificate = readiness.gate("certificate");
        readiness.gate("bundles");
        let (status, text) = get("/readyz", &state).await;
        assert_eq!(status, 503);
        assert_eq!(text, "waiting for: certificate\nwaiting for: bundles\n");
        certificate.ready();
        readiness.gate("bundles").ready();
        let answer = get("/readyz", &state).await;
        assert_eq!(answer, (200, "ready\n".to_owned()));
    }

    #[tokio::test]
    async fn healthz_does_not_wait() {
        let readiness = Readiness::new();
        readiness.gate("never");
        let mut state = state(Registry::default(), &readiness);
        assert_eq!(get("/healthz", &state).await.0, 200);
        // Unless nothing moves any more.
        state.heartbeat = Heartbeat::of_age(Duration::from_secs(60));
        assert_eq!(get("/healthz", &state).await.0, 503);
    }

    #[tokio::test]
    async fn metrics_are_open_metrics() {
        let mut registry = Registry::default();
        let reviews = Counter::<u64>::default();
        registry.register("reviews", "Reviews answered", reviews.clone());
        reviews.inc();
        let (status, text) = get("/metrics", &state(registry, &Readiness::new())).await;
        assert_eq!(status, 200);
        assert!(text.contains("reviews_total 1\n") && text.ends_with("# EOF\n"), "{text}");
    }

    #[tokio::test]
    async fn everything_else_is_refused() {
        let state = state(Registry::default(), &Readiness::new());
        assert_eq!(get("/debug", &state).await.0, 404);
        let post = state.answer(&Method::POST, "/metrics");
        assert_eq!(read(post).await.0, 405);
    }
}
