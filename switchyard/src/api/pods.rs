//! `/v1/pods…`: what pods hold, and how their applications took it.

use std::sync::Arc;

use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use axum::response::Response;
use contract::api::{PodBundle, PodFailedGeneration, PodList, PodRefusedGeneration, PodStatus};
use contract::stream::BundleGeneration;
use contract::{Label, Scope};
use http::Uri;
use serde::Deserialize;

use super::list_event;
use super::page::{after, cursor, limit, query};
use super::response::json;
use super::visible_page::visible_page;
use crate::app::{ApiError, AppState, Authenticated, Unauthenticated};
use crate::audit::{ResourceKind, sanitize};
use crate::delivery::generation_for;
use crate::policy::{Target, Verb, decide};
use crate::repository::{AgentPage, AgentPosition, AgentRow, HoldingRow, PodFailure};
use crate::secrets::SecretsError;

/// How many pods with one name are looked at: each has a UID of its own, and most are gone.
const MAX_NAMESAKES: u32 = 1000;

/// The query of a list of pods.
#[derive(Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct ListPodsQuery {
    /// Only pods that follow the bundle of this service.
    #[param(value_type = Option<Scope>)]
    bundle: Option<Scope>,
    /// Only pods of this namespace.
    #[param(value_type = Option<String>, min_length = 1, max_length = 63,
        pattern = "^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$")]
    namespace: Option<Label>,
    /// The page size.
    #[param(minimum = 1, maximum = 1000, default = 100)]
    limit: Option<u32>,
    /// The `next` of the previous page, unchanged.
    #[param(min_length = 1, max_length = 1024, pattern = "^[A-Za-z0-9_-]+$")]
    cursor: Option<String>,
}

/// List pods
///
/// The pods whose agents have reported something of a bundle that the caller may list, by namespace
/// and name: what they hold since when, how the application took it, and each check with its
/// outcome. A pod that is gone is listed for a while too, as one that is not connected.
#[utoipa::path(get, path = "/v1/pods", operation_id = "listPods", tag = "pods",
    params(ListPodsQuery),
    responses((status = 200, description = "The pods", body = PodList)))]
pub(super) async fn list(
    State(app): State<Arc<AppState>>,
    unauthenticated: Unauthenticated,
    uri: Uri,
) -> Result<Response, ApiError> {
    let auth = unauthenticated.authenticate(&app).await?;
    let form = "bundle=<scope of a service>, namespace=<name>, limit=<1 to 1000> and cursor=<next \
        of the previous page>";
    let ListPodsQuery { bundle: scope, namespace, limit: size, cursor: from } = query(&uri, form)?;
    let mut rule = "what is visible".to_owned();
    let bundle = match &scope {
        Some(scope) => {
            rule = auth.authorize(&app, Verb::List, Target::Scope(scope)).await?;
            Some(super::bundles::find(&app, scope).await?.id)
        }
        None => None,
    };
    let limit = limit(size)?;
    let from: Option<AgentPosition> = after("pods", from.as_deref())?;
    let namespace = namespace.map(|it| it.as_str().to_owned());
    let page = AgentPage { namespace, bundle, ..AgentPage::default() };
    let (pods, last) = visible_page(
        from,
        limit,
        |after, limit| {
            let page = AgentPage { after, limit, ..page.clone() };
            let repository = app.repository.clone();
            async move { repository.agents(&page).await }
        },
        |row: &AgentRow| AgentPosition::from(&row.state.pod),
        |row| status(&app, &auth, row),
    )
    .await?;
    let next = last.map(|it| cursor("pods", &it.to_string()));
    let resource = (ResourceKind::Bundle, "pods".to_owned());
    list_event::record(&app, auth.caller, resource, scope.as_ref(), pods.len(), &rule).await?;
    json(&PodList { pods, next })
}

/// Read a pod's status
///
/// Of several pods that had the name, the one that was connected last.
#[utoipa::path(get, path = "/v1/pods/{namespace}/{pod}", operation_id = "readPod", tag = "pods",
    params(
        ("namespace" = String, Path, description = "The namespace of the pod", min_length = 1,
            max_length = 63, pattern = "^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$"),
        ("pod" = String, Path, description = "The name of the pod", min_length = 1,
            max_length = 253, pattern = "^[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?$"),
    ),
    responses((status = 200, description = "The pod", body = PodStatus)))]
