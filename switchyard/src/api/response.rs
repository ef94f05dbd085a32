//! Responses: JSON, JSON with secrets that is wiped after sending, and the result of a change.

use std::sync::Arc;

use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use contract::Redacted;
use http::header::CONTENT_TYPE;
use http::{HeaderName, HeaderValue, StatusCode};
use serde::Serialize;
use tokio::sync::oneshot;

use crate::app::{ApiError, AppState};
use crate::metrics::{Operation, OperationOutcome};
use crate::repository::{ChangeError, Idempotency};
use crate::secrets::SecretsError;

const JSON: HeaderValue = HeaderValue::from_static("application/json");

/// Marks a response as a copy of the response to an earlier request with the same key.
const IDEMPOTENCY_REPLAYED: HeaderName = HeaderName::from_static("idempotency-replayed");

pub(super) fn json<T: Serialize>(value: &T) -> Result<Response, ApiError> {
    match serde_json::to_vec(value) {
        Ok(body) => Ok(json_bytes(body)),
        Err(_) => Err(ApiError::from_status(StatusCode::INTERNAL_SERVER_ERROR)),
    }
}

fn json_bytes<B: Into<Bytes>>(body: B) -> Response {
    (StatusCode::OK, [(CONTENT_TYPE, JSON)], body.into()).into_response()
}

/// A JSON response whose body is wiped once it is sent.
pub(super) fn secret_json(body: Redacted) -> Response {
    json_bytes(Bytes::from_owner(ZeroizingBody(body)))
}

struct ZeroizingBody(Redacted);

impl AsRef<[u8]> for ZeroizingBody {
    fn as_ref(&self) -> &[u8] {
        self.0.expose()
    }
}

/// Refuses new values when only the reserve of the data volume is left.
pub(super) fn check_disk(app: &AppState) -> Result<(), ApiError> {
    if app.disk.is_in_reserve() {
        return Err(ApiError::unavailable(
            "the data volume is nearly full, so no value is written; the operator can enlarge it, \
             and secrets can be deleted",
        ));
    }
    Ok(())
}

/// Runs a change to its end, even if the client disconnects: after the ledger's commit, nothing
/// else would push it to the agents. Replays the earlier response if the request repeats one.
pub(super) async fn run_change<T, F>(
    app: &Arc<AppState>,
    operation: Operation,
    change: F,
) -> Result<Response, ApiError>
where
    T: Serialize + Send + 'static,
    F: Future<Output = Result<T, SecretsError>> + Send + 'static,
{
    run_named_change(app, operation, ApiError::from, change).await
}

/// As [`run_change`], with an error of one's own.
pub(super) async fn run_named_change<T, F>(
    app: &Arc<AppState>,
    operation: Operation,
    error: impl FnOnce(SecretsError) -> ApiError,
    change: F,
) -> Result<Response, ApiError>
where
    T: Serialize + Send + 'static,
    F: Future<Output = Result<T, SecretsError>> + Send + 'static,
{
    let (sender, outcome) = oneshot::channel();
    let counting_app = Arc::clone(app);
    app.tasks.spawn("change", async move {
        let result = change.await;
        count(&counting_app, operation, &result);
        let _ = sender.send(result);
    });
    match outcome.await {
        Ok(Ok(result)) => json(&result),
        Ok(Err(SecretsError::Change(ChangeError::Replayed(answer)))) => {
            Ok(replayed(StatusCode::OK, answer))
        }
        Ok(Err(failed)) => Err(error(failed)),
        Err(_) => Err(ApiError::unavailable(
            "switchyard is stopping; read the versions to see whether the change was made",
        )),
    }
}

/// The response that was kept for a request, if it was done before. `status` is the operation's.
///
/// # Errors
/// If the key was used for another request, or the ledger cannot be read.
pub(super) async fn stored_answer(
    app: &AppState,
    request: Option<&Idempotency>,
    status: StatusCode,
) -> Result<Option<Response>, ApiError> {
    let Some(request) = request else { return Ok(None) };
    let answer = app.repository.stored_response(request).await.map_err(SecretsError::from)?;
    Ok(answer.map(|answer| replayed(status, answer)))
}

/// The response to a change of grants or tokens that the ledger refused: the kept one if the
/// request was done before. `status` is the operation's.
pub(super) fn replay_or_fail(error: ChangeError, status: StatusCode) -> Result<Response, ApiError> {
    match error {
        ChangeError::Replayed(answer) => Ok(replayed(status, answer)),
        error => Err(SecretsError::from(error).into()),
    }
}

fn replayed(status: StatusCode, answer: String) -> Response {
    let response = if answer.is_empty() {
        status.into_response()
    } else {
        (status, json_bytes(answer)).into_response()
    };
    mark_replayed(response)
}

/// Marks a response as the copy of an earlier one.
pub(super) fn mark_replayed(mut response: Response) -> Response {
    response.headers_mut().insert(IDEMPOTENCY_REPLAYED, HeaderValue::from_static("true"));
    response
}

pub(super) fn count<T>(app: &AppState, operation: Operation, result: &Result<T, SecretsError>) {
    let outcome = match result {
        Ok(_) | Err(SecretsError::Change(ChangeError::Replayed(_))) => OperationOutcome::Ok,
        Err(SecretsError::Change(ChangeError::Repository(_))) => OperationOutcome::Failed,
        Err(
            SecretsError::NotFound { .. }
            | SecretsError::NoVersion { .. }
            | SecretsError::Gone { .. }
            | SecretsError::References { .. }
            | SecretsError::Template { .. }
            | SecretsError::Change(_),
        ) => OperationOutcome::Refused,
        Err(_) => OperationOutcome::Failed,
    };
    app.metrics.count(operation, outcome);
}
