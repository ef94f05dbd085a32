//! Whether secrets can be read and written, checked at most once a second.

use std::time::Duration;

use runtime::logs::ErrorChain;
use tokio::sync::Mutex;
use tokio::time::Instant;

use super::AppState;

/// Anyone may ask for the health, so one check of the ledger and the store serves every request
/// within this time.
const CACHE_TTL: Duration = Duration::from_secs(1);

/// The last result, and when it was found.
#[derive(Default)]
pub(crate) struct HealthCache(Mutex<Option<(Instant, bool)>>);

impl HealthCache {
    /// Whether the ledger and the store can be reached.
    pub(crate) async fn is_healthy(&self, app: &AppState) -> bool {
        let mut last = self.0.lock().await;
        match *last {
            Some((at, healthy)) if at.elapsed() < CACHE_TTL => healthy,
            _ => {
                let healthy = check(app).await;
                *last = Some((Instant::now(), healthy));
                healthy
            }
        }
    }
}

async fn check(app: &AppState) -> bool {
    let ledger =
        app.repository.health().await.inspect_err(
            |error| tracing::warn!(error = %ErrorChain(error), "ledger is not healthy"),
        );
    let store =
        app.store.health().await.inspect_err(
            |error| tracing::warn!(error = %ErrorChain(error), "store is not healthy"),
        );
    ledger.is_ok() && store.is_ok()
}
