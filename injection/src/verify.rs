//! Whether the checks of a pod can be made.

use contract::Annotations;

use crate::diagnostics::{Diagnostics, Violation};
use crate::requested::RequestedSecrets;

/// Refuses checks where no agent stays, and one that reads a secret that the pod does not have: it
/// would never be made, and nobody would know.
pub(crate) fn check(
    annotations: &Annotations,
    requested: &RequestedSecrets<'_>,
    diagnostics: &mut Diagnostics,
) {
    let checks = annotations.verify.as_deref().unwrap_or_default();
    if annotations.deliver.init_only && !checks.is_empty() {
        diagnostics.deny(Violation::VerifyWithInit);
    }
    // The keys of an unknown bundle are unknown too.
    if !requested.is_complete() {
        return;
    }
    for check in checks {
        let is_missing = |name: &str| {
            requested.bundle_with_key(name).is_none() && !requested.is_listed_env(name)
        };
        if let Some(name) = check.secret().filter(|name| is_missing(name.as_str())) {
            let set = requested.set_command_in_first_bundle(name.as_str());
            let (check, name) = (check.clone(), name.clone());
            diagnostics.deny(Violation::CheckedSecret { check, name, set });
        }
    }
}
