//! `/v1/secrets/{scope}/` and `/v1/secrets/{scope}/{name}`: writes, reads and deletes.

use std::sync::Arc;

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use contract::api::{Deleted, SecretValue, WriteRequest, Written};
use contract::{Redacted, Scope, SecretName, SecretRef, Version};
use http::{HeaderMap, StatusCode, Uri};
use serde::Deserialize;

use super::body;
use super::json_request::{JsonRequest, UnreadRequest};
use super::page::query;
use super::path::{ScopePath, SecretPath, authorize_secret};
use super::preconditions::{Preconditions, ReadPrecondition, TaggedVersion, etag};
use super::references;
use super::response::{check_disk, count, run_change, run_named_change, secret_json};
use crate::app::{ApiError, AppState, Unauthenticated};
use crate::metrics::{Operation, OperationOutcome};
use crate::policy::{Target, Verb};
use crate::repository::{ChangeError, Condition};
use crate::secrets::{ReadForm, ReadSecret, SecretsError, WriteOptions};

/// Write secrets
///
/// Creates secrets or new versions of them: either all become part of one new generation of every
/// bundle that holds them, or nothing is written. `if_version` is a precondition of each secret; a
/// write of a single secret can use the headers instead.
#[utoipa::path(post, path = "/v1/secrets/{scope}/", operation_id = "writeSecrets", tag = "secrets",
    params(
        ("scope" = Scope, Path),
        ("If-Match" = Option<String>, Header, description = "For a single secret: write only if \
            one of these is its active version, for example `\"3\"`; `*`: only if it exists"),
        ("If-None-Match" = Option<String>, Header, description = "For a single secret: `*` writes \
            only if it does not exist"),
        ("Idempotency-Key" = Option<String>, Header, description = "A request that is sent again \
            with the same key within 24 hours is carried out once"),
    ),
    request_body(content = WriteRequest,
        example = json!({"secrets": {"DATABASE_URL": {"value": "aHVudGVyMg==", "if_version": 0}}})),
    responses((status = 200, description = "All secrets were written", body = Written)))]
pub(super) async fn write(
    State(app): State<Arc<AppState>>,
    unauthenticated: Unauthenticated,
    path: Result<ScopePath, ApiError>,
    request: UnreadRequest,
) -> Result<Response, ApiError> {
    let auth = unauthenticated.authenticate(&app).await?;
    let ScopePath(scope) = path?;
    auth.authorize_some(&app, Verb::Write, &scope).await?;
    let count_refused =
        |_: &ApiError| app.metrics.count(Operation::Write, OperationOutcome::Refused);
    check_disk(&app).inspect_err(count_refused)?;
    let request = request.read(body::MAX_WRITE_BYTES).await.inspect_err(count_refused)?;
    let write = body::write_request(&request.body).inspect_err(count_refused)?;
    let mut rule = None;
    for name in write.secrets.keys() {
        rule = Some(auth.authorize(&app, Verb::Write, Target::Secret(&scope, name)).await?);
    }
    for (name, value) in write.secrets.iter().filter(|(_, value)| value.references) {
        let parsed = references::parse(name, &value.value).inspect_err(count_refused)?;
        let of = SecretRef { scope: scope.clone(), name: name.clone() };
        references::authorize_targets(&app, &auth, &of, &parsed)
            .await
            .inspect_err(count_refused)?;
    }
    let header_condition = header_condition(&app, &request, &scope, &write).await?;
    let options =
        WriteOptions { idempotency: request.idempotency(&auth)?, rule, ..WriteOptions::default() };
    let (secrets, caller) = (app.secrets.clone(), auth.caller);
    let JsonRequest { body, lease, .. } = request;
    run_change(&app, Operation::Write, async move {
        // The body and what was parsed of it are in memory until the end.
        let (_body, _lease) = (body, lease);
        let condition = |name: &SecretName| match header_condition {
            Condition::None => write
                .secrets
                .get(name)
                .and_then(|it| it.if_version)
                .map_or(Condition::None, version_condition),
            condition => condition,
        };
        let written = secrets.write(&caller, &scope, &write, condition, &options).await;
        written.map_err(|error| map_absent(error, header_condition))
    })
    .await
}

/// The precondition that the headers set for the one secret that is written.
async fn header_condition(
    app: &AppState,
    request: &JsonRequest,
    scope: &Scope,
    write: &WriteRequest,
) -> Result<Condition, ApiError> {
    if !request.is_conditional()? {
        return Ok(Condition::None);
    }
    let mut all = write.secrets.iter();
    match (all.next(), all.next()) {
        (Some((name, value)), None) if value.if_version.is_none() => {
            request.condition(app, (scope, name)).await
        }
        _ => Err(ApiError::malformed(
            "If-Match and If-None-Match apply to a single secret without if_version; to write \
             several secrets, use the if_version of each",
        )),
    }
}

/// The precondition of an `if_version`. The parsed number is a valid version or 0.
pub(super) fn version_condition(number: u64) -> Condition {
    if number == 0 { Condition::Absent } else { Condition::Active(Version(number)) }
}

/// With `If-Match: *`, a secret that does not exist is a precondition that is not met.
pub(super) fn map_absent(error: SecretsError, condition: Condition) -> SecretsError {
    match error {
        SecretsError::Change(ChangeError::NotFound(secret)) if condition == Condition::Present => {
            ChangeError::Precondition { secret, active: None }.into()
        }
        other => other,
    }
}

