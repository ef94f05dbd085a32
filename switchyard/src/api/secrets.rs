//! `/v1/secrets/{scope}/` and `/v1/secrets/{scope}/{name}`: values in, values out, and their names.

use std::sync::Arc;

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use contract::api::{Deleted, SecretList, SecretSummary, SecretValue, WriteRequest, Written};
use contract::{Redacted, Scope, SecretName, Version};
use http::{HeaderMap, StatusCode, Uri};
use serde::Deserialize;

use super::App;
use super::answer::{change, count, json, wiped};
use super::body;
use super::conditions::{Conditions, Reading, etag};
use super::page::{after, cut, limit, query};
use super::path::{InScope, OneSecret};
use super::problem::Refusal;
use super::request::Asked;
use super::sent::{Sent, Whole};
use crate::metrics::{Ending, Operation};
use crate::policy::{Target, Verb};
use crate::repository::{ChangeError, Condition, ListQuery, Secret};
use crate::secrets::{Secrets, SecretsError, WriteOptions};

/// Which secrets of a scope are listed.
#[derive(Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct Listing {
    /// How many at most. Where only some of a scope's names may be seen, fewer can come.
    #[param(minimum = 1, maximum = 1000, default = 100)]
    limit: Option<u32>,
    /// Where to go on: `next` of the page before, as it is.
    #[param(min_length = 1, max_length = 1024, pattern = "^[A-Za-z0-9_-]+$")]
    cursor: Option<String>,
    /// Whether those that were deleted and can be brought back are listed too.
    #[param(default = false)]
    deleted: Option<bool>,
}

/// List the secrets of a scope
///
/// Names and versions, without values, by name. Secrets of wider and of narrower scopes are not in
/// it.
#[utoipa::path(get, path = "/v1/secrets/{scope}/", operation_id = "listSecrets", tag = "secrets",
    params(("scope" = Scope, Path), Listing),
    responses((status = 200, description = "The secrets of the scope", body = SecretList)))]
pub(super) async fn list(
    State(app): State<Arc<App>>,
    asked: Asked,
    path: Result<InScope, Refusal>,
    uri: Uri,
) -> Result<Response, Refusal> {
    let asker = asked.principal(&app).await?;
    let InScope(scope) = path?;
    let which = asker.may_list(&app, &scope).await?;
    let asked: Listing = query(
        &uri,
        "limit=<1 to 1000>, cursor=<next of the page before> and deleted=<true or false>",
    )?;
    let most = limit(asked.limit)?;
    let (from, deleted): (Option<SecretName>, _) =
        (after("secrets", asked.cursor.as_deref())?, asked.deleted.unwrap_or(false));
    let page = ListQuery { after: from, deleted, limit: most + 1 };
    let mut found = app.repository.list(&scope, &page).await.map_err(SecretsError::from)?;
    let next = cut(&mut found, most, "secrets", |secret| secret.name.to_string());
    let secrets = found
        .into_iter()
        .filter(|secret| which.has(&secret.name))
        .map(|secret| summary(&app.secrets, secret))
        .collect();
    json(&SecretList { scope, secrets, next })
}

fn summary(secrets: &Secrets, secret: Secret) -> SecretSummary {
    SecretSummary {
        name: secret.name,
        version: secret.stored.version,
        created_at: secret.created_at,
        updated_at: secret.updated_at,
        deleted_at: secret.deleted_at,
        recoverable_until: secret.deleted_at.map(|at| secrets.recoverable_until(at)),
    }
}

/// Write secrets
///
/// New secrets or new versions: all of them become one generation of every bundle that holds them,
/// or nothing is written. `if_version` says what must hold of each; for a single secret the headers
/// do too.
#[utoipa::path(post, path = "/v1/secrets/{scope}/", operation_id = "writeSecrets", tag = "secrets",
    params(
        ("scope" = Scope, Path),
        ("If-Match" = Option<String>, Header, description = "For a single secret: write only if one of these is its active version, as `\"3\"`; `*`: only if it exists"),
        ("If-None-Match" = Option<String>, Header, description = "For a single secret: `*` writes only if there is none"),
        ("Idempotency-Key" = Option<String>, Header, description = "Makes a request that is sent again be done once, for 24 hours"),
    ),
    request_body(content = WriteRequest, example = json!({"secrets": {"DATABASE_URL": {"value": "aHVudGVyMg==", "if_version": 0}}})),
    responses((status = 200, description = "Everything was written", body = Written)))]
pub(super) async fn write(
    State(app): State<Arc<App>>,
    asked: Asked,
    path: Result<InScope, Refusal>,
    sent: Sent,
) -> Result<Response, Refusal> {
    let asker = asked.principal(&app).await?;
    let InScope(scope) = path?;
    let refused = |_: &Refusal| app.metrics.count(Operation::Write, Ending::Refused);
    let whole = sent.read(body::MOST).await.inspect_err(refused)?;
    let request = body::write_request(&whole.body).inspect_err(refused)?;
    let mut rule = None;
    for name in request.secrets.keys() {
        rule = Some(asker.may(&app, Verb::Write, Target::Secret(&scope, name)).await?);
    }
    let of_headers = header_condition(&app, &whole, &scope, &request).await?;
    let terms = WriteOptions { idempotency: whole.once(&asker)?, rule, ..WriteOptions::default() };
    let (secrets, caller) = (app.secrets.clone(), asker.caller);
    change(&app, Operation::Write, async move {
        let condition = |name: &SecretName| match of_headers {
            Condition::None => request
                .secrets
                .get(name)
                .and_then(|it| it.if_version)
                .map_or(Condition::None, if_version),
            condition => condition,
        };
        let written = secrets.write(&caller, &scope, &request, condition, &terms).await;
        written.map_err(|error| unmet(error, of_headers))
    })
    .await
}

