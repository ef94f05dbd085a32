//! `GET /v1/search`: secrets by name, tag and expiry, wherever the caller may look.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;
use contract::api::{FoundSecrets, SecretSummary};
use contract::metadata::Tag;
use contract::{Scope, SecretName};
use http::Uri;
use jiff::Timestamp;
use serde::Deserialize;

use super::list_event;
use super::page::{after, cursor, limit, query};
use super::reads_until::reads_until;
use super::response::json;
use super::visible_page::visible_page;
use super::visible_scopes::{goes_beyond, roots};
use crate::app::{ApiError, AppState, Unauthenticated};
use crate::audit::{ResourceKind, sanitize};
use crate::policy::{Target, Verb, decide};
use crate::repository::{MAX_SEARCHED_TAGS, RepositoryError, ScopedSecret, SearchQuery};
use crate::secrets::own_summary;

/// The query of a search.
#[derive(Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct SearchParameters {
    /// A part of the name, in whatever case.
    #[param(min_length = 1, max_length = 253, pattern = "^[A-Za-z0-9_.-]+$", example = "stripe")]
    q: Option<String>,
    /// Tags that the secret has, all of them: `team=payments` or, whatever the value, `pci`. At
    /// most 4, separated by commas.
    #[param(
        min_length = 1,
        max_length = 1600,
        pattern = "^[A-Za-z0-9_./=,-]+$",
        example = "team=payments,pci"
    )]
    tag: Option<String>,
    /// Only secrets whose credential ends before this time, those that have ended included.
    #[param(value_type = Option<String>, format = DateTime, example = "2027-01-31T00:00:00Z")]
    expiring_before: Option<Timestamp>,
    /// Only secrets that nobody read since this time: no pod, no person and no program. One that
    /// was never read counts from when it was first written.
    #[param(value_type = Option<String>, format = DateTime, example = "2026-08-31T00:00:00Z")]
    unused_since: Option<Timestamp>,
    /// Only this scope and those below it.
    #[param(value_type = Option<Scope>)]
    scope: Option<String>,
    /// The page size.
    #[param(minimum = 1, maximum = 1000, default = 100)]
    limit: Option<u32>,
    /// The `next` of the previous page, unchanged.
    #[param(min_length = 1, max_length = 1024, pattern = "^[A-Za-z0-9_-]+$")]
    cursor: Option<String>,
}

/// Search secrets
///
/// Names and tags of all scopes, without values: only secrets that the caller may list, in the
/// order of their scopes and names. Without a parameter, all of them.
#[utoipa::path(get, path = "/v1/search", operation_id = "searchSecrets", tag = "secrets",
    params(SearchParameters),
    responses((status = 200, description = "The secrets that were found", body = FoundSecrets)))]
pub(super) async fn search(
    State(app): State<Arc<AppState>>,
    unauthenticated: Unauthenticated,
    uri: Uri,
) -> Result<Response, ApiError> {
    let auth = unauthenticated.authenticate(&app).await?;
    let parameters: SearchParameters = query(
        &uri,
        "q=<part of a name>, tag=<key=value,key>, expiring_before=<time>, unused_since=<time>, \
            scope=<scope>, limit=<1 to 1000> and cursor=<next of the previous page>",
    )?;
    let limit = limit(parameters.limit)?;
    let from: Option<SearchPosition> = after("search", parameters.cursor.as_deref())?;
    let search = parse(parameters)?;
    let reads_until = Some(reads_until(&app, search.unused_since).await?);
    let roots = roots(&auth.principal, search.within.as_ref());
    let may_list = |it: &ScopedSecret| {
        decide(&auth.principal, Verb::List, Target::Secret(&it.scope, &it.secret.name)).is_ok()
    };
    let (secrets, last): (Vec<SecretSummary>, _) = visible_page(
        from,
        limit,
        |after, limit| fetch(&app, &search, &roots, after, limit),
        |it: &ScopedSecret| SearchPosition(it.scope.clone(), it.secret.name.clone()),
        |it| {
            let fits = search.matches_tags(&it.secret.metadata.tags) && may_list(&it);
            fits.then(|| own_summary(&it.scope, it.secret))
        },
    )
    .await?;
    let next = last.map(|it| cursor("search", &it.to_string()));
    let resource = (ResourceKind::Secret, "search".to_owned());
    let rule = format!("what is visible; {}", sanitize(uri.query().unwrap_or("no filter")));
    let scope = search.within.as_ref();
    list_event::record(&app, auth.caller, resource, scope, secrets.len(), &rule).await?;
    json(&FoundSecrets { secrets, reads_until, next })
}

