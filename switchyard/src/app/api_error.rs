//! Errors of the API as problem documents (RFC 9457).

use std::time::Duration;

use axum::response::{IntoResponse, Response};
use contract::problem::{MEDIA_TYPE, Problem};
use contract::{Scope, SecretName, Version};
use http::header::{CONNECTION, CONTENT_TYPE, RETRY_AFTER, UPGRADE, WWW_AUTHENTICATE};
use http::{HeaderValue, StatusCode};
use lockbox::StoreError;
use runtime::logs::ErrorChain;

use crate::references::ReferenceError;
use crate::repository::{ChangeError, RepositoryError};
use crate::secrets::SecretsError;

/// Why a request fails. The text never holds the value of a secret.
#[derive(Clone, Debug)]
pub(crate) struct ApiError {
    status: StatusCode,
    kind: &'static str,
    title: &'static str,
    detail: String,
    /// The seconds of `Retry-After`, if they are known.
    retry_after: Option<u64>,
}

impl ApiError {
    fn new<D: Into<String>>(
        status: StatusCode,
        kind: &'static str,
        title: &'static str,
        detail: D,
    ) -> Self {
        Self { status, kind, title, detail: detail.into(), retry_after: None }
    }

    /// The request does not have the expected form.
    pub(crate) fn malformed<D: Into<String>>(detail: D) -> Self {
        Self::new(
            StatusCode::BAD_REQUEST,
            "/problems/malformed",
            "The request is malformed",
            detail,
        )
    }

    /// The credential is missing or not valid.
    pub(crate) fn unauthenticated<D: Into<String>>(detail: D) -> Self {
        Self::new(
            StatusCode::UNAUTHORIZED,
            "/problems/unauthenticated",
            "Authentication is required",
            detail,
        )
    }

    /// No rule allows it.
    pub(crate) fn denied<D: Into<String>>(detail: D) -> Self {
        Self::new(StatusCode::FORBIDDEN, "/problems/denied", "Not allowed", detail)
    }

    /// The resource does not exist.
    pub(crate) fn not_found<D: Into<String>>(detail: D) -> Self {
        Self::new(StatusCode::NOT_FOUND, "/problems/not-found", "Not found", detail)
    }

    /// Somebody else changed it first.
    pub(crate) fn conflict<D: Into<String>>(detail: D) -> Self {
        Self::new(
            StatusCode::CONFLICT,
            "/problems/conflict",
            "Changed by somebody else at the same time",
            detail,
        )
    }

    /// Something else has the name already.
    pub(crate) fn name_taken<D: Into<String>>(detail: D) -> Self {
        Self::new(StatusCode::CONFLICT, "/problems/conflict", "The name is taken", detail)
    }

    /// The path has no such method.
    pub(crate) fn method_not_allowed<D: Into<String>>(detail: D) -> Self {
        Self::new(
            StatusCode::METHOD_NOT_ALLOWED,
            "/problems/method-not-allowed",
            "Method not allowed",
            detail,
        )
    }

    /// A precondition of the request is not met.
    pub(crate) fn precondition(scope: &Scope, name: &SecretName, active: Option<Version>) -> Self {
        let error = ChangeError::Precondition { secret: format!("{scope}/{name}"), active };
        Self::from(SecretsError::from(error))
    }

    /// The body is not JSON.
    pub(crate) fn unsupported<D: Into<String>>(detail: D) -> Self {
        Self::new(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "/problems/unsupported-media-type",
            "The body is not JSON",
            detail,
        )
    }

    /// The path and the query are longer than any of the API.
    pub(crate) fn uri_too_long<D: Into<String>>(detail: D) -> Self {
        Self::new(StatusCode::URI_TOO_LONG, "/problems/uri-too-long", "The URI is too long", detail)
    }

    /// The principal makes more requests than it may. It may try again after `wait`.
    pub(crate) fn too_many_requests(wait: Duration) -> Self {
        let seconds = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
        let detail =
            "the token or person makes too many requests; wait and then send fewer of them";
        let error = Self::new(
            StatusCode::TOO_MANY_REQUESTS,
            "/problems/too-many-requests",
            "Too many requests",
            detail,
        );
        Self { retry_after: Some(seconds.max(1)), ..error }
    }

