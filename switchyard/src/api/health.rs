//! `/v1/health`: whether secrets can be read and written right now.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::response::Response;
use contract::api::{self, HealthStatus};
use runtime::logs::ErrorChain;
use tokio::sync::Mutex;
use tokio::time::Instant;

use super::App;
use super::answer::json;
use super::problem::Refusal;

/// Anybody may ask, so the ledger and the store are asked once for all who come within this time.
const FRESH: Duration = Duration::from_secs(1);

/// The last answer, and when it was found out.
#[derive(Default)]
pub(crate) struct Health(Mutex<Option<(Instant, bool)>>);

/// Ask for the server's health
///
/// Whether secrets can be read and written right now.
#[utoipa::path(get, path = "/v1/health", operation_id = "readHealth", tag = "server", security(()),
    responses((status = 200, description = "The ledger and the store can be reached", body = api::Health)))]
pub(super) async fn read(State(app): State<Arc<App>>) -> Result<Response, Refusal> {
    let mut last = app.health.0.lock().await;
    let healthy = match *last {
        Some((at, healthy)) if at.elapsed() < FRESH => healthy,
        _ => {
            let healthy = look(&app).await;
            *last = Some((Instant::now(), healthy));
            healthy
        }
    };
    if healthy {
        json(&api::Health { status: HealthStatus::Ok })
    } else {
        Err(Refusal::unavailable("the ledger or the store cannot be reached"))
    }
}

async fn look(app: &App) -> bool {
    let ledger = app
        .repository
        .health()
        .await
        .inspect_err(|error| tracing::warn!(error = %ErrorChain(error), "ledger not healthy"));
    let store = app
        .store
        .health()
        .await
        .inspect_err(|error| tracing::warn!(error = %ErrorChain(error), "store not healthy"));
    ledger.is_ok() && store.is_ok()
}