/// What the headers say must hold of the one secret that is written.
async fn header_condition(
    app: &App,
    whole: &Whole,
    scope: &Scope,
    request: &WriteRequest,
) -> Result<Condition, Refusal> {
    if !whole.is_conditional()? {
        return Ok(Condition::None);
    }
    let mut all = request.secrets.iter();
    match (all.next(), all.next()) {
        (Some((name, value)), None) if value.if_version.is_none() => {
            whole.condition(app, (scope, name)).await
        }
        _ => Err(Refusal::malformed(
            "If-Match and If-None-Match are for a single secret without if_version; for several, use if_version of each",
        )),
    }
}

/// What `if_version` says must hold. The body was parsed, so the number is one that a version can
/// have.
pub(super) fn if_version(number: u64) -> Condition {
    if number == 0 { Condition::Absent } else { Condition::Active(Version(number)) }
}

/// `If-Match: *` says that there is one, so that there is none is a condition that does not hold.
pub(super) fn unmet(error: SecretsError, condition: Condition) -> SecretsError {
    match error {
        SecretsError::Change(ChangeError::NotFound(secret)) if condition == Condition::Present => {
            ChangeError::Precondition { secret, active: None }.into()
        }
        other => other,
    }
}

/// Which version is read.
#[derive(Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct Wanted {
    /// The version; the active one where it is absent.
    #[param(minimum = 1, maximum = 9_007_199_254_740_991_u64)]
    version: Option<Version>,
}

/// Read a secret
///
/// That it was read is in the audit trail before the value leaves.
#[utoipa::path(get, path = "/v1/secrets/{scope}/{name}", operation_id = "readSecret", tag = "secrets",
    params(
        ("scope" = Scope, Path), ("name" = SecretName, Path), Wanted,
        ("If-None-Match" = Option<String>, Header, description = "Answer 304 if the version that would be read is one of these, as `\"3\"`"),
        ("If-Match" = Option<String>, Header, description = "Answer 412 unless the version that would be read is one of these"),
    ),
    responses(
        (status = 200, description = "The value", body = SecretValue, headers(("ETag" = String, description = "The version in quotes"))),
        (status = 304, description = "The client has this version already", headers(("ETag" = String, description = "The version in quotes")))))]
pub(super) async fn read(
    State(app): State<Arc<App>>,
    asked: Asked,
    path: Result<OneSecret, Refusal>,
    uri: Uri,
    headers: HeaderMap,
) -> Result<Response, Refusal> {
    let (asker, OneSecret { scope, name }, rule) = asked.about(&app, path, Verb::Read).await?;
    let Wanted { version } = query(&uri, "version=<number>")?;
    let conditions = Conditions::of(&headers)?;
    if !conditions.is_empty()
        && let Some(there) = version_there(&app, &scope, &name, version).await?
    {
        match conditions.reading(there) {
            Reading::Proceed => {}
            Reading::NotModified => {
                return Ok((StatusCode::NOT_MODIFIED, [etag(there)]).into_response());
            }
            Reading::Failed => return Err(Refusal::precondition(&scope, &name, Some(there))),
        }
    }
    let value = match version {
        None => app.secrets.read(&asker.caller, &scope, &name, Some(rule)).await,
        Some(version) => {
            app.secrets.read_version(&asker.caller, &scope, &name, version, Some(rule)).await
        }
    };
    count(&app, Operation::Read, &value);
    let value = value?;
    // A struct of texts, numbers and base64 always becomes JSON.
    let body: Redacted = value.to_body().unwrap_or_default();
    Ok(([etag(value.version)], wiped(body)).into_response())
}

/// The version that would be read.
async fn version_there(
    app: &App,
    scope: &Scope,
    name: &SecretName,
    wanted: Option<Version>,
) -> Result<Option<Version>, SecretsError> {
    use contract::api::VersionState::Destroyed;
    Ok(match wanted {
        None => app.repository.find(scope, name).await?.map(|secret| secret.stored.version),
        Some(version) => app
            .repository
            .find_version(scope, name, version)
            .await?
            .filter(|row| row.state != Destroyed)
            .map(|row| row.version),
    })
}

/// Delete a secret
///
/// No bundle holds it from now on. Until `recoverable_until`, `undelete` brings it back.
#[utoipa::path(delete, path = "/v1/secrets/{scope}/{name}", operation_id = "deleteSecret", tag = "secrets",
    params(
        ("scope" = Scope, Path), ("name" = SecretName, Path),
        ("If-Match" = Option<String>, Header, description = "Delete only if one of these is the active version, as `\"3\"`"),
        ("Idempotency-Key" = Option<String>, Header, description = "Makes a request that is sent again be done once, for 24 hours"),
    ),
    responses((status = 200, description = "It was deleted", body = Deleted)))]
pub(super) async fn delete(
    State(app): State<Arc<App>>,
    asked: Asked,
    path: Result<OneSecret, Refusal>,
    sent: Sent,
) -> Result<Response, Refusal> {
    let (asker, OneSecret { scope, name }, rule) = asked.about(&app, path, Verb::Write).await?;
    let terms = sent.without_body().terms(&app, &asker, rule, (&scope, &name)).await?;
    let (secrets, caller) = (app.secrets.clone(), asker.caller);
    change(&app, Operation::Delete, async move {
        let removed = secrets
            .delete(&caller, &scope, &name, &terms)
            .await
            .map_err(|error| unmet(error, terms.condition))?;
        let recoverable_until = Some(removed.recoverable_until);
        Ok(Deleted { scope, name, bundles: removed.bundles, recoverable_until })
    })
    .await
}