    /// The pod logs in too often. It may try again after `wait`.
    pub(crate) fn too_many_logins(wait: Duration) -> Self {
        let detail = "the pod logs in too often; its agent tries again by itself";
        Self { detail: detail.to_owned(), ..Self::too_many_requests(wait) }
    }

    /// The principal holds more than it may at a time. It may try again once it holds less.
    pub(crate) fn too_much_at_once(detail: String) -> Self {
        let error = Self::new(
            StatusCode::TOO_MANY_REQUESTS,
            "/problems/too-many-requests",
            "Too many requests",
            detail,
        );
        Self { retry_after: Some(1), ..error }
    }

    /// The body or a value is larger than the limit.
    pub(crate) fn too_large<D: Into<String>>(detail: D) -> Self {
        Self::new(StatusCode::PAYLOAD_TOO_LARGE, "/problems/too-large", "Too large", detail)
    }

    /// The stream needs an upgrade that the request does not ask for.
    pub(crate) fn upgrade_required(detail: String) -> Self {
        Self::new(
            StatusCode::UPGRADE_REQUIRED,
            "/problems/upgrade-required",
            "An upgrade is required",
            detail,
        )
    }

    /// A dependency is unavailable. The same request may succeed later.
    pub(crate) fn unavailable<D: Into<String>>(detail: D) -> Self {
        Self::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "/problems/unavailable",
            "Temporarily unavailable",
            detail,
        )
    }

    /// A fault of the server that a retry does not mend.
    fn internal<D: Into<String>>(detail: D) -> Self {
        Self::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            "/problems/internal",
            "Internal server error",
            detail,
        )
    }

    pub(crate) fn status(&self) -> StatusCode {
        self.status
    }

    pub(crate) fn detail(&self) -> &str {
        &self.detail
    }

    /// The problem document, with the request's trace id.
    pub(crate) fn into_problem(self, trace: &str) -> Response {
        let Self { status, kind, title, detail, retry_after } = self;
        let problem = Problem {
            kind: kind.to_owned(),
            title: title.to_owned(),
            status: status.as_u16(),
            detail,
            instance: Some(trace.to_owned()),
        };
        // A struct of strings and numbers always serializes.
        let body = serde_json::to_vec(&problem).unwrap_or_default();
        let mut response = (status, body).into_response();
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(MEDIA_TYPE));
        match status {
            StatusCode::UNAUTHORIZED => {
                headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"))
            }
            StatusCode::UPGRADE_REQUIRED => {
                headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
                headers.insert(UPGRADE, HeaderValue::from_static(contract::stream::PROTOCOL))
            }
            _ => None,
        };
        let seconds =
            retry_after.or_else(|| (status == StatusCode::SERVICE_UNAVAILABLE).then_some(1));
        if let Some(seconds) = seconds {
            headers.insert(RETRY_AFTER, HeaderValue::from(seconds));
        }
        response
    }

    /// Other secrets refer to it.
    pub(crate) fn referenced<D: Into<String>>(detail: D) -> Self {
        let title = "Other secrets refer to it";
        Self::new(StatusCode::CONFLICT, "/problems/referenced", title, detail)
    }

    /// Reads are not counted up to a time yet.
    pub(crate) fn not_counted<D: Into<String>>(detail: D) -> Self {
        let title = "Reads are not counted that far";
        Self::new(StatusCode::CONFLICT, "/problems/not-counted", title, detail)
    }

    /// The references of a value cannot be.
    fn references<D: Into<String>>(detail: D) -> Self {
        let title = "The references cannot be resolved";
        Self::new(StatusCode::CONFLICT, "/problems/references", title, detail)
    }

    fn gone<D: Into<String>>(detail: D) -> Self {
        Self::new(StatusCode::GONE, "/problems/gone", "The value was destroyed", detail)
    }

    /// The error for a change that the ledger refuses. `None` if the fault is the server's.
    fn from_change(error: &ChangeError, detail: &str) -> Option<Self> {
        Some(match error {
            ChangeError::NotFound(_) | ChangeError::NoVersion { .. } => Self::not_found(detail),
            ChangeError::Destroyed { .. } => Self::gone(detail),
            ChangeError::TooLarge { .. }
            | ChangeError::ScopeFull { .. }
            | ChangeError::TooManyTags { .. } => Self::too_large(detail),
            ChangeError::Conflict(_) => Self::conflict(detail),
            ChangeError::InUse { .. } => {
                Self::new(StatusCode::CONFLICT, "/problems/in-use", "In use", detail)
            }
            ChangeError::References { source, .. } => match **source {
                ReferenceError::TooLarge(_) => Self::too_large(detail),
                _ => Self::references(detail),
            },
            ChangeError::Referenced { .. } => Self::referenced(detail),
            ChangeError::GrantExists(_) => {
                Self::new(StatusCode::CONFLICT, "/problems/grant-exists", "Granted already", detail)
            }
            ChangeError::NotDeleted(_) => {
                Self::new(StatusCode::CONFLICT, "/problems/not-deleted", "Not deleted", detail)
            }
            ChangeError::Precondition { .. } => Self::new(
                StatusCode::PRECONDITION_FAILED,
                "/problems/precondition-failed",
                "A precondition is not met",
                detail,
            ),
            ChangeError::KeyReused => {
                let (status, title) =
                    (StatusCode::UNPROCESSABLE_ENTITY, "The key was used for another request");
                Self::new(status, "/problems/idempotency-key-reused", title, detail)
            }
            ChangeError::Replayed(_) | ChangeError::Fenced(_) | ChangeError::Repository(_) => {
                return None;
            }
        })
    }

    /// The error for a response of axum itself.
    pub(crate) fn from_status(status: StatusCode) -> Self {
        match status {
            StatusCode::NOT_FOUND => Self::not_found("there is nothing at this path"),
            StatusCode::PAYLOAD_TOO_LARGE => Self::too_large("the request is too large"),
            status if status.is_server_error() => {
                Self::internal("the request failed; see the server's log")
            }
            status => Self { status, ..Self::malformed("the request cannot be parsed") },
        }
    }
}

