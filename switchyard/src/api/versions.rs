//! `/v1/secrets/{scope}/{name}/…`: lists, rotates, rolls back, restores and destroys versions of a
//! secret.

use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;
use contract::api::{
    DestroyRequest, Destroyed, Page, RollbackRequest, RotateRequest, VersionList, Written,
};
use contract::{Scope, SecretName, SecretRef, Version};
use http::Uri;

use super::body;
use super::json_request::{JsonRequest, UnreadRequest};
use super::list_event;
use super::page::{after, limit, query, truncate};
use super::path::{SecretPath, authorize_secret};
use super::references;
use super::response::{check_disk, json, run_change};
use super::secrets::{map_absent, version_condition};
use crate::app::{ApiError, AppState, Unauthenticated};
use crate::audit::ResourceKind;
use crate::generate::generate;
use crate::metrics::Operation;
use crate::policy::Verb;
use crate::repository::Condition;
use crate::secrets::{Rotation, SecretsError};

/// List the versions of a secret
///
/// Newest first, without values.
#[utoipa::path(get, path = "/v1/secrets/{scope}/{name}/versions", operation_id = "listVersions",
    tag = "versions",
    params(("scope" = Scope, Path), ("name" = SecretName, Path), Page),
    responses((status = 200, description = "The versions", body = VersionList)))]
pub(super) async fn list(
    State(app): State<Arc<AppState>>,
    unauthenticated: Unauthenticated,
    path: Result<SecretPath, ApiError>,
    uri: Uri,
) -> Result<Response, ApiError> {
    let (auth, SecretPath { scope, name }, rule) =
        authorize_secret(&app, unauthenticated, path, Verb::List).await?;
    let page: Page = query(&uri, "limit=<1 to 1000> and cursor=<next of the previous page>")?;
    let limit = limit(page.limit)?;
    let before = after::<u64>("versions", page.cursor.as_deref())?.map(Version);
    let mut rows = app
        .repository
        .versions(&scope, &name, before, limit + 1)
        .await
        .map_err(SecretsError::from)?;
    if rows.is_empty() && before.is_none() {
        return Err(SecretsError::NotFound { scope, name }.into());
    }
    let next = truncate(&mut rows, limit, "versions", |row| row.version.to_string());
    let resource = (ResourceKind::Secret, name.to_string());
    list_event::record(&app, auth.caller, resource, Some(&scope), rows.len(), &rule).await?;
    json(&VersionList { scope, name, versions: rows.into_iter().map(Into::into).collect(), next })
}

/// Rotate a secret
///
/// Writes a new version of an existing secret: the given value, or one that the server generates.
/// The response does not contain the value.
#[utoipa::path(post, path = "/v1/secrets/{scope}/{name}/rotate", operation_id = "rotateSecret",
    tag = "versions",
    params(
        ("scope" = Scope, Path), ("name" = SecretName, Path),
        ("If-Match" = Option<String>, Header, description = "Rotate only if one of these is the \
            active version, for example `\"3\"`"),
        ("Idempotency-Key" = Option<String>, Header, description = "A request that is sent again \
            with the same key within 24 hours is carried out once"),
    ),
    request_body(content = Option<RotateRequest>, example = json!({"generate": {"length": 40,
        "alphabet": "base64url"}})),
    responses((status = 200, description = "The new version is active", body = Written)))]
pub(super) async fn rotate(
    State(app): State<Arc<AppState>>,
    unauthenticated: Unauthenticated,
    path: Result<SecretPath, ApiError>,
    request: UnreadRequest,
) -> Result<Response, ApiError> {
    let (auth, SecretPath { scope, name }, rule) =
        authorize_secret(&app, unauthenticated, path, Verb::Write).await?;
    check_disk(&app)?;
    let request = request.read(body::MAX_ROTATE_BYTES).await?;
    let RotateRequest { value, generate: spec, if_version: number, message, expires_at } =
        body::rotate_request(&request.body)?;
    let mut options = request.write_options(&app, &auth, rule, (&scope, &name)).await?;
    if let Some(number) = number {
        if options.condition != Condition::None {
            return Err(ApiError::malformed(
                "the request has both if_version and a precondition header; send one of them",
            ));
        }
        options.condition = version_condition(number);
    }
    let value = match value {
        Some(value) => value,
        None => generate(spec.unwrap_or_default())
            .map_err(|_| ApiError::unavailable("the system has no random numbers"))?,
    };
    let rotation = Rotation { value, condition: options.condition, message, expires_at };
    let (secrets, caller) = (app.secrets.clone(), auth.caller);
    let JsonRequest { body, lease, .. } = request;
    run_change(&app, Operation::Rotate, async move {
        // The body and what was parsed of it are in memory until the end.
        let (_body, _lease) = (body, lease);
        let written = secrets.rotate(&caller, &scope, &name, &rotation, &options).await;
        written.map_err(|error| map_absent(error, options.condition))
    })
    .await
}

