//! `GET /v1/access/reads`: who read a secret, and which pods it was delivered to.

use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;
use contract::api::{SecretRead, SecretReadList};
use contract::{Scope, SecretName};
use http::Uri;
use jiff::Timestamp;
use serde::Deserialize;

use super::super::audit;
use super::super::page::{limit, query};
use super::super::response::json;
use crate::access::{FoundRead, FoundReads, ReadsWanted, SecretReadsError, reads_of};
use crate::app::{ApiError, AppState, Unauthenticated};
use crate::audit::Action;
use crate::policy::decide_audit;
use crate::secrets::SecretsError;

/// Who read: a pod, a person, a program or a job of a CI system.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum ReaderKind {
    Pod,
    Token,
    User,
    Workload,
}

/// The query of a list of reads.
#[derive(Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(in crate::api) struct ListReadsQuery {
    /// The scope of the secret.
    #[param(value_type = Scope)]
    scope: Scope,
    /// The secret.
    #[param(value_type = SecretName)]
    secret: SecretName,
    /// Only reads and deliveries of the bundle of this service.
    #[param(value_type = Option<Scope>)]
    bundle: Option<Scope>,
    /// Only reads by pods, tokens, people or jobs.
    #[param(value_type = Option<String>, pattern = "^(pod|token|user|workload)$")]
    by: Option<ReaderKind>,
    #[param(value_type = Option<String>, format = DateTime)]
    since: Option<Timestamp>,
    #[param(value_type = Option<String>, format = DateTime)]
    until: Option<Timestamp>,
    /// Only events with a smaller number: the `next` of the previous page.
    #[param(minimum = 1, maximum = 9_007_199_254_740_991_u64)]
    before: Option<u64>,
    /// The page size.
    #[param(minimum = 1, maximum = 1000, default = 100)]
    limit: Option<u32>,
}

/// List who read
///
/// The reads of a secret in the audit log, newest first: requests for it, and requests and
/// deliveries of bundles whose generation held it and whose rule selected it. The caller must be
/// allowed to audit the scope, or a part of it: then the list is of the bundles in that part.
/// Deliveries from before `known_since` may be missing, because old generations are pruned.
#[utoipa::path(get, path = "/v1/access/reads", operation_id = "listReads", tag = "access",
    params(ListReadsQuery),
    responses((status = 200, description = "Who read it", body = SecretReadList)))]
pub(in crate::api) async fn list(
    State(app): State<Arc<AppState>>,
    unauthenticated: Unauthenticated,
    uri: Uri,
) -> Result<Response, ApiError> {
    let auth = unauthenticated.authenticate(&app).await?;
    let form = "scope=<scope>, secret=<name>, bundle=<scope of a service>, by=pod|token|user|\
        workload, since=<RFC 3339>, until=<RFC 3339>, before=<number> and limit=<1 to 1000>";
    let ListReadsQuery { scope, secret, bundle, by, since, until, before, limit: size } =
        query(&uri, form)?;
    let (reach, rule) = auth.authorize_audit(&app, Some(&scope)).await?;
    let wanted = ReadsWanted {
        scope,
        secret,
        bundle,
        actor_type: by.map(|by| match by {
            ReaderKind::Pod => "pod",
            ReaderKind::Token => "token",
            ReaderKind::User => "user",
            ReaderKind::Workload => "workload",
        }),
        since,
        until,
        before: before.unwrap_or(audit::MAX_SEQUENCE),
        limit: limit(size)?,
    };
    let elsewhere = decide_audit(&auth.principal, None).ok().map(|(reach, _)| reach);
    let found = reads_of(&app.repository, &wanted, (&reach, elsewhere.as_ref())).await;
    let FoundReads { reads, next, known_since } = found.map_err(|error| match error {
        SecretReadsError::NotFound(..) => ApiError::not_found(error.to_string()),
        SecretReadsError::TooManyBundles(_) | SecretReadsError::TooManyMemberships => {
            ApiError::malformed(error.to_string())
        }
        SecretReadsError::Repository(error) => SecretsError::from(error).into(),
    })?;
    let ReadsWanted { scope, secret, .. } = wanted;
    let details = format!("who read {scope}/{secret}, {} events; {rule}", reads.len());
    audit::record(&app, auth.caller, Action::List, details).await?;
    let reads = reads.into_iter().map(view).collect();
    json(&SecretReadList { scope, secret, reads, known_since, next })
}

fn view(read: FoundRead) -> SecretRead {
    let FoundRead { record, version, bundle, uncertain } = read;
    let generation = bundle.as_ref().and(record.version);
    let reader = record.actor();
    let (pod, pod_uid) = record.pod.map(|it| (it.name, it.uid)).unzip();
    SecretRead {
        sequence: record.sequence,
        at: record.at,
        reader,
        pod,
        pod_uid,
        version,
        bundle,
        generation,
        uncertain,
        rule: record.details,
        address: record.address,
        user_agent: record.user_agent,
        trace_id: record.trace_id,
    }
}