impl From<SecretsError> for ApiError {
    fn from(error: SecretsError) -> Self {
        let detail = ErrorChain(&error).to_string();
        match &error {
            SecretsError::NotFound { .. } | SecretsError::NoVersion { .. } => {
                return Self::not_found(detail);
            }
            SecretsError::Gone { .. } => return Self::gone(detail),
            SecretsError::Reserved(_) | SecretsError::Template { .. } => {
                return Self::malformed(detail);
            }
            SecretsError::References { .. } => return Self::references(detail),
            SecretsError::Change(change) => {
                if let Some(error) = Self::from_change(change, &detail) {
                    return error;
                }
            }
            _ => {}
        }
        tracing::error!(error = detail, "request failed");
        match error {
            SecretsError::Audit(_) => {
                Self::unavailable("the audit log cannot be written, so nothing is read or written")
            }
            SecretsError::Store(StoreError::Seal(error)) => Self::internal(error.to_string()),
            SecretsError::Store(error @ (StoreError::NotFound(_) | StoreError::Destroyed(_))) => {
                Self::internal(error.to_string())
            }
            SecretsError::Store(_) => Self::unavailable("the store cannot be reached"),
            SecretsError::Repository(error @ RepositoryError::Forged(_))
            | SecretsError::Change(ChangeError::Repository(error @ RepositoryError::Forged(_))) => {
                Self::internal(error.to_string())
            }
            SecretsError::Compose { .. } => Self::internal(detail),
            SecretsError::Busy(scope) => {
                Self::unavailable(format!("other writes to {scope} take too long"))
            }
            _ => Self::unavailable("the ledger cannot be reached"),
        }
    }
}

/// The error travels in the response's extensions until the middleware adds the trace id.
impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let mut response = self.status.into_response();
        response.extensions_mut().insert(self);
        response
    }
}
