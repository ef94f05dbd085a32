//! The admin port, separate from the serving port: `/metrics`, `/healthz`, `/readyz`.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderValue, Method, StatusCode, header};
use http_body_util::Full;
use hyper::Response;
use prometheus_client::encoding::text::encode;
use prometheus_client::registry::Registry;
use tokio::net::TcpListener;

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

/// Serves the admin port in plain text until the drain begins.
///
/// `/healthz` is 200 while the process answers. `/readyz` is 200, or 503 with the names of the
/// closed gates, one per line.
pub async fn serve(
    listener: TcpListener,
    registry: Arc<Registry>,
    readiness: Readiness,
    tasks: Tasks,
) {
    let limits = Limits {
        first_request_timeout: HEADER_TIMEOUT,
        header_timeout: HEADER_TIMEOUT,
        idle_timeout: IDLE_TIMEOUT,
        max_header_bytes: MAX_HEADER_BYTES,
        ..Limits::with_connections(MAX_CONNECTIONS)
    };
    let handler = move |request: hyper::Request<hyper::body::Incoming>| {
        let response = answer(request.method(), request.uri().path(), &registry, &readiness);
        std::future::ready(response)
    };
    serve_plain(listener, limits, handler, tasks).await;
}

/// Answers one request of the admin port.
fn answer(
    method: &Method,
    path: &str,
    registry: &Registry,
    readiness: &Readiness,
) -> Response<Full<Bytes>> {
    if method != Method::GET && method != Method::HEAD {
        return page(StatusCode::METHOD_NOT_ALLOWED, TEXT, "only GET\n".to_owned());
    }
    match path {
        "/metrics" => metrics(registry),
        "/healthz" => page(StatusCode::OK, TEXT, "ok\n".to_owned()),
        "/readyz" => match readiness.pending() {
            pending if pending.is_empty() => page(StatusCode::OK, TEXT, "ready\n".to_owned()),
            pending => {
                let lines = pending.iter().map(|name| format!("waiting for: {name}\n"));
                page(StatusCode::SERVICE_UNAVAILABLE, TEXT, lines.collect())
            }
        },
        _ => page(StatusCode::NOT_FOUND, TEXT, "not found\n".to_owned()),
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

    async fn get(path: &str, registry: &Registry, readiness: &Readiness) -> (u16, String) {
        read(answer(&Method::GET, path, registry, readiness)).await
    }

    #[tokio::test]
    async fn readyz_names_what_is_missing() {
        let (registry, readiness) = (Registry::default(), Readiness::new());
        let certificate = readiness.gate("certificate");
        readiness.gate("bundles");
        let (status, text) = get("/readyz", &registry, &readiness).await;
        assert_eq!(status, 503);
        assert_eq!(text, "waiting for: certificate\nwaiting for: bundles\n");
        certificate.ready();
        readiness.gate("bundles").ready();
        let answer = get("/readyz", &registry, &readiness).await;
        assert_eq!(answer, (200, "ready\n".to_owned()));
    }

    #[tokio::test]
    async fn healthz_does_not_wait() {
        let readiness = Readiness::new();
        readiness.gate("never");
        let (status, _) = get("/healthz", &Registry::default(), &readiness).await;
        assert_eq!(status, 200);
    }

    #[tokio::test]
    async fn metrics_are_open_metrics() {
        let mut registry = Registry::default();
        let reviews = Counter::<u64>::default();
        registry.register("reviews", "Reviews answered", reviews.clone());
        reviews.inc();
        let (status, text) = get("/metrics", &registry, &Readiness::new()).await;
        assert_eq!(status, 200);
        assert!(text.contains("reviews_total 1\n") && text.ends_with("# EOF\n"), "{text}");
    }

    #[tokio::test]
    async fn everything_else_is_refused() {
        let (registry, readiness) = (Registry::default(), Readiness::new());
        assert_eq!(get("/debug", &registry, &readiness).await.0, 404);
        let post = answer(&Method::POST, "/metrics", &registry, &readiness);
        assert_eq!(read(post).await.0, 405);
    }
}
