//! `/v1/secrets/{scope}/{name}/metadata`: what is written beside a value, without the value.

use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;
use contract::api::{MetadataRequest, SecretSummary};
use contract::{Scope, SecretName};

use super::body;
use super::json_request::UnreadRequest;
use super::list_event;
use super::path::{SecretPath, authorize_secret};
use super::reads_until::reads_until;
use super::references;
use super::response::{check_disk, json, run_change};
use super::secrets::map_absent;
use crate::app::{ApiError, AppState, Unauthenticated};
use crate::audit::ResourceKind;
use crate::metrics::Operation;
use crate::policy::Verb;
use crate::secrets::{SecretsError, own_summary};

/// Read a secret's metadata
///
/// Version, message, tags, notes, expiry and the last reads, without the value; and for a value
/// with references the secrets that it refers to, as far as the caller may know of them.
#[utoipa::path(get, path = "/v1/secrets/{scope}/{name}/metadata", operation_id = "readMetadata",
    tag = "secrets",
    params(("scope" = Scope, Path), ("name" = SecretName, Path)),
    responses((status = 200, description = "The secret without its value", body = SecretSummary)))]
pub(super) async fn read(
    State(app): State<Arc<AppState>>,
    unauthenticated: Unauthenticated,
    path: Result<SecretPath, ApiError>,
) -> Result<Response, ApiError> {
    let (auth, SecretPath { scope, name }, rule) =
        authorize_secret(&app, unauthenticated, path, Verb::List).await?;
    let found = app.repository.find_with_reads(&scope, &name).await.map_err(SecretsError::from)?;
    let Some(secret) = found else {
        return Err(SecretsError::NotFound { scope, name }.into());
    };
    let resource = (ResourceKind::Secret, name.to_string());
    let references = secret.references.as_ref().map(|it| references::visible(&auth, it));
    list_event::record(&app, auth.caller, resource, Some(&scope), 1, &rule).await?;
    let reads_until = Some(reads_until(&app, None).await?);
    json(&SecretSummary { references, reads_until, ..own_summary(&scope, secret) })
}

/// Change a secret's metadata
///
/// Notes, tags and the active version's expiry, without a new version: what is absent stays, and
/// `null` removes. None of it is secret.
#[utoipa::path(patch, path = "/v1/secrets/{scope}/{name}/metadata",
    operation_id = "changeMetadata", tag = "secrets",
    params(
        ("scope" = Scope, Path), ("name" = SecretName, Path),
        ("If-Match" = Option<String>, Header, description = "Change only if one of these is the \
            active version, for example `\"3\"`"),
        ("Idempotency-Key" = Option<String>, Header, description = "A request that is sent again \
            with the same key within 24 hours is carried out once"),
    ),
    request_body(content = MetadataRequest, example = json!({"tags": {"team": "payments",
        "old": null}, "expires_at": "2027-01-31T00:00:00Z", "message": "renewed at the issuer"})),
    responses((status = 200, description = "The secret without its value", body = SecretSummary)))]
pub(super) async fn change(
    State(app): State<Arc<AppState>>,
    unauthenticated: Unauthenticated,
    path: Result<SecretPath, ApiError>,
    request: UnreadRequest,
) -> Result<Response, ApiError> {
    let (auth, SecretPath { scope, name }, rule) =
        authorize_secret(&app, unauthenticated, path, Verb::Write).await?;
    check_disk(&app)?;
    let request = request.read(body::MAX_SMALL_BYTES).await?;
    let change = body::metadata_request(&request.body)?;
    let options = request.write_options(&app, &auth, rule, (&scope, &name)).await?;
    let (secrets, caller) = (app.secrets.clone(), auth.caller);
    run_change(&app, Operation::Annotate, async move {
        let changed = secrets.annotate(&caller, &scope, &name, change, &options).await;
        changed.map_err(|error| map_absent(error, options.condition))
    })
    .await
}
