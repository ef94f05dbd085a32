//! `GET /v1/access/readers`: who can read a secret, by which rules, and until when.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;
use contract::api::{AccessKind, AccessReader, AccessReaderList};
use contract::{Scope, SecretName, SecretRef};
use http::Uri;
use jiff::Timestamp;
use serde::Deserialize;

use super::super::list_event;
use super::super::page::{after, limit, query, truncate};
use super::super::response::json;
use crate::access::{Reader, ReaderPosition};
use crate::app::{ApiError, AppState, Authenticated, Unauthenticated};
use crate::audit::ResourceKind;
use crate::policy::{Target, Verb, decide};
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
/// listed once for each. Whoever can read a secret that refers to it is listed with `through`, if
/// the caller may grant there as well; the other referrers are counted. The caller must be allowed
/// to grant in the scope.
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
    let from: Option<ReaderPlace> = after("readers", from.as_deref())?;
    let limit = limit(requested)?;
    let Sources { sources, hidden_referrers } =
        sources(&app, &auth, &scope, secret.as_ref()).await?;
    let mut found = find(&app, sources, from, limit).await?;
    let next = truncate(&mut found, limit, "readers", |(place, _)| place.to_string());
    let development = development_pods(&app);
    let view = |(ReaderPlace { through, .. }, reader): (ReaderPlace, Reader)| {
        let Reader { kind, name, rule, grant, bundle, until } = reader;
        let pods = match kind {
            AccessKind::ServiceAccount => development.get(&name).cloned().unwrap_or_default(),
            _ => Vec::new(),
        };
        AccessReader { kind, name, rule, grant, bundle, until, through, development_pods: pods }
    };
    let readers: Vec<AccessReader> = found.into_iter().map(view).collect();
    let resource = match &secret {
        Some(secret) => (ResourceKind::Secret, secret.to_string()),
        None => (ResourceKind::Scope, scope.to_string()),
    };
    let details = format!("who can read; {rule}");
    list_event::record(&app, auth.caller, resource, Some(&scope), readers.len(), &details).await?;
    let at = Timestamp::now();
    json(&AccessReaderList { scope, secret, readers, hidden_referrers, at, next })
}

/// A place in the list: of those who read the secret itself, then through each referrer.
#[derive(Clone, Debug, PartialEq, Eq)]
struct ReaderPlace {
    through: Option<SecretRef>,
    position: ReaderPosition,
}

impl fmt::Display for ReaderPlace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { through, position } = self;
        match through {
            None => write!(f, "{position}"),
            Some(through) => write!(f, "{position} {through}"),
        }
    }
}

impl FromStr for ReaderPlace {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let (position, through) = match text.split_once(' ') {
            None => (text, None),
            Some((position, through)) => (position, Some(through.parse().map_err(drop)?)),
        };
        Ok(Self { through, position: position.parse()? })
    }
}

/// What somebody reads to know the secret.
struct Sources {
    /// The secret or scope itself, and those that refer to it, in order.
    sources: Vec<(Option<SecretRef>, Scope, Option<SecretName>)>,
    /// Of how many the caller may not know who reads them.
    hidden_referrers: u64,
}

async fn sources(
    app: &AppState,
    auth: &Authenticated,
    scope: &Scope,
    secret: Option<&SecretName>,
) -> Result<Sources, ApiError> {
    let mut sources = vec![(None, scope.clone(), secret.cloned())];
    let mut hidden_referrers = 0;
    let referrers = match secret {
        Some(name) => app.repository.referrers(scope, name).await.map_err(SecretsError::from)?,
        None => BTreeSet::new(),
    };
    for it in referrers {
        if decide(&auth.principal, Verb::Grant, Target::Scope(&it.scope)).is_ok() {
            sources.push((Some(it.clone()), it.scope, Some(it.name)));
        } else {
            hidden_referrers += 1;
        }
    }
    Ok(Sources { sources, hidden_referrers })
}

/// One reader more than a page has, after a place.
async fn find(
    app: &AppState,
    sources: Vec<(Option<SecretRef>, Scope, Option<SecretName>)>,
    from: Option<ReaderPlace>,
    limit: u32,
) -> Result<Vec<(ReaderPlace, Reader)>, ApiError> {
    let wanted = usize::try_from(limit).unwrap_or(usize::MAX).saturating_add(1);
    let mut found = Vec::new();
    for (through, scope, secret) in sources {
        let after = match &from {
            Some(from) if through < from.through => continue,
            Some(from) if through == from.through => Some(from.position.clone()),
            _ => None,
        };
        let room = wanted.saturating_sub(found.len());
        if room == 0 {
            break;
        }
        let more = app.access.readers(&scope, secret.as_ref(), after, room).await;
        for (position, reader) in more.map_err(SecretsError::from)? {
            found.push((ReaderPlace { through: through.clone(), position }, reader));
        }
    }
    Ok(found)
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