/// The query of a read.
#[derive(Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct ReadSecretQuery {
    /// The version to read. The default is the active one.
    #[param(minimum = 1, maximum = 9_007_199_254_740_991_u64)]
    version: Option<Version>,
    /// Whether to answer a value with references as it was written, instead of as pods get it.
    #[param(default = false)]
    raw: Option<bool>,
}

/// Read a secret
///
/// The read is recorded in the audit log before the value is sent, and so are those of the secrets
/// that it refers to: they are resolved at their active versions.
#[utoipa::path(get, path = "/v1/secrets/{scope}/{name}", operation_id = "readSecret",
    tag = "secrets",
    params(
        ("scope" = Scope, Path), ("name" = SecretName, Path), ReadSecretQuery,
        ("If-None-Match" = Option<String>, Header, description = "Answer 304 if the version to \
            read has one of these as its ETag; a number alone is none"),
        ("If-Match" = Option<String>, Header, description = "Answer 412 unless the version to \
            read is one of these"),
    ),
    responses(
        (status = 200, description = "The value", body = SecretValue, headers(("ETag" = String,
            description = "The version and what tells it apart from others with this number"))),
        (status = 304, description = "The client has this version already",
            headers(("ETag" = String, description = "The same as of the value")))))]
pub(super) async fn read(
    State(app): State<Arc<AppState>>,
    unauthenticated: Unauthenticated,
    path: Result<SecretPath, ApiError>,
    uri: Uri,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let (auth, SecretPath { scope, name }, rule) =
        authorize_secret(&app, unauthenticated, path, Verb::Read).await?;
    let ReadSecretQuery { version, raw } = query(&uri, "version=<number> and raw=<true or false>")?;
    let form = if raw.unwrap_or(false) { ReadForm::Raw } else { ReadForm::Resolved };
    let preconditions = Preconditions::parse(&headers)?;
    if !preconditions.is_empty()
        && let Some((current, is_composed)) = current_version(&app, &scope, &name, version).await?
    {
        match preconditions.evaluate_read(&current) {
            ReadPrecondition::Met => {}
            // The version says nothing about the values that it refers to.
            ReadPrecondition::NotModified if is_composed && form == ReadForm::Resolved => {}
            ReadPrecondition::NotModified => {
                return Ok((StatusCode::NOT_MODIFIED, [etag(&current)]).into_response());
            }
            ReadPrecondition::Failed => {
                return Err(ApiError::precondition(&scope, &name, Some(current.version)));
            }
        }
    }
    let value = match version {
        None => app.secrets.read(&auth.caller, (&scope, &name), form, Some(rule)).await,
        Some(version) => {
            let of = (&scope, &name);
            app.secrets.read_version(&auth.caller, of, version, form, Some(rule)).await
        }
    };
    count(&app, Operation::Read, &value);
    let ReadSecret { value, tag } = value?;
    // A struct of strings, numbers and base64 always serializes.
    let body: Redacted = value.to_body().unwrap_or_default();
    let version = TaggedVersion { version: value.version, tag };
    Ok(([etag(&version)], secret_json(body)).into_response())
}

/// The version that the request would read, and whether its value has references.
async fn current_version(
    app: &AppState,
    scope: &Scope,
    name: &SecretName,
    requested: Option<Version>,
) -> Result<Option<(TaggedVersion, bool)>, SecretsError> {
    use contract::api::VersionState::Destroyed;
    Ok(match requested {
        None => {
            let found = app.repository.find(scope, name).await?;
            found
                .map(|secret| (secret.references.is_some(), secret))
                .map(|(it, secret)| (TaggedVersion::from(secret), it))
        }
        Some(version) => app
            .repository
            .find_version(scope, name, version)
            .await?
            .filter(|row| row.state != Destroyed)
            .map(|row| (row.references.is_some(), row))
            .map(|(it, row)| (TaggedVersion::from(row), it)),
    })
}

/// Delete a secret
///
/// Removes it from every bundle. `undelete` restores it until `recoverable_until`.
#[utoipa::path(delete, path = "/v1/secrets/{scope}/{name}", operation_id = "deleteSecret",
    tag = "secrets",
    params(
        ("scope" = Scope, Path), ("name" = SecretName, Path),
        ("If-Match" = Option<String>, Header, description = "Delete only if one of these is the \
            active version, for example `\"3\"`"),
        ("Idempotency-Key" = Option<String>, Header, description = "A request that is sent again \
            with the same key within 24 hours is carried out once"),
    ),
    responses((status = 200, description = "The secret was deleted", body = Deleted)))]
pub(super) async fn delete(
    State(app): State<Arc<AppState>>,
    unauthenticated: Unauthenticated,
    path: Result<SecretPath, ApiError>,
    request: UnreadRequest,
) -> Result<Response, ApiError> {
    let (auth, SecretPath { scope, name }, rule) =
        authorize_secret(&app, unauthenticated, path, Verb::Write).await?;
    let options = request.without_body().write_options(&app, &auth, rule, (&scope, &name)).await?;
    let (secrets, caller) = (app.secrets.clone(), auth.caller.clone());
    run_named_change(&app, Operation::Delete, |error| references::name_referrers(&auth, error), {
        async move {
            let removed = secrets
                .delete(&caller, &scope, &name, &options)
                .await
                .map_err(|error| map_absent(error, options.condition))?;
            let recoverable_until = Some(removed.recoverable_until);
            Ok(Deleted { scope, name, bundles: removed.bundles, recoverable_until })
        }
    })
    .await
}