pub(super) async fn read(
    State(app): State<Arc<AppState>>,
    unauthenticated: Unauthenticated,
    path: Result<Path<(String, String)>, PathRejection>,
) -> Result<Response, ApiError> {
    let auth = unauthenticated.authenticate(&app).await?;
    let Path((namespace, pod)) = path.map_err(|_| ApiError::malformed("the path is not UTF-8"))?;
    let id = sanitize(&format!("{namespace}/{pod}"));
    if namespace.parse::<Label>().is_err() || !is_pod_name(&pod) {
        return Err(ApiError::malformed(format!(
            "{id} does not name a pod: it must be NAMESPACE/POD, as shop-prod/api-5d4f8-x7k2p"
        )));
    }
    let page = AgentPage {
        namespace: Some(namespace),
        pod: Some(pod),
        limit: MAX_NAMESAKES,
        ..AgentPage::default()
    };
    let found = app.repository.agents(&page).await.map_err(SecretsError::from)?;
    let visible = found.into_iter().filter_map(|row| status(&app, &auth, row));
    let newest = visible.max_by_key(|it| (it.connected, it.connected_at));
    let count = usize::from(newest.is_some());
    let resource = (ResourceKind::Bundle, "pods".to_owned());
    let rule = format!("pod {id}, if it is visible");
    list_event::record(&app, auth.caller, resource, None, count, &rule).await?;
    let Some(newest) = newest else {
        return Err(ApiError::not_found(format!(
            "no agent of pod {id} has reported anything, or you may list none of its bundles"
        )));
    };
    json(&newest)
}

/// Whether a text is a DNS subdomain, as the name of a pod is.
fn is_pod_name(text: &str) -> bool {
    let is_inner = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let fits = text.bytes().all(|byte| is_inner(byte) || matches!(byte, b'-' | b'.'));
    let ends = [text.bytes().next(), text.bytes().last()];
    fits && text.len() <= 253 && ends.into_iter().all(|end| end.is_some_and(is_inner))
}

/// What the caller may see of a pod: nothing, unless it may list one of the pod's bundles.
fn status(app: &AppState, auth: &Authenticated, row: AgentRow) -> Option<PodStatus> {
    let AgentRow { mut state, mut is_connected, holdings } = row;
    // What this replica knows is newer than what it has written.
    if let Some(known) = app.agents.state(&state.pod.uid) {
        let checks = known.checks.clone().or(state.checks);
        is_connected = known.disconnected_at.is_none();
        state = known;
        state.checks = checks;
    }
    let may_list = |it: &HoldingRow| {
        decide(&auth.principal, Verb::List, Target::Scope(&it.bundle.scope)).is_ok()
    };
    let (visible, hidden): (Vec<_>, Vec<_>) = holdings.into_iter().partition(may_list);
    if visible.is_empty() {
        return None;
    }
    let bundles =
        visible.into_iter().map(|it| bundle(it, &state.pod.uid, &state.refused)).collect();
    let requests = app.agents.requests(&state.pod.uid);
    Some(PodStatus {
        requests,
        namespace: state.pod.namespace,
        pod: state.pod.name,
        uid: state.pod.uid,
        service_account: state.pod.service_account,
        agent: state.agent,
        connected: is_connected,
        connected_at: state.connected_at,
        disconnected_at: state.disconnected_at,
        bundles,
        hidden_bundles: hidden.len() as u64,
        // A check names secrets, and which bundle they are of is not known.
        checks: if hidden.is_empty() { state.checks.all() } else { Vec::new() },
    })
}

fn bundle(row: HoldingRow, pod_uid: &str, refused: &[BundleGeneration]) -> PodBundle {
    let HoldingRow { bundle, generation, tag, since, reload, reloaded_at, failed, reported_at } =
        row;
    let newest = generation_for(&bundle.rollout, pod_uid);
    let is_newest = generation == Some(newest) && tag == bundle.tag_of(newest);
    let of_bundle = |it: &&BundleGeneration| it.bundle == bundle.name;
    let refused = refused.iter().filter(of_bundle).map(|it| {
        let failed = failed.as_ref().filter(|failed| failed.generation == it.generation);
        let reason = failed.map(|it| it.detail.clone());
        PodRefusedGeneration { generation: it.generation, tag: it.tag.clone(), reason }
    });
    PodBundle {
        refused: refused.collect(),
        scope: bundle.scope,
        bundle: bundle.name,
        generation,
        tag,
        since,
        newest,
        drifts: !is_newest,
        reload,
        reloaded_at,
        failed: failed.map(|PodFailure { generation, step, detail }| PodFailedGeneration {
            generation,
            step,
            detail,
        }),
        reported_at,
    }
}