fn parse(parameters: SearchParameters) -> Result<SearchQuery, ApiError> {
    let SearchParameters { q, tag, expiring_before, unused_since, scope, .. } = parameters;
    let is_part_of_name = |byte: u8| byte.is_ascii_alphanumeric() || b"_.-".contains(&byte);
    let fits = |name: &String| (1..=253).contains(&name.len()) && name.bytes().all(is_part_of_name);
    if q.as_ref().is_some_and(|name| !fits(name)) {
        return Err(ApiError::malformed(
            "q must be a part of a name: 1 to 253 letters, digits, '_', '.' and '-'",
        ));
    }
    let name = q.unwrap_or_default();
    let tags = tag.iter().flat_map(|it| it.split(',')).map(str::parse::<Tag>);
    let tags: Vec<Tag> = tags
        .collect::<Result<_, _>>()
        .map_err(|error| ApiError::malformed(format!("{error}; write tag=key=value,key")))?;
    if tags.len() > MAX_SEARCHED_TAGS {
        return Err(ApiError::malformed(format!("a search has at most {MAX_SEARCHED_TAGS} tags")));
    }
    let within = scope.map(|text| {
        text.parse::<Scope>().map_err(|_| {
            ApiError::malformed(
                "scope must be project, project.environment or \
                project.environment.service",
            )
        })
    });
    let within = within.transpose()?;
    let more = SearchQuery::default();
    Ok(SearchQuery { within, name, tags, expiring_before, unused_since, ..more })
}

async fn fetch(
    app: &AppState,
    search: &SearchQuery,
    roots: &[Option<Scope>],
    after: Option<SearchPosition>,
    limit: u32,
) -> Result<Vec<ScopedSecret>, RepositoryError> {
    let after = after.map(|SearchPosition(scope, name)| (scope, name));
    let after_scope = after.as_ref().map(|(scope, _)| scope);
    let mut found = Vec::new();
    for root in roots.iter().filter(|it| goes_beyond(it.as_ref(), after_scope)) {
        let left = limit.saturating_sub(u32::try_from(found.len()).unwrap_or(u32::MAX));
        if left == 0 {
            break;
        }
        let page = SearchQuery {
            within: root.clone(),
            after: after.clone(),
            limit: left,
            ..search.clone()
        };
        found.extend(app.repository.search(&page).await?);
    }
    Ok(found)
}

/// A secret of a page, as its cursor has it.
#[derive(Clone, Debug, PartialEq, Eq)]
struct SearchPosition(Scope, SecretName);

impl fmt::Display for SearchPosition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.0, self.1)
    }
}

impl FromStr for SearchPosition {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let (scope, name) = text.split_once('/').ok_or(())?;
        Ok(Self(scope.parse().map_err(drop)?, name.parse().map_err(drop)?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_search_is_bounded() {
        let parse = |text: &str| {
            let uri: Uri = format!("/v1/search?{text}").parse().unwrap();
            parse(query::<SearchParameters>(&uri, "").unwrap())
        };
        let found = parse("q=db_URL&tag=team%3Da,pci&scope=shop.prod").unwrap();
        assert_eq!((found.name.as_str(), found.tags.len()), ("db_URL", 2));
        for text in ["q=a%25", "q=a%20b", "tag=a,b,c,d,e", "tag=a,,b", "tag=%3Da", "scope=Shop"] {
            assert!(parse(text).is_err(), "{text} was accepted");
        }
        let found = SearchPosition("shop.prod".parse().unwrap(), "A.b".parse().unwrap());
        assert_eq!(found.to_string().parse(), Ok(found));
    }
}
