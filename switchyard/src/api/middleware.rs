//! Gives every request a trace id, an origin and a deadline, and turns every error into a problem
//! document.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use http::header::{ALLOW, CACHE_CONTROL, EXPECT, USER_AGENT};
use http::{HeaderName, HeaderValue, StatusCode};
use runtime::address::AddressGroup;
use runtime::tls::PeerAddr;
use uuid::Uuid;

use super::drain::SharedBody;
use crate::app::{ApiError, AppState, RequestBudget};
use crate::audit::{Origin, sanitize};

/// Far longer than any path of the API with its query.
const MAX_URI_BYTES: usize = 8 << 10;

/// From the head of a request to the head of its response: longer than a body and the store's own
/// retries take together. A request that waits longer waits for a disk or a database that hangs.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(60);

const TRACE_ID: HeaderName = HeaderName::from_static("trace-id");

pub(super) async fn handle(
    State(app): State<Arc<AppState>>,
    mut request: Request,
    next: Next,
) -> Response {
    let trace = Uuid::new_v4().simple().to_string();
    let origin = Origin {
        // A dual-stack socket reports an IPv4 client as ::ffff:a.b.c.d.
        address: request.extensions().get::<PeerAddr>().map(|peer| peer.0.ip().to_canonical()),
        user_agent: request
            .headers()
            .get(USER_AGENT)
            .map(|agent| sanitize(&String::from_utf8_lossy(agent.as_bytes()))),
        trace_id: Some(trace.clone()),
    };
    let (method, path) = (request.method().clone(), sanitize(request.uri().path()));
    let address = origin.address.map(AddressGroup::of);
    let address = address.map_or_else(String::new, |address| address.to_string());
    let budget = RequestBudget::new(app.bytes.clone(), address);
    request.extensions_mut().insert(origin);
    request.extensions_mut().insert(budget.clone());
    // A client that expects 100-continue has sent no body that must be read off the connection.
    let expects_continue = request.headers().contains_key(EXPECT);
    let (head, body) = request.into_parts();
    let (body, unread) = SharedBody::split(body);
    let response = budget.hold(respond(Request::from_parts(head, body), next).await).await;
    let status = response.status();
    tracing::debug!(trace, %method, path, status = status.as_u16(), "request");
    let mut response = if status.is_client_error() || status.is_server_error() {
        if !expects_continue {
            unread.drain().await;
        }
        problem(response, &trace)
    } else {
        response
    };
    if let Ok(value) = HeaderValue::from_str(&trace) {
        response.headers_mut().insert(TRACE_ID, value);
    }
    // No response of this API may be kept by a cache.
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

async fn respond(request: Request, next: Next) -> Response {
    if request.uri().path_and_query().map_or(0, |it| it.as_str().len()) > MAX_URI_BYTES {
        let detail = format!("the path and the query are longer than {MAX_URI_BYTES} bytes");
        return ApiError::uri_too_long(detail).into_response();
    }
    match tokio::time::timeout(REQUEST_TIMEOUT, next.run(request)).await {
        Ok(response) => response,
        Err(_) => ApiError::unavailable(format!(
            "the request did not finish within {REQUEST_TIMEOUT:?}; read the secret or its \
             versions to see whether a change was made"
        ))
        .into_response(),
    }
}

fn problem(mut response: Response, trace: &str) -> Response {
    let status = response.status();
    let error = response
        .extensions_mut()
        .remove::<ApiError>()
        .unwrap_or_else(|| ApiError::from_status(status));
    // Unauthenticated clients must not be able to fill the log.
    if error.status() != StatusCode::UNAUTHORIZED {
        tracing::info!(
            trace,
            status = error.status().as_u16(),
            reason = sanitize(error.detail()),
            "request refused"
        );
    }
    let mut problem = error.into_problem(trace);
    // Which methods a path has.
    if let Some(allow) = response.headers_mut().remove(ALLOW) {
        problem.headers_mut().insert(ALLOW, allow);
    }
    problem
}
