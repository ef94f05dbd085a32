//! `/v1/admin/rekey`: reseals all values under the current key.

use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;
use lockbox::StoreError;
use runtime::logs::ErrorChain;

use super::response::json;
use crate::app::{ApiError, AppState, Unauthenticated};
use crate::policy::{Target, Verb};
use crate::rekey::{Rekey, RekeyError};

/// Read the progress of a rekey
#[utoipa::path(get, path = "/v1/admin/rekey", operation_id = "readRekey", tag = "server",
    responses((status = 200, description = "The progress", body = contract::api::Rekey)))]
pub(super) async fn status(
    State(app): State<Arc<AppState>>,
    unauthenticated: Unauthenticated,
) -> Result<Response, ApiError> {
    unauthenticated
        .authenticate(&app)
        .await?
        .authorize(&app, Verb::Admin, Target::Everything)
        .await?;
    json(&rekey(&app)?.status().await?)
}

/// Start a rekey
///
/// Reseals all values under the current key in the background. Answers with the progress if a rekey
/// is already running.
#[utoipa::path(post, path = "/v1/admin/rekey", operation_id = "startRekey", tag = "server",
    responses((status = 200, description = "The progress", body = contract::api::Rekey)))]
pub(super) async fn start(
    State(app): State<Arc<AppState>>,
    unauthenticated: Unauthenticated,
) -> Result<Response, ApiError> {
    let auth = unauthenticated.authenticate(&app).await?;
    auth.authorize(&app, Verb::Admin, Target::Everything).await?;
    json(&rekey(&app)?.start(&auth.caller).await?)
}

fn rekey(app: &AppState) -> Result<&Rekey, ApiError> {
    app.rekey.as_ref().ok_or_else(|| ApiError::not_found("the store manages its own keys"))
}

impl From<RekeyError> for ApiError {
    fn from(error: RekeyError) -> Self {
        tracing::error!(error = %ErrorChain(&error), "rekey failed");
        match error {
            RekeyError::Audit(_) => {
                Self::unavailable("the audit log cannot be written, so no key is changed")
            }
            RekeyError::Store(StoreError::Backend { step, .. }) => {
                Self::unavailable(format!("{step}: the store does not answer"))
            }
            _ => Self::unavailable("the ledger cannot be reached"),
        }
    }
}