/// Roll a secret back
///
/// Makes an older version the active one again, in a new generation of every bundle that holds it.
#[utoipa::path(post, path = "/v1/secrets/{scope}/{name}/rollback", operation_id = "rollbackSecret",
    tag = "versions",
    params(
        ("scope" = Scope, Path), ("name" = SecretName, Path),
        ("If-Match" = Option<String>, Header, description = "Roll back only if one of these is \
            the active version, for example `\"3\"`"),
        ("Idempotency-Key" = Option<String>, Header, description = "A request that is sent again \
            with the same key within 24 hours is carried out once"),
    ),
    request_body(content = RollbackRequest, example = json!({"version": 2})),
    responses((status = 200, description = "The version is active again", body = Written)))]
pub(super) async fn rollback(
    State(app): State<Arc<AppState>>,
    unauthenticated: Unauthenticated,
    path: Result<SecretPath, ApiError>,
    request: UnreadRequest,
) -> Result<Response, ApiError> {
    let (auth, SecretPath { scope, name }, rule) =
        authorize_secret(&app, unauthenticated, path, Verb::Write).await?;
    let request = request.read(body::MAX_SMALL_BYTES).await?;
    let form = r#"{"version": <number>, "message": "<why, optional>"}"#;
    let RollbackRequest { version, message } = body::parse(&request.body, form)?;
    let mut options = request.write_options(&app, &auth, rule, (&scope, &name)).await?;
    options.message = message;
    let row = app.repository.find_version(&scope, &name, version).await;
    if let Some(references) = row.map_err(SecretsError::from)?.and_then(|it| it.references) {
        let of = SecretRef { scope: scope.clone(), name: name.clone() };
        references::authorize_targets(&app, &auth, &of, &references).await?;
    }
    let (secrets, caller) = (app.secrets.clone(), auth.caller);
    run_change(&app, Operation::Rollback, async move {
        let written = secrets.rollback(&caller, &scope, &name, version, &options).await;
        written.map_err(|error| map_absent(error, options.condition))
    })
    .await
}

/// Restore a deleted secret
///
/// The version that was active when the secret was deleted becomes active again.
#[utoipa::path(post, path = "/v1/secrets/{scope}/{name}/undelete", operation_id = "undeleteSecret",
    tag = "versions",
    params(
        ("scope" = Scope, Path), ("name" = SecretName, Path),
        ("Idempotency-Key" = Option<String>, Header, description = "A request that is sent again \
            with the same key within 24 hours is carried out once"),
    ),
    responses((status = 200, description = "The secret was restored", body = Written)))]
pub(super) async fn undelete(
    State(app): State<Arc<AppState>>,
    unauthenticated: Unauthenticated,
    path: Result<SecretPath, ApiError>,
    request: UnreadRequest,
) -> Result<Response, ApiError> {
    let (auth, SecretPath { scope, name }, rule) =
        authorize_secret(&app, unauthenticated, path, Verb::Write).await?;
    let options = request.without_body().unconditional_options(&auth, rule)?;
    let deleted = app.repository.deleted_references(&scope, &name).await;
    if let Some(references) = deleted.map_err(SecretsError::from)? {
        let of = SecretRef { scope: scope.clone(), name: name.clone() };
        references::authorize_targets(&app, &auth, &of, &references).await?;
    }
    let (secrets, caller) = (app.secrets.clone(), auth.caller);
    run_change(&app, Operation::Undelete, async move {
        secrets.undelete(&caller, &scope, &name, &options).await
    })
    .await
}

/// Destroy versions of a secret
///
/// Deletes their values permanently: they cannot be read or rolled back to. The active version
/// cannot be destroyed. `pending` names those of which the store's files still have traces.
#[utoipa::path(post, path = "/v1/secrets/{scope}/{name}/destroy", operation_id = "destroyVersions",
    tag = "versions",
    params(
        ("scope" = Scope, Path), ("name" = SecretName, Path),
        ("Idempotency-Key" = Option<String>, Header, description = "A request that is sent again \
            with the same key within 24 hours is carried out once"),
    ),
    request_body(content = DestroyRequest, example = json!({"versions": [1, 2]})),
    responses((status = 200, description = "The values were destroyed", body = Destroyed)))]
pub(super) async fn destroy(
    State(app): State<Arc<AppState>>,
    unauthenticated: Unauthenticated,
    path: Result<SecretPath, ApiError>,
    request: UnreadRequest,
) -> Result<Response, ApiError> {
    let (auth, SecretPath { scope, name }, rule) =
        authorize_secret(&app, unauthenticated, path, Verb::Destroy).await?;
    let request = request.read(body::MAX_SMALL_BYTES).await?;
    let versions = body::destroy_request(&request.body)?;
    let options = request.unconditional_options(&auth, rule)?;
    let (secrets, caller) = (app.secrets.clone(), auth.caller);
    run_change(&app, Operation::Destroy, async move {
        let numbers: Vec<Version> = versions.iter().copied().collect();
        let result = secrets.destroy(&caller, &scope, &name, &numbers, &options).await?;
        let pending = numbers.iter().filter(|it| !result.destroyed.contains(it)).copied().collect();
        Ok(Destroyed { scope, name, versions, pending })
    })
    .await
}
