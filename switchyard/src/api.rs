//! The REST API: people and programs write, read and list secrets, and see the audit trail.
//!
//! Every refusal is a problem document (RFC 9457) with the request's trace id. A body with values
//! is never logged, and never quoted in an answer.

mod admin;
mod answer;
mod audit;
mod body;
mod bundles;
mod conditions;
mod document;
mod grants;
mod health;
mod login;
mod once;
mod pace;
mod page;
mod path;
mod problem;
mod request;
mod rest;
mod rows;
mod secrets;
mod sent;
mod small;
mod tokens;
mod versions;

use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::middleware::from_fn;
use axum::routing::{MethodRouter, delete, get, post};
use contract::stream;
use runtime::tasks::Tasks;
use tokio::time::Instant;

use crate::access::Access;
use crate::audit::AuditLog;
use crate::identity::{Oidc, Pods, Tokens};
use crate::limit::Budget;
use crate::metrics::Metrics;
use crate::rekey::Rekey;
use crate::repository::Repository;
use crate::secrets::Secrets;
use crate::stream::Streams;

pub(crate) use health::Health;
pub(crate) use pace::Pace;
pub(crate) use problem::Refusal;
pub(crate) use request::{Asked, unauthenticated};

/// What the handlers work with.
pub(crate) struct App {
    /// The key that checkpoints are signed with, as PEM.
    pub(crate) checkpoint_public_key: Option<String>,
    pub(crate) secrets: Secrets,
    pub(crate) repository: Repository,
    pub(crate) audit: AuditLog,
    pub(crate) tokens: Tokens,
    pub(crate) pods: Pods,
    /// Whom people log in with, where they can.
    pub(crate) oidc: Option<Oidc>,
    pub(crate) access: Access,
    pub(crate) streams: Streams,
    pub(crate) metrics: Metrics,
    pub(crate) tasks: Tasks,
    pub(crate) store: Arc<dyn lockbox::Store>,
    /// Where values are sealed under a key of ours.
    pub(crate) rekey: Option<Rekey>,
    pub(crate) strangers: Strangers,
    pub(crate) pace: Pace,
    pub(crate) health: Health,
}

/// How many refused credentials go into the audit trail: enough to see an attack, too few to fill a
/// disk with one. The metrics count all of them.
pub(crate) struct Strangers(Mutex<Budget>);

impl Default for Strangers {
    fn default() -> Self {
        Self(Mutex::new(Budget::new(100, Duration::from_secs(1), Instant::now())))
    }
}

impl Strangers {
    fn note(&self) -> bool {
        self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner).take(Instant::now())
    }
}

/// All routes, as the OpenAPI document has them.
fn routes() -> Vec<(&'static str, MethodRouter<Arc<App>>)> {
    vec![
        ("/v1/secrets/{scope}/", get(secrets::list).post(secrets::write)),
        ("/v1/secrets/{scope}/{name}", get(secrets::read).delete(secrets::delete)),
        ("/v1/secrets/{scope}/{name}/versions", get(versions::list)),
        ("/v1/secrets/{scope}/{name}/rotate", post(versions::rotate)),
        ("/v1/secrets/{scope}/{name}/rollback", post(versions::rollback)),
        ("/v1/secrets/{scope}/{name}/undelete", post(versions::undelete)),
        ("/v1/secrets/{scope}/{name}/destroy", post(versions::destroy)),
        ("/v1/bundles", get(bundles::list)),
        ("/v1/bundles/{scope}", get(bundles::read)),
        ("/v1/bundles/{scope}/values", get(bundles::values)),
        ("/v1/grants", get(grants::list).post(grants::add)),
        ("/v1/grants/{id}", delete(grants::remove)),
        ("/v1/tokens", get(tokens::list).post(tokens::create)),
        ("/v1/tokens/{name}", delete(tokens::revoke)),
        ("/v1/login", get(login::how).post(login::login)),
        ("/v1/logout", post(login::logout)),
        ("/v1/whoami", get(login::whoami)),
        ("/v1/audit", get(audit::list)),
        ("/v1/audit/checkpoints", get(audit::checkpoints)),
        ("/v1/audit/export", get(audit::export)),
        ("/v1/admin/rekey", get(admin::status).post(admin::start)),
        ("/v1/health", get(health::read)),
        ("/v1/openapi.json", get(document::read)),
        (stream::PATH, get(crate::stream::open)),
    ]
}

/// The routes with what they all share. A path with a slash at the end is the same path.
pub(crate) fn router(app: Arc<App>) -> Router {
    let mut router = Router::new();
    for (path, methods) in routes() {
        let other = path.strip_suffix('/').map_or_else(|| format!("{path}/"), str::to_owned);
        router = router.route(path, methods.clone()).route(&other, methods);
    }
    router
        .fallback(problem::no_such_path)
        .method_not_allowed_fallback(problem::no_such_method)
        .with_state(app)
        .layer(from_fn(request::frame))
}
