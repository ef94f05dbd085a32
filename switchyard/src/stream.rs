//! The agents' streams.
//!
//! A request is authenticated, authorized for every bundle that it names, and upgraded. From then
//! on one task serves the pod until either side ends the stream. Expensive work is shared: the
//! message with a generation is built once for all pods that wait for it, and wiped after the last
//! one.

mod connection;
mod credential;
mod deliver;
mod framed_io;
mod holdings;
mod login;
mod report_effects;
mod reports;
mod requests;
mod reviews;
mod stream_end;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use contract::BundleRef;
use contract::stream::PROTOCOL;
use http::header::{CONNECTION, UPGRADE};
use http::{HeaderValue, StatusCode};
use hyper_util::rt::TokioIo;

use crate::app::{ApiError, AppState, NoSlot, StreamSlot, Unauthenticated};
use crate::metrics::{Operation, OperationOutcome};
use crate::secrets::Caller;
use connection::Connection;
use login::AdmittedPod;

/// From the response until the upgraded connection is available.
const UPGRADE_TIMEOUT: Duration = Duration::from_secs(10);

/// `GET /v1/agent/stream`.
pub(crate) async fn open(
    State(app): State<Arc<AppState>>,
    unauthenticated: Unauthenticated,
    mut request: Request,
) -> Response {
    let names = login::parse_bundles(request.uri().query());
    let upgrade = asks_for_upgrade(&request).then(|| hyper::upgrade::on(&mut request));
    let admitted = admit(&app, unauthenticated, names, upgrade.is_some()).await;
    let (slot, pod, caller) = match admitted {
        Ok(admitted) => admitted,
        Err(error) => {
            app.metrics.count(Operation::Login, outcome(&error));
            return error.into_response();
        }
    };
    app.metrics.count(Operation::Login, OperationOutcome::Ok);
    if let Some(upgrade) = upgrade {
        let stream_app = Arc::clone(&app);
        app.tasks.spawn("agent stream", async move {
            match tokio::time::timeout(UPGRADE_TIMEOUT, upgrade).await {
                Ok(Ok(upgraded)) => {
                    let trace = caller.origin.trace_id.clone();
                    let connection = Connection::new(stream_app, pod, caller);
                    let served = connection.serve(TokioIo::new(upgraded));
                    if slot.replaced.run_until_cancelled(served).await.is_none() {
                        tracing::info!(trace, "stream ended: the pod has opened newer ones");
                    }
                }
                Ok(Err(error)) => tracing::debug!(%error, "upgrade connection"),
                Err(_) => tracing::debug!("upgrade connection: timed out"),
            }
        });
    }
    let headers = [
        (CONNECTION, HeaderValue::from_static("upgrade")),
        (UPGRADE, HeaderValue::from_static(PROTOCOL)),
    ];
    (StatusCode::SWITCHING_PROTOCOLS, headers).into_response()
}

/// Admits a pod: first what costs nothing, and the audit event last.
async fn admit(
    app: &AppState,
    unauthenticated: Unauthenticated,
    names: Result<Vec<BundleRef>, ApiError>,
    is_upgrade: bool,
) -> Result<(StreamSlot, AdmittedPod, Caller), ApiError> {
    if app.disk.is_in_reserve() {
        return Err(ApiError::unavailable(
            "switchyard's data volume is nearly full, so no pod logs in; the pod keeps its files",
        ));
    }
    let authenticated = login::authenticate(app, unauthenticated).await?;
    if !is_upgrade {
        return Err(ApiError::upgrade_required(format!(
            "this path is a stream: send 'Connection: upgrade' and 'Upgrade: {PROTOCOL}'"
        )));
    }
    let names = names?;
    let slot = app.streams.slots.take(&authenticated.pod).map_err(|error| match error {
        NoSlot::Namespace { .. } => ApiError::too_much_at_once(error.to_string()),
        NoSlot::All(_) => ApiError::unavailable(error.to_string()),
    })?;
    let admitted = login::admit(app, &authenticated, names).await?;
    Ok((slot, admitted, authenticated.caller))
}

fn asks_for_upgrade(request: &Request) -> bool {
    let has = |name, word: &str| {
        let values =
            request.headers().get_all(name).into_iter().filter_map(|value| value.to_str().ok());
        values.flat_map(|value| value.split(',')).any(|one| one.trim().eq_ignore_ascii_case(word))
    };
    has(CONNECTION, "upgrade") && has(UPGRADE, PROTOCOL)
}

fn outcome(error: &ApiError) -> OperationOutcome {
    match error.status() {
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => OperationOutcome::Denied,
        status if status.is_server_error() => OperationOutcome::Failed,
        _ => OperationOutcome::Refused,
    }
}
