//! `POST /v1/login/workload`: exchanges the ID token of a CI system's job for a short session.

use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;
use contract::api::{Session, WorkloadLoginRequest};
use runtime::logs::ErrorChain;

use super::json_request::UnreadRequest;
use super::login::{NewSession, start_session};
use crate::app::{ApiError, AppState, Unauthenticated};
use crate::audit::Actor;
use crate::identity::{IdentifiedJob, WorkloadError};
use crate::repository::TokenSubject;

/// The error for every ID token that gives nothing. The audit log has the reason.
const REFUSAL: &str = "the ID token is not valid, or no rule gives its job a role; the audit log \
    says which";

/// Log in as a job
///
/// Exchanges the ID token that GitHub Actions, GitLab CI or another trusted issuer gave to a job
/// for a session of at most an hour. The operator's rules decide by the claims which roles it has.
/// The response is the only time that the session's token is shown.
#[utoipa::path(post, path = "/v1/login/workload", operation_id = "loginWorkload", tag = "login",
    security(()), request_body = WorkloadLoginRequest,
    responses((status = 200, description = "The session", body = Session)))]
pub(super) async fn login(
    State(app): State<Arc<AppState>>,
    unauthenticated: Unauthenticated,
    request: UnreadRequest,
) -> Result<Response, ApiError> {
    if app.workloads.is_empty() {
        return Err(ApiError::not_found(
            "jobs cannot log in: switchyard has no --workload-issuers; use a token of 'enclii \
             tokens create'",
        ));
    }
    let WorkloadLoginRequest { id_token } = request.parse().await?;
    let origin = unauthenticated.origin;
    let IdentifiedJob { job, id_token } = match app.workloads.identify(id_token.redacted()).await {
        Ok(identified) => identified,
        Err(error @ WorkloadError::Unavailable { .. }) => {
            tracing::error!(error = %ErrorChain(&error), "check ID token of a job");
            return Err(ApiError::unavailable(
                "the keys of the ID token's issuer cannot be fetched, so its jobs cannot log in",
            ));
        }
        Err(error) => {
            let reason = ErrorChain(&error).to_string();
            return Err(ApiError::rejected_credential(&app, origin, REFUSAL, &reason).await);
        }
    };
    let actor = Actor::Workload { name: job.name.clone() };
    let subject = TokenSubject::Workload { name: job.name, rules: job.rules };
    let (ttl, notes, refusal) = (job.lifetime, format!("{}; ", job.run), REFUSAL);
    let login = NewSession { actor, subject, ttl, id_token, notes, refusal };
    start_session(&app, origin, login).await
}
