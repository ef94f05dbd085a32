//! The parts of a path, parsed once. What follows sees scopes and names, and no text.

use axum::extract::rejection::PathRejection;
use axum::extract::{FromRequestParts, Path};
use contract::{Scope, SecretName};
use http::request::Parts;

use super::problem::Refusal;

/// `/{scope}/`.
pub(super) struct InScope(pub(super) Scope);

/// `/{scope}/{name}`.
pub(super) struct OneSecret {
    pub(super) scope: Scope,
    pub(super) name: SecretName,
}

impl<S: Send + Sync> FromRequestParts<S> for InScope {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Refusal> {
        let path: Result<Path<String>, PathRejection> =
            Path::from_request_parts(parts, state).await;
        let Path(text) = path.map_err(|_| unreadable())?;
        scope(&text).map(Self)
    }
}

impl<S: Send + Sync> FromRequestParts<S> for OneSecret {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Refusal> {
        let path: Result<Path<(String, String)>, PathRejection> =
            Path::from_request_parts(parts, state).await;
        let Path((text, name)) = path.map_err(|_| unreadable())?;
        Ok(Self {
            scope: scope(&text)?,
            name: name.parse().map_err(|error| Refusal::malformed(format!("{error}")))?,
        })
    }
}

fn scope(text: &str) -> Result<Scope, Refusal> {
    text.parse().map_err(|error: contract::scope::ScopeError| {
        Refusal::malformed(runtime::logs::ErrorChain(&error).to_string())
    })
}

fn unreadable() -> Refusal {
    Refusal::malformed("the path is not UTF-8")
}
