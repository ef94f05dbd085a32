//! `/v1/admin/rekey`: another key takes over from the one that values were sealed under.

use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;
use lockbox::StoreError;
use runtime::logs::ErrorChain;

use super::App;
use super::answer::json;
use super::problem::Refusal;
use super::request::Asked;
use crate::policy::{Target, Verb};
use crate::rekey::{Rekey, RekeyError};

/// Ask how far a change of keys is
#[utoipa::path(get, path = "/v1/admin/rekey", operation_id = "readRekey", tag = "server",
    responses((status = 200, description = "How far it is", body = contract::api::Rekey)))]
pub(super) async fn status(State(app): State<Arc<App>>, asked: Asked) -> Result<Response, Refusal> {
    asked.principal(&app).await?.may(&app, Verb::Admin, Target::Everything).await?;
    json(&rekey(&app)?.status().await?)
}

/// Seal everything under the current key
///
/// Starts it in the background, or says that it runs.
#[utoipa::path(post, path = "/v1/admin/rekey", operation_id = "startRekey", tag = "server",
    responses((status = 200, description = "How far it is", body = contract::api::Rekey)))]
pub(super) async fn start(State(app): State<Arc<App>>, asked: Asked) -> Result<Response, Refusal> {
    let asker = asked.principal(&app).await?;
    asker.may(&app, Verb::Admin, Target::Everything).await?;
    json(&rekey(&app)?.start(&asker.caller).await?)
}

fn rekey(app: &App) -> Result<&Rekey, Refusal> {
    app.rekey.as_ref().ok_or_else(|| {
        Refusal::not_found("values are kept in another store, which has keys of its own")
    })
}

impl From<RekeyError> for Refusal {
    fn from(error: RekeyError) -> Self {
        tracing::error!(error = %ErrorChain(&error), "key not changed");
        match error {
            RekeyError::Audit(_) => {
                Self::unavailable("the audit trail cannot be written, so the key is not changed")
            }
            RekeyError::Store(StoreError::Backend { step, .. }) => {
                Self::unavailable(format!("{step}: it does not answer"))
            }
            _ => Self::unavailable("the ledger cannot be reached"),
        }
    }
}
