//! `GET /v1/access/readers`: who can read a secret, by which rules, and until when.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;
use contract::api::{AccessKind, AccessReader, AccessReaderList};
use contract::{Scope, SecretName};
use http::Uri;
use jiff::Timestamp;
use serde::Deserialize;

use super::super::list_event;
use super::super::page::{after, cursor, limit, query};
use super::super::response::json;
use crate::access::{Reader, ReaderPosition};
use crate::app::{ApiError, AppState, Unauthenticated};
use crate::audit::ResourceKind;
use crate::policy::{Target, Verb};
use crate::secrets::SecretsError;

/// The pods of one service account in a development file that are named.
const MAX_DEVELOPMENT_PODS: usize = 20;

/// The query of a list of readers.
#[derive(Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(in crate::api) struct ListReadersQuery {
    /// The scope of the secret.
    #[param(value_type = Scope)]
    scope: Scope,
    /// The secret. Without it, the list is of those who can read all of the scope.
    #[param(value_type = Option<SecretName>)]
    secret: Option<SecretName>,
    /// The page size.
    #[param(minimum = 1, maximum = 1000, default = 100)]
    limit: Option<u32>,
    /// The `next` of the previous page, unchanged.
    #[param(min_length = 1, max_length = 1024, pattern = "^[A-Za-z0-9_-]+$")]
    cursor: Option<String>,
}

/// List who can read
///
/// Each rule that lets somebody read the secret or all of the scope: the roles of groups, the rules
/// for jobs of CI systems, grants, tokens, and the bundles of pods. Somebody with several rules is
/// listed once for each. The caller must be allowed to grant in the scope.
#[utoipa::path(get, path = "/v1/access/readers", operation_id = "listReaders", tag = "access",
    params(ListReadersQuery),
    responses((status = 200, description = "Who can read", body = AccessReaderList)))]
pub(in crate::api) async fn list(
    State(app): State<Arc<AppState>>,
    unauthenticated: Unauthenticated,
    uri: Uri,
) -> Result<Response, ApiError> {
    let auth = unauthenticated.authenticate(&app).await?;
    let form = "scope=<scope>, secret=<name>, limit=<1 to 1000> and cursor=<next of the previous \
        page>";
    let asked: ListReadersQuery = query(&uri, form)?;
    let ListReadersQuery { scope, secret, limit: requested, cursor: from } = asked;
    let rule = auth.authorize(&app, Verb::Grant, Target::Scope(&scope)).await?;
    let from: Option<ReaderPosition> = after("readers", from.as_deref())?;
    let found = app.access.readers(&scope, secret.as_ref(), from, limit(requested)?).await;
    let (readers, last) = found.map_err(SecretsError::from)?;
    let next = last.map(|it| cursor("readers", &it.to_string()));
    let development = development_pods(&app);
    let view = |reader: Reader| {
        let Reader { kind, name, rule, grant, bundle, until } = reader;
        let pods = match kind {
            AccessKind::ServiceAccount => development.get(&name).cloned().unwrap_or_default(),
            _ => Vec::new(),
        };
        AccessReader { kind, name, rule, grant, bundle, until, development_pods: pods }
    };
    let readers: Vec<AccessReader> = readers.into_iter().map(view).collect();
    let resource = match &secret {
        Some(secret) => (ResourceKind::Secret, secret.to_string()),
        None => (ResourceKind::Scope, scope.to_string()),
    };
    let details = format!("who can read; {rule}");
    list_event::record(&app, auth.caller, resource, Some(&scope), readers.len(), &details).await?;
    json(&AccessReaderList { scope, secret, readers, at: Timestamp::now(), next })
}

/// The pods of a development file, by service account.
fn development_pods(app: &AppState) -> BTreeMap<String, Vec<String>> {
    let mut all: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for pod in app.pods.development_pods() {
        let account = format!("{}/{}", pod.namespace, pod.service_account);
        let names = all.entry(account).or_default();
        if names.len() < MAX_DEVELOPMENT_PODS {
            names.push(pod.name);
        }
    }
    all
}
