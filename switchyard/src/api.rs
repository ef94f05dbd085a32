//! The REST API: people and programs write, read and list secrets, and read the audit log.
//!
//! Every error is a problem document (RFC 9457) with the request's trace id. A body with values is
//! never logged and never quoted in a response.

mod access;
mod admin;
mod audit;
mod audit_query;
mod body;
mod body_metadata;
mod bundles;
mod drain;
mod grants;
mod health;
mod idempotency;
mod json_request;
mod kept_token;
mod list_event;
mod login;
mod metadata;
mod middleware;
mod openapi;
mod page;
mod path;
mod pods;
mod preconditions;
mod read_many;
mod reads_until;
mod references;
mod response;
mod rotate_many;
mod scopes;
mod search;
mod secret_list;
mod secrets;
mod tokens;
mod versions;
mod visible_page;
mod visible_scopes;
mod workload_login;

use std::sync::Arc;

use axum::Router;
use axum::middleware::from_fn_with_state;
use axum::response::{IntoResponse as _, Response};
use axum::routing::{MethodRouter, delete, get, post};
use contract::stream;
use http::{Method, Uri};

use crate::app::{ApiError, AppState};
use crate::audit::sanitize;

/// All routes, as the OpenAPI document lists them.
fn routes() -> Vec<(&'static str, MethodRouter<Arc<AppState>>)> {
    vec![
        ("/v1/secrets/{scope}/", get(secret_list::list).post(secrets::write)),
        ("/v1/secrets/{scope}/{name}", get(secrets::read).delete(secrets::delete)),
        ("/v1/secrets/{scope}/{name}/metadata", get(metadata::read).patch(metadata::change)),
        ("/v1/secrets/{scope}/{name}/versions", get(versions::list)),
        ("/v1/secrets/{scope}/{name}/rotate", post(versions::rotate)),
        ("/v1/secrets/{scope}/{name}/rollback", post(versions::rollback)),
        ("/v1/secrets/{scope}/{name}/undelete", post(versions::undelete)),
        ("/v1/secrets/{scope}/{name}/destroy", post(versions::destroy)),
        ("/v1/read/{scope}", post(read_many::read)),
        ("/v1/rotate/{scope}", post(rotate_many::rotate)),
        ("/v1/scopes", get(scopes::list)),
        ("/v1/search", get(search::search)),
        ("/v1/bundles", get(bundles::list)),
        ("/v1/bundles/{scope}", get(bundles::read)),
        ("/v1/bundles/{scope}/values", get(bundles::values)),
        ("/v1/pods", get(pods::list)),
        ("/v1/pods/{namespace}/{pod}", get(pods::read)),
        ("/v1/grants", get(grants::list).post(grants::add)),
        ("/v1/grants/{id}", delete(grants::remove)),
        ("/v1/tokens", get(tokens::list).post(tokens::create)),
        ("/v1/tokens/{name}", delete(tokens::revoke)),
        ("/v1/access/check", post(access::check::check)),
        ("/v1/access/readers", get(access::readers::list)),
        ("/v1/access/reads", get(access::reads::list)),
        ("/v1/login", get(login::read).post(login::login)),
        ("/v1/login/workload", post(workload_login::login)),
        ("/v1/logout", post(login::logout)),
        ("/v1/whoami", get(login::whoami)),
        ("/v1/audit", get(audit::list)),
        ("/v1/audit/checkpoints", get(audit::checkpoints)),
        ("/v1/audit/export", get(audit::export)),
        ("/v1/admin/rekey", get(admin::status).post(admin::start)),
        ("/v1/health", get(health::read)),
        ("/v1/openapi.json", get(openapi::read)),
        (stream::PATH, get(crate::stream::open)),
    ]
}

/// The routes with their middleware. A path and the same path with a slash at its end are equal.
pub(crate) fn router(app: Arc<AppState>) -> Router {
    let mut router = Router::new();
    for (path, methods) in routes() {
        let alias = path.strip_suffix('/').map_or_else(|| format!("{path}/"), str::to_owned);
        router = router.route(path, methods.clone()).route(&alias, methods);
    }
    let middleware = from_fn_with_state(Arc::clone(&app), middleware::handle);
    router
        .fallback(no_such_path)
        .method_not_allowed_fallback(no_such_method)
        .with_state(app)
        .layer(middleware)
}

async fn no_such_path(uri: Uri) -> ApiError {
    ApiError::not_found(format!("there is nothing at {}", sanitize(uri.path())))
}

async fn no_such_method(method: Method, uri: Uri) -> Response {
    let (method, path) = (sanitize(method.as_str()), sanitize(uri.path()));
    ApiError::method_not_allowed(format!("{path} does not support {method}")).into_response()
}
