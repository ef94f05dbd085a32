//! Refusals as problem documents (RFC 9457).

use std::time::Duration;

use axum::response::{IntoResponse, Response};
use contract::problem::{MEDIA_TYPE, Problem};
use contract::{Scope, SecretName, Version};
use http::header::{ALLOW, CONNECTION, CONTENT_TYPE, RETRY_AFTER, UPGRADE, WWW_AUTHENTICATE};
use http::{HeaderValue, Method, StatusCode, Uri};
use lockbox::StoreError;
use runtime::logs::ErrorChain;

use crate::audit::sanitize;
use crate::repository::ChangeError;
use crate::secrets::SecretsError;

/// A request that is not done, and why. The words never hold a value.
#[derive(Clone, Debug)]
pub(crate) struct Refusal {
    status: StatusCode,
    kind: &'static str,
    title: &'static str,
    detail: String,
    /// How many seconds to wait, where that is known.
    wait: Option<u64>,
}

impl Refusal {
    fn new<D: Into<String>>(
        status: StatusCode,
        kind: &'static str,
        title: &'static str,
        detail: D,
    ) -> Self {
        Self { status, kind, title, detail: detail.into(), wait: None }
    }

    /// The request is not of the form.
    pub(crate) fn malformed<D: Into<String>>(detail: D) -> Self {
        Self::new(
            StatusCode::BAD_REQUEST,
            "/problems/malformed",
            "The request is not of the form",
            detail,
        )
    }

    /// No credential, or none that is valid.
    pub(crate) fn unauthenticated<D: Into<String>>(detail: D) -> Self {
        Self::new(
            StatusCode::UNAUTHORIZED,
            "/problems/unauthenticated",
            "Who is asking is not known",
            detail,
        )
    }

    /// The rules say no.
    pub(crate) fn denied<D: Into<String>>(detail: D) -> Self {
        Self::new(StatusCode::FORBIDDEN, "/problems/denied", "Not allowed", detail)
    }

    /// There is no such thing.
    pub(crate) fn not_found<D: Into<String>>(detail: D) -> Self {
        Self::new(StatusCode::NOT_FOUND, "/problems/not-found", "Not found", detail)
    }

    /// Somebody else was faster.
    pub(crate) fn conflict<D: Into<String>>(detail: D) -> Self {
        Self::new(
            StatusCode::CONFLICT,
            "/problems/conflict",
            "Written by somebody else at the same time",
            detail,
        )
    }

    /// What the request says must hold does not.
    pub(super) fn precondition(scope: &Scope, name: &SecretName, active: Option<Version>) -> Self {
        let error = ChangeError::Precondition { secret: format!("{scope}/{name}"), active };
        Self::from(SecretsError::from(error))
    }

    /// The body is of another kind.
    pub(super) fn unsupported<D: Into<String>>(detail: D) -> Self {
        Self::new(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "/problems/unsupported-media-type",
            "The body is not JSON",
            detail,
        )
    }

    /// The path and the query are longer than any of ours.
    pub(super) fn uri_too_long<D: Into<String>>(detail: D) -> Self {
        Self::new(StatusCode::URI_TOO_LONG, "/problems/uri-too-long", "The URI is too long", detail)
    }

    /// More than one principal may ask for; `wait` is for how long.
    pub(super) fn too_many(wait: Duration) -> Self {
        let seconds = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
        let detail =
            "more requests than one token or person may make; try again later, and less often";
        let refusal = Self::new(
            StatusCode::TOO_MANY_REQUESTS,
            "/problems/too-many-requests",
            "Too many requests",
            detail,
        );
        Self { wait: Some(seconds.max(1)), ..refusal }
    }

    /// More than a pod can hold.
    pub(crate) fn too_large<D: Into<String>>(detail: D) -> Self {
        Self::new(StatusCode::PAYLOAD_TOO_LARGE, "/problems/too-large", "Too large", detail)
    }

    /// The stream needs an upgrade that was not asked for.
    pub(crate) fn upgrade_required(detail: String) -> Self {
        Self::new(
            StatusCode::UPGRADE_REQUIRED,
            "/problems/upgrade-required",
            "An upgrade is needed",
            detail,
        )
    }

