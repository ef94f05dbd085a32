//! `GET /v1/scopes`: the tree of the scopes that have secrets.

use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;
use contract::Scope;
use contract::api::{Page, ScopeList, ScopeSummary};
use http::Uri;

use super::list_event;
use super::page::{after, cursor, limit, query};
use super::response::json;
use super::visible_page::visible_page;
use super::visible_scopes::{goes_beyond, roots};
use crate::app::{ApiError, AppState, Unauthenticated};
use crate::audit::ResourceKind;
use crate::policy::{Principal, SecretFilter, listable_secrets};
use crate::repository::{ListQuery, RepositoryError};

/// List scopes
///
/// Every scope with secrets that the caller may list, and how many: a project, then each of its
/// environments, each before its services. A scope without secrets of its own is not listed.
#[utoipa::path(get, path = "/v1/scopes", operation_id = "listScopes", tag = "secrets",
    params(Page),
    responses((status = 200, description = "The scopes", body = ScopeList)))]
pub(super) async fn list(
    State(app): State<Arc<AppState>>,
    unauthenticated: Unauthenticated,
    uri: Uri,
) -> Result<Response, ApiError> {
    let auth = unauthenticated.authenticate(&app).await?;
    let page: Page = query(&uri, "limit=<1 to 1000> and cursor=<next of the previous page>")?;
    let limit = limit(page.limit)?;
    let from: Option<Scope> = after("scopes", page.cursor.as_deref())?;
    let roots = roots(&auth.principal, None);
    let (scopes, last) = visible_page(
        from,
        limit,
        |after, limit| fetch(&app, &auth.principal, &roots, after, limit),
        |it: &ScopeSummary| it.scope.clone(),
        |it| (it.secrets > 0).then_some(it),
    )
    .await?;
    let next = last.map(|scope| cursor("scopes", &scope.to_string()));
    let resource = (ResourceKind::Scope, "scopes".to_owned());
    list_event::record(&app, auth.caller, resource, None, scopes.len(), "what is visible").await?;
    json(&ScopeList { scopes, next })
}

/// The next scopes, each with how many secrets the principal may list, which may be none.
async fn fetch(
    app: &AppState,
    principal: &Principal,
    roots: &[Option<Scope>],
    after: Option<Scope>,
    limit: u32,
) -> Result<Vec<ScopeSummary>, RepositoryError> {
    let mut found = Vec::new();
    for root in roots.iter().filter(|it| goes_beyond(it.as_ref(), after.as_ref())) {
        let left = limit.saturating_sub(u32::try_from(found.len()).unwrap_or(u32::MAX));
        if left == 0 {
            break;
        }
        for (scope, held) in app.repository.scopes(root.as_ref(), after.as_ref(), left).await? {
            let secrets = match listable_secrets(principal, &scope) {
                Ok((SecretFilter::All, _)) => held,
                Ok((SecretFilter::Only(names), _)) => {
                    let everything = ListQuery { limit: u32::MAX, ..ListQuery::default() };
                    app.repository.list_named(&scope, &names, &everything).await?.len() as u64
                }
                Err(_) => 0,
            };
            found.push(ScopeSummary { scope, secrets });
        }
    }
    Ok(found)
}
