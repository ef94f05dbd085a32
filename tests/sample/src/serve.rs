//! The application's HTTP server.

use std::convert::Infallible;
use std::future::Future;
use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode, header};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::state::{Application, ReloadTrigger};

/// The answer of a handler.
pub type Answer = Response<Full<Bytes>>;

const HEADER_TIMEOUT: Duration = Duration::from_secs(30);

// Without free file descriptors, accept fails immediately every time.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Serves until `shutdown` completes, then finishes the requests in progress.
pub async fn serve<F>(listener: TcpListener, shutdown: impl Future<Output = ()>, handler: F)
where
    F: Fn(&Request<Incoming>) -> Answer + Clone + Send + Sync + 'static,
{
    let (connections, closing) = (TaskTracker::new(), CancellationToken::new());
    let mut shutdown = pin!(shutdown);
    loop {
        tokio::select! {
            () = &mut shutdown => break,
            accepted = listener.accept() => match accepted {
                Ok((tcp, _)) => {
                    connections.spawn(connection(tcp, handler.clone(), closing.clone()));
                }
                Err(_) => tokio::time::sleep(ACCEPT_PAUSE).await,
            }
        }
    }
    drop(listener);
    closing.cancel();
    connections.close();
    connections.wait().await;
}

async fn connection<F>(tcp: TcpStream, handler: F, closing: CancellationToken)
where
    F: Fn(&Request<Incoming>) -> Answer,
{
    let _ = tcp.set_nodelay(true);
    let service = service_fn(|request: Request<Incoming>| {
        let answer = handler(&request);
        async move { Ok::<_, Infallible>(answer) }
    });
    let builder = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADER_TIMEOUT)
        .serve_connection(TokioIo::new(tcp), service);
    let mut connection = pin!(builder);
    // The client notices errors of a connection.
    tokio::select! {
        _ = connection.as_mut() => {}
        () = closing.cancelled() => {
            connection.as_mut().graceful_shutdown();
            let _ = connection.await;
        }
    }
}

/// The application's routes.
#[must_use]
pub fn answer(application: &Arc<Application>, request: &Request<Incoming>) -> Answer {
    match (request.method(), request.uri().path()) {
        (&Method::GET, "/") if application.is_complete() => text(StatusCode::OK, "work done\n"),
        (&Method::GET, "/") => text(StatusCode::SERVICE_UNAVAILABLE, "a secret is missing\n"),
        (&Method::GET, "/healthz") => text(StatusCode::OK, "ok\n"),
        (&Method::GET, "/state") => json(&application.state()),
        (&Method::POST, "/-/reload") => match application.reload(ReloadTrigger::Http) {
            Ok(()) => text(StatusCode::NO_CONTENT, ""),
            Err(error) => text(StatusCode::INTERNAL_SERVER_ERROR, &format!("{error}\n")),
        },
        (_, "/" | "/healthz" | "/state" | "/-/reload") => {
            text(StatusCode::METHOD_NOT_ALLOWED, "method not allowed\n")
        }
        _ => text(StatusCode::NOT_FOUND, "not found\n"),
    }
}

/// A text answer.
#[must_use]
pub fn text(status: StatusCode, text: &str) -> Answer {
    let mut answer = Response::new(Full::new(Bytes::copy_from_slice(text.as_bytes())));
    *answer.status_mut() = status;
    answer
}

/// A JSON answer.
#[must_use]
pub fn json(value: &impl serde::Serialize) -> Answer {
    let Ok(body) = serde_json::to_vec(value) else {
        return text(StatusCode::INTERNAL_SERVER_ERROR, "encode answer\n");
    };
    let mut answer = Response::new(Full::new(Bytes::from(body)));
    answer
        .headers_mut()
        .insert(header::CONTENT_TYPE, header::HeaderValue::from_static("application/json"));
    answer
}

/// Listens on an address.
///
/// # Errors
/// When the address is not available.
pub async fn listen(address: std::net::SocketAddr) -> io::Result<TcpListener> {
    TcpListener::bind(address).await
}
