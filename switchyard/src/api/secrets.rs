//! `/v1/secrets/…`

use std::sync::Arc;

use axum::body::Body;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use contract::Redacted;
use contract::api::{Deleted, SecretList, SecretSummary, VersionList};
use http::header::CONTENT_TYPE;
use http::{HeaderValue, StatusCode};
use serde::Serialize;
use tokio::sync::oneshot;

use super::App;
use super::path::{InScope, OneSecret};
use super::problem::Refusal;
use super::request::Asked;
use crate::metrics::{Ending, Operation};
use crate::policy::{Target, Verb};
use crate::repository::{Condition, ListQuery};
use crate::secrets::{SecretsError, Terms};

const JSON: HeaderValue = HeaderValue::from_static("application/json");

pub(super) async fn list(State(app): State<Arc<App>>, asked: Asked, path: Result<InScope, Refusal>) -> Result<Response, Refusal> {
    let asker = asked.principal(&app).await?;
    let InScope(scope) = path?;
    let which = asker.may_list(&app, &scope).await?;
    let found =
        app.repository.list(&scope, &ListQuery { after: None, deleted: false, limit: u32::MAX }).await.map_err(SecretsError::from)?;
    let secrets = found
        .into_iter()
        .filter(|secret| which.has(&secret.name))
        .map(|secret| SecretSummary {
            name: secret.name,
            version: secret.stored.version,
            created_at: secret.created_at.to_string(),
            updated_at: secret.updated_at.to_string(),
            deleted_at: None,
            recoverable_until: None,
        })
        .collect();
    json(&SecretList { scope, secrets, next: None })
}

pub(super) async fn write(
    State(app): State<Arc<App>>,
    asked: Asked,
    path: Result<InScope, Refusal>,
    body: Body,
) -> Result<Response, Refusal> {
    let asker = asked.principal(&app).await?;
    let InScope(scope) = path?;
    let request = super::body::write_request(body).await.inspect_err(|_| app.metrics.count(Operation::Write, Ending::Refused))?;
    let mut terms = Terms::default();
    for name in request.secrets.keys() {
        terms.rule = Some(asker.may(&app, Verb::Write, Target::Secret(&scope, name)).await?);
    }
    let (secrets, caller) = (app.secrets.clone(), asker.caller);
    let written =
        whole(&app, Operation::Write, async move { secrets.write(&caller, &scope, &request, |_| Condition::None, &terms).await }).await?;
    json(&written)
}

pub(super) async fn read(State(app): State<Arc<App>>, asked: Asked, path: Result<OneSecret, Refusal>) -> Result<Response, Refusal> {
    let asker = asked.principal(&app).await?;
    let OneSecret { scope, name } = path?;
    let rule = asker.may(&app, Verb::Read, Target::Secret(&scope, &name)).await?;
    let value = app.secrets.read(&asker.caller, &scope, &name, Some(rule)).await;
    count(&app, Operation::Read, &value);
    // A struct of texts, numbers and base64 always becomes JSON.
    let body = value?.to_body().unwrap_or_default();
    Ok(wiped(body))
}

pub(super) async fn versions(State(app): State<Arc<App>>, asked: Asked, path: Result<OneSecret, Refusal>) -> Result<Response, Refusal> {
    let asker = asked.principal(&app).await?;
    let OneSecret { scope, name } = path?;
    asker.may(&app, Verb::List, Target::Secret(&scope, &name)).await?;
    let versions = app.repository.versions(&scope, &name, None, u32::MAX).await.map_err(SecretsError::from)?;
    if versions.is_empty() {
        return Err(SecretsError::NotFound { scope, name }.into());
    }
    json(&VersionList { scope, name, versions: versions.into_iter().map(Into::into).collect(), next: None })
}

pub(super) async fn delete(State(app): State<Arc<App>>, asked: Asked, path: Result<OneSecret, Refusal>) -> Result<Response, Refusal> {
    let asker = asked.principal(&app).await?;
    let OneSecret { scope, name } = path?;
    let rule = asker.may(&app, Verb::Write, Target::Secret(&scope, &name)).await?;
    let terms = Terms { rule: Some(rule), ..Terms::default() };
    let (secrets, caller) = (app.secrets.clone(), asker.caller);
    let (at, of) = (scope.clone(), name.clone());
    let removed = whole(&app, Operation::Delete, async move { secrets.delete(&caller, &at, &of, &terms).await }).await?;
    json(&Deleted { scope, name, bundles: removed.bundles, recoverable_until: Some(removed.recoverable_until.to_string()) })
}

/// Runs a change to its end, also when the client goes away in the middle: between the ledger's commit
/// and the push, nobody else would tell the agents.
async fn whole<T, F>(app: &Arc<App>, operation: Operation, change: F) -> Result<T, Refusal>
where
    T: Send + 'static,
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
        Ok(result) => Ok(result?),
        Err(_) => Err(Refusal::unavailable("switchyard is stopping; whether the change was made can be seen in its versions")),
    }
}

fn count<T>(app: &App, operation: Operation, result: &Result<T, SecretsError>) {
    let ending = match result {
        Ok(_) => Ending::Ok,
        Err(SecretsError::NotFound { .. } | SecretsError::Change(_)) => Ending::Refused,
        Err(_) => Ending::Failed,
    };
    app.metrics.count(operation, ending);
}

pub(super) fn json<T: Serialize>(value: &T) -> Result<Response, Refusal> {
    match serde_json::to_vec(value) {
        Ok(body) => Ok((StatusCode::OK, [(CONTENT_TYPE, JSON)], body).into_response()),
        Err(_) => Err(Refusal::of_status(StatusCode::INTERNAL_SERVER_ERROR)),
    }
}

/// An answer whose body is wiped when the last byte of it is sent.
pub(super) fn wiped(body: Redacted) -> Response {
    ([(CONTENT_TYPE, JSON)], Bytes::from_owner(Wiped(body))).into_response()
}

struct Wiped(Redacted);

impl AsRef<[u8]> for Wiped {
    fn as_ref(&self) -> &[u8] {
        self.0.expose()
    }
}