    /// Something that is needed is away; the same request may be answered later.
    pub(crate) fn unavailable<D: Into<String>>(detail: D) -> Self {
        Self::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "/problems/unavailable",
            "Not available at the moment",
            detail,
        )
    }

    /// Something of ours that a repetition does not mend.
    fn internal<D: Into<String>>(detail: D) -> Self {
        Self::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            "/problems/internal",
            "An error of the server",
            detail,
        )
    }

    pub(crate) fn status(&self) -> StatusCode {
        self.status
    }

    pub(super) fn detail(&self) -> &str {
        &self.detail
    }

    /// The document, with the request's trace id.
    pub(super) fn answer(self, trace: &str) -> Response {
        let Self { status, kind, title, detail, wait } = self;
        let problem = Problem {
            kind: kind.to_owned(),
            title: title.to_owned(),
            status: status.as_u16(),
            detail,
            instance: Some(trace.to_owned()),
        };
        // A struct of texts and numbers always becomes JSON.
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
        if let Some(seconds) =
            wait.or_else(|| (status == StatusCode::SERVICE_UNAVAILABLE).then_some(1))
        {
            headers.insert(RETRY_AFTER, HeaderValue::from(seconds));
        }
        response
    }

    fn gone<D: Into<String>>(detail: D) -> Self {
        Self::new(StatusCode::GONE, "/problems/gone", "The value was destroyed", detail)
    }

    /// What is said of a change that the ledger does not take; `None` where that is nobody's fault
    /// but ours.
    fn of_change(error: &ChangeError, said: &str) -> Option<Self> {
        Some(match error {
            ChangeError::NotFound(_) | ChangeError::NoVersion { .. } => Self::not_found(said),
            ChangeError::Destroyed { .. } => Self::gone(said),
            ChangeError::TooLarge { .. } => Self::too_large(said),
            ChangeError::Conflict(_) => Self::conflict(said),
            ChangeError::InUse { .. } => {
                Self::new(StatusCode::CONFLICT, "/problems/in-use", "In use", said)
            }
            ChangeError::NotDeleted(_) => {
                Self::new(StatusCode::CONFLICT, "/problems/not-deleted", "Not deleted", said)
            }
            ChangeError::Precondition { .. } => Self::new(
                StatusCode::PRECONDITION_FAILED,
                "/problems/precondition-failed",
                "What must hold does not",
                said,
            ),
            ChangeError::KeyReused => {
                let (status, title) =
                    (StatusCode::UNPROCESSABLE_ENTITY, "The key was used for another request");
                Self::new(status, "/problems/idempotency-key-reused", title, said)
            }
            ChangeError::Replayed(_) | ChangeError::Fenced(_) | ChangeError::Repository(_) => {
                return None;
            }
        })
    }

    /// What is said of an answer that axum itself refused.
    pub(super) fn of_status(status: StatusCode) -> Self {
        match status {
            StatusCode::NOT_FOUND => Self::not_found("there is nothing at this path"),
            StatusCode::PAYLOAD_TOO_LARGE => Self::too_large("the request is too large"),
            status if status.is_server_error() => {
                Self::internal("the request could not be answered; the server's log says why")
            }
            status => Self { status, ..Self::malformed("the request could not be understood") },
        }
    }
}

impl From<SecretsError> for Refusal {
    fn from(error: SecretsError) -> Self {
        let said = ErrorChain(&error).to_string();
        match &error {
            SecretsError::NotFound { .. } | SecretsError::NoVersion { .. } => {
                return Self::not_found(said);
            }
            SecretsError::Gone { .. } => return Self::gone(said),
            SecretsError::Change(change) => {
                if let Some(refusal) = Self::of_change(change, &said) {
                    return refusal;
                }
            }
            _ => {}
        }
        tracing::error!(error = said, "request not done");
        match error {
            SecretsError::Audit(_) => Self::unavailable(
                "the audit trail cannot be written, so nothing is read or written",
            ),
            SecretsError::Store(StoreError::Seal(error)) => Self::internal(error.to_string()),
            SecretsError::Store(error @ (StoreError::NotFound(_) | StoreError::Destroyed(_))) => {
                Self::internal(error.to_string())
            }
            SecretsError::Store(_) => Self::unavailable("the store cannot be reached"),
            SecretsError::Busy(scope) => {
                Self::unavailable(format!("other writes to {scope} take too long"))
            }
            _ => Self::unavailable("the ledger cannot be reached"),
        }
    }
}

/// A refusal travels in the response's extensions until the trace id is put in.
impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let mut response = self.status.into_response();
        response.extensions_mut().insert(self);
        response
    }
}

pub(super) async fn no_such_path(uri: Uri) -> Refusal {
    Refusal::not_found(format!("there is nothing at {}", sanitize(uri.path())))
}

pub(super) async fn no_such_method(method: Method, uri: Uri) -> Response {
    let detail =
        format!("{} cannot be done with {}", sanitize(method.as_str()), sanitize(uri.path()));
    let status = StatusCode::METHOD_NOT_ALLOWED;
    Refusal::new(status, "/problems/method-not-allowed", "Method not allowed", detail)
        .into_response()
}

/// Headers of a refused answer that must stay: which methods a path has.
pub(super) const KEPT: http::HeaderName = ALLOW;
