//! The parameters of a path, parsed once into scopes and names.

use axum::extract::rejection::PathRejection;
use axum::extract::{FromRequestParts, Path};
use contract::{Scope, SecretName};
use http::request::Parts;
use runtime::logs::ErrorChain;

use crate::app::{ApiError, AppState, Authenticated, Unauthenticated};
use crate::policy::{Target, Verb};

/// The parameter of `/{scope}/`.
pub(super) struct ScopePath(pub(super) Scope);

/// The parameters of `/{scope}/{name}`.
pub(super) struct SecretPath {
    pub(super) scope: Scope,
    pub(super) name: SecretName,
}

impl<S: Send + Sync> FromRequestParts<S> for ScopePath {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        let path: Result<Path<String>, PathRejection> =
            Path::from_request_parts(parts, state).await;
        let Path(text) = path.map_err(|_| not_utf8())?;
        scope(&text).map(Self)
    }
}

impl<S: Send + Sync> FromRequestParts<S> for SecretPath {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        let path: Result<Path<(String, String)>, PathRejection> =
            Path::from_request_parts(parts, state).await;
        let Path((text, name)) = path.map_err(|_| not_utf8())?;
        Ok(Self {
            scope: scope(&text)?,
            name: name.parse().map_err(|error| ApiError::malformed(format!("{error}")))?,
        })
    }
}

/// Authenticates the caller and checks that it may do `verb` to the secret of `path`. Returns the
/// rule that allows it, for the audit log.
///
/// Authentication comes first: an anonymous client does not learn that its path is malformed.
///
/// # Errors
/// If authentication fails, the path is malformed or no rule allows it.
pub(super) async fn authorize_secret(
    app: &AppState,
    unauthenticated: Unauthenticated,
    path: Result<SecretPath, ApiError>,
    verb: Verb,
) -> Result<(Authenticated, SecretPath, String), ApiError> {
    let auth = unauthenticated.authenticate(app).await?;
    let secret = path?;
    let rule = auth.authorize(app, verb, Target::Secret(&secret.scope, &secret.name)).await?;
    Ok((auth, secret, rule))
}

fn scope(text: &str) -> Result<Scope, ApiError> {
    text.parse().map_err(|error: contract::scope::ScopeError| {
        ApiError::malformed(ErrorChain(&error).to_string())
    })
}

fn not_utf8() -> ApiError {
    ApiError::malformed("the path is not UTF-8")
}
