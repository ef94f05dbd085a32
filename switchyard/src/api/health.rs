//! `/v1/health`: whether secrets can be read and written right now.

use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;
use contract::api::{Health, HealthStatus};

use super::response::json;
use crate::app::{ApiError, AppState};

/// Read the server's health
///
/// Whether secrets can be read and written right now.
#[utoipa::path(get, path = "/v1/health", operation_id = "readHealth", tag = "server", security(()),
    responses((status = 200, description = "The ledger and the store can be reached",
        body = Health)))]
pub(super) async fn read(State(app): State<Arc<AppState>>) -> Result<Response, ApiError> {
    if app.health.is_healthy(&app).await {
        json(&Health { status: HealthStatus::Ok })
    } else {
        Err(ApiError::unavailable("the ledger or the store cannot be reached"))
    }
}
