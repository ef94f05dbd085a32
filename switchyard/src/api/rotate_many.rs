//! `POST /v1/rotate/{scope}`: rotates several secrets as one generation.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;
use contract::Scope;
use contract::api::{RotateManyRequest, Written};

use super::body;
use super::json_request::{JsonRequest, UnreadRequest};
use super::path::ScopePath;
use super::response::{check_disk, run_change};
use super::secrets::version_condition;
use crate::app::{ApiError, AppState, Unauthenticated};
use crate::generate::generate;
use crate::metrics::Operation;
use crate::policy::{Target, Verb};
use crate::repository::Condition;
use crate::secrets::{Rotation, WriteOptions};

/// Rotate several secrets
///
/// Writes a new version of each secret: the given value, or one that the server generates. Either
/// all become part of one new generation of every bundle that holds them, or nothing is written.
/// Every secret must exist. The response does not contain the values.
#[utoipa::path(post, path = "/v1/rotate/{scope}", operation_id = "rotateSecrets",
    tag = "versions",
    params(
        ("scope" = Scope, Path),
        ("Idempotency-Key" = Option<String>, Header, description = "A request that is sent again \
            with the same key within 24 hours is carried out once"),
    ),
    request_body(content = RotateManyRequest,
        example = json!({"secrets": {"SESSION_KEY": {"generate": {"length": 40}}, "SALT": {}}})),
    responses((status = 200, description = "The new versions are active", body = Written)))]
pub(super) async fn rotate(
    State(app): State<Arc<AppState>>,
    unauthenticated: Unauthenticated,
    path: Result<ScopePath, ApiError>,
    request: UnreadRequest,
) -> Result<Response, ApiError> {
    let auth = unauthenticated.authenticate(&app).await?;
    let ScopePath(scope) = path?;
    auth.authorize_some(&app, Verb::Write, &scope).await?;
    check_disk(&app)?;
    let request = request.read(body::MAX_ROTATE_BYTES).await?;
    let RotateManyRequest { secrets: requested } = body::rotate_many_request(&request.body)?;
    let mut rule = None;
    for name in requested.keys() {
        rule = Some(auth.authorize(&app, Verb::Write, Target::Secret(&scope, name)).await?);
    }
    let mut values = BTreeMap::new();
    for (name, rotation) in requested {
        let value = match rotation.value {
            Some(value) => value,
            None => generate(rotation.generate.unwrap_or_default())
                .map_err(|_| ApiError::unavailable("the system has no random numbers"))?,
        };
        let condition = rotation.if_version.map_or(Condition::Present, version_condition);
        let (message, expires_at) = (rotation.message, rotation.expires_at);
        values.insert(name, Rotation { value, condition, message, expires_at });
    }
    let options =
        WriteOptions { idempotency: request.idempotency(&auth)?, rule, ..WriteOptions::default() };
    let (secrets, caller) = (app.secrets.clone(), auth.caller);
    let JsonRequest { body, lease, .. } = request;
    run_change(&app, Operation::Rotate, async move {
        // The body and what was parsed of it are in memory until the end.
        let (_body, _lease) = (body, lease);
        secrets.rotate_many(&caller, &scope, &values, &options).await
    })
    .await
}
