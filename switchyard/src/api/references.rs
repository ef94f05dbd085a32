//! What a caller may refer to, and what it may know of who refers to a secret.

use contract::{Redacted, SecretName, SecretRef};
use http::StatusCode;

use crate::app::{ApiError, AppState, Authenticated};
use crate::policy::{NameRight, Target, Verb, name_right};
use crate::references::{ReferenceError, Template, ValueReferences};
use crate::repository::ChangeError;
use crate::secrets::SecretsError;

/// How many referrers an error names.
const MAX_NAMED: usize = 10;

/// Parses a value with references. An error gives a position and never the value.
pub(super) fn parse(name: &SecretName, value: &Redacted) -> Result<ValueReferences, ApiError> {
    let template = Template::parse(value.expose())
        .map_err(|error| ApiError::malformed(format!("parse the value of {name}: {error}")))?;
    Ok(template.references())
}

/// Checks that the caller may read every target of a value of `of`. A target that it may not know
/// of is answered like one that does not exist.
///
/// # Errors
/// If it may not read one of them, or the refusal cannot be recorded.
pub(super) async fn authorize_targets(
    app: &AppState,
    auth: &Authenticated,
    of: &SecretRef,
    references: &ValueReferences,
) -> Result<(), ApiError> {
    for target in references.targets.keys() {
        let SecretRef { scope, name } = target;
        let right = name_right(&auth.principal, scope, name);
        let Err(error) = auth.authorize(app, Verb::Read, Target::Secret(scope, name)).await else {
            continue;
        };
        if right != NameRight::Nothing || error.status() != StatusCode::FORBIDDEN {
            return Err(error);
        }
        let source = Box::new(ReferenceError::Missing(target.clone()));
        let error = ChangeError::References { secret: of.to_string(), source };
        return Err(SecretsError::from(error).into());
    }
    Ok(())
}

/// Those that the caller may know of, of the secrets that an active version refers to.
pub(super) fn visible(auth: &Authenticated, references: &ValueReferences) -> Vec<SecretRef> {
    references.targets.keys().filter(|it| is_visible(auth, it)).cloned().collect()
}

/// The error for a secret that others refer to names those that the caller may know of, and counts
/// the others.
pub(super) fn name_referrers(auth: &Authenticated, error: SecretsError) -> ApiError {
    let SecretsError::Change(ChangeError::Referenced { secret, referrers }) = &error else {
        return error.into();
    };
    let mut named: Vec<String> = referrers
        .iter()
        .filter(|it| is_visible(auth, it))
        .take(MAX_NAMED)
        .map(ToString::to_string)
        .collect();
    let others = referrers.len() - named.len();
    if others > 0 {
        let secrets = if others == 1 { "secret" } else { "secrets" };
        named.push(format!("{others} other {secrets}"));
    }
    ApiError::referenced(format!(
        "delete {secret}: it is referred to by {}; change or delete what refers to it first",
        named.join(", ")
    ))
}

fn is_visible(auth: &Authenticated, SecretRef { scope, name }: &SecretRef) -> bool {
    name_right(&auth.principal, scope, name) != NameRight::Nothing
}
