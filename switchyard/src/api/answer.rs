//! Answers: JSON, JSON that is wiped, and what a change came to.

use std::sync::Arc;

use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use contract::Redacted;
use http::header::CONTENT_TYPE;
use http::{HeaderName, HeaderValue, StatusCode};
use serde::Serialize;
use tokio::sync::oneshot;

use super::App;
use super::problem::Refusal;
use crate::metrics::{Ending, Operation};
use crate::repository::ChangeError;
use crate::secrets::SecretsError;

const JSON: HeaderValue = HeaderValue::from_static("application/json");

/// Says of an answer that it is the one that the same request got before.
const REPLAYED: HeaderName = HeaderName::from_static("idempotency-replayed");

pub(super) fn json<T: Serialize>(value: &T) -> Result<Response, Refusal> {
    match serde_json::to_vec(value) {
        Ok(body) => Ok(of_json(body)),
        Err(_) => Err(Refusal::of_status(StatusCode::INTERNAL_SERVER_ERROR)),
    }
}

fn of_json<B: Into<Bytes>>(body: B) -> Response {
    (StatusCode::OK, [(CONTENT_TYPE, JSON)], body.into()).into_response()
}

/// An answer whose body is wiped when the last byte of it is sent.
pub(super) fn wiped(body: Redacted) -> Response {
    of_json(Bytes::from_owner(Wiped(body)))
}

struct Wiped(Redacted);

impl AsRef<[u8]> for Wiped {
    fn as_ref(&self) -> &[u8] {
        self.0.expose()
    }
}

/// Runs a change to its end, also when the client goes away in the middle: between the ledger's
/// commit and the push, nobody else would tell the agents. Where the same request was done before,
/// its answer is given again.
pub(super) async fn change<T, F>(
    app: &Arc<App>,
    operation: Operation,
    change: F,
) -> Result<Response, Refusal>
where
    T: Serialize + Send + 'static,
    F: Future<Output = Result<T, SecretsError>> + Send + 'static,
{
    let (done, outcome) = oneshot::channel();
    let counting = Arc::clone(app);
    app.tasks.spawn("change", async move {
        let result = change.await;
        count(&counting, operation, &result);
        let _ = done.send(result);
    });
    match outcome.await {
        Ok(Ok(result)) => json(&result),
        Ok(Err(SecretsError::Change(ChangeError::Replayed(answer)))) => {
            let mut response = of_json(answer);
            response.headers_mut().insert(REPLAYED, HeaderValue::from_static("true"));
            Ok(response)
        }
        Ok(Err(error)) => Err(error.into()),
        Err(_) => Err(Refusal::unavailable(
            "switchyard is stopping; whether the change was made can be seen in its versions",
        )),
    }
}

pub(super) fn count<T>(app: &App, operation: Operation, result: &Result<T, SecretsError>) {
    let ending = match result {
        Ok(_) | Err(SecretsError::Change(ChangeError::Replayed(_))) => Ending::Ok,
        Err(SecretsError::Change(ChangeError::Repository(_))) => Ending::Failed,
        Err(
            SecretsError::NotFound { .. }
            | SecretsError::NoVersion { .. }
            | SecretsError::Gone { .. }
            | SecretsError::Change(_),
        ) => Ending::Refused,
        Err(_) => Ending::Failed,
    };
    app.metrics.count(operation, ending);
}
