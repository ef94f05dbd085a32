//! Refusals as problem documents (RFC 9457).

use axum::response::{IntoResponse, Response};
use contract::problem::{MEDIA_TYPE, Problem};
use http::header::{ALLOW, CONNECTION, CONTENT_TYPE, RETRY_AFTER, UPGRADE, WWW_AUTHENTICATE};
use http::{HeaderValue, Method, StatusCode, Uri};
use lockbox::StoreError;
use runtime::logs::Chain;

use crate::audit::plain;
use crate::repository::ChangeError;
use crate::secrets::SecretsError;

/// A request that is not done, and why. The words never hold a value.
#[derive(Clone, Debug)]
pub(crate) struct Refusal {
    status: StatusCode,
    kind: &'static str,
    title: &'static str,
    detail: String,
}

impl Refusal {
    fn new<D: Into<String>>(status: StatusCode, kind: &'static str, title: &'static str, detail: D) -> Self {
        Self { status, kind, title, detail: detail.into() }
    }

    /// The request is not of the form.
    pub(crate) fn malformed<D: Into<String>>(detail: D) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "/problems/malformed", "The request is not of the form", detail)
    }

    /// No credential, or none that is valid.
    pub(crate) fn unauthenticated<D: Into<String>>(detail: D) -> Self {
        Self::new(StatusCode::UNAUTHORIZED, "/problems/unauthenticated", "Who is asking is not known", detail)
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
        Self::new(StatusCode::CONFLICT, "/problems/conflict", "Written by somebody else at the same time", detail)
    }

    /// More than a pod can hold.
    pub(crate) fn too_large<D: Into<String>>(detail: D) -> Self {
        Self::new(StatusCode::PAYLOAD_TOO_LARGE, "/problems/too-large", "Too large", detail)
    }

    /// The stream needs an upgrade that was not asked for.
    pub(crate) fn upgrade_required(detail: String) -> Self {
        Self::new(StatusCode::UPGRADE_REQUIRED, "/problems/upgrade-required", "An upgrade is needed", detail)
    }

    /// Something that is needed is away; the same request may be answered later.
    pub(crate) fn unavailable<D: Into<String>>(detail: D) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "/problems/unavailable", "Not available at the moment", detail)
    }

    /// Something of ours that a repetition does not mend.
    fn internal<D: Into<String>>(detail: D) -> Self {
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "/problems/internal", "An error of the server", detail)
    }

    pub(crate) fn status(&self) -> StatusCode {
        self.status
    }

    pub(super) fn detail(&self) -> &str {
        &self.detail
    }

    /// The document, with the request's trace id.
    pub(super) fn answer(self, trace: &str) -> Response {
        let Self { status, kind, title, detail } = self;
        let problem =
            Problem { kind: kind.to_owned(), title: title.to_owned(), status: status.as_u16(), detail, instance: Some(trace.to_owned()) };
        // A struct of texts and numbers always becomes JSON.
        let body = serde_json::to_vec(&problem).unwrap_or_default();
        let mut response = (status, body).into_response();
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(MEDIA_TYPE));
        match status {
            StatusCode::UNAUTHORIZED => headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer")),
            StatusCode::SERVICE_UNAVAILABLE => headers.insert(RETRY_AFTER, HeaderValue::from_static("1")),
            StatusCode::UPGRADE_REQUIRED => {
                headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
                headers.insert(UPGRADE, HeaderValue::from_static(contract::stream::PROTOCOL))
            }
            _ => None,
        };
        response
    }

    /// What is said of an answer that axum itself refused.
    pub(super) fn of_status(status: StatusCode) -> Self {
        match status {
            StatusCode::NOT_FOUND => Self::not_found("there is nothing at this path"),
            StatusCode::PAYLOAD_TOO_LARGE => Self::too_large("the request is too large"),
            status if status.is_server_error() => Self::internal("the request could not be answered; the server's log says why"),
            status => Self { status, ..Self::malformed("the request could not be understood") },
        }
    }
}

impl From<SecretsError> for Refusal {
    fn from(error: SecretsError) -> Self {
        let said = Chain(&error).to_string();
        match &error {
            SecretsError::NotFound { .. } | SecretsError::Change(ChangeError::NotFound(_)) => return Self::not_found(said),
            SecretsError::Change(ChangeError::TooLarge { .. }) => return Self::too_large(said),
            SecretsError::Change(ChangeError::Conflict(_)) => return Self::conflict(said),
            _ => {}
        }
        tracing::error!(error = said, "request not done");
        match error {
            SecretsError::Audit(_) => Self::unavailable("the audit trail cannot be written, so nothing is read or written"),
            SecretsError::Store(StoreError::Seal(error)) => Self::internal(error.to_string()),
            SecretsError::Store(error @ (StoreError::NotFound(_) | StoreError::Destroyed(_))) => Self::internal(error.to_string()),
            SecretsError::Store(_) => Self::unavailable("the store cannot be reached"),
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
    Refusal::not_found(format!("there is nothing at {}", plain(uri.path())))
}

pub(super) async fn no_such_method(method: Method, uri: Uri) -> Response {
    let detail = format!("{} cannot be done with {}", plain(method.as_str()), plain(uri.path()));
    let status = StatusCode::METHOD_NOT_ALLOWED;
    Refusal::new(status, "/problems/method-not-allowed", "Method not allowed", detail).into_response()
}

/// Headers of a refused answer that must stay: which methods a path has.
pub(super) const KEPT: http::HeaderName = ALLOW;
