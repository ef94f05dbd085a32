//! Whether the checks of a pod can be made, and a reload that reads a secret.

use contract::Annotations;

use crate::diagnostics::{Diagnostics, Violation};
use crate::requested::RequestedSecrets;

/// Refuses checks where no agent stays, and a check or a reload that reads a secret that the pod
/// does not have: it would never be made, and nobody would know.
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
    let is_missing =
        |name: &str| requested.bundle_with_key(name).is_none() && !requested.is_listed_env(name);
    if let Some(name) = annotations.reload.secret().filter(|name| is_missing(name.as_str())) {
        let set = requested.set_command_in_first_bundle(name.as_str());
        let (reload, name) = (annotations.reload.to_string(), name.clone());
        diagnostics.deny(Violation::ReloadSecret { reload, name, set });
    }
    for check in checks {
        if let Some(name) = check.secret().filter(|name| is_missing(name.as_str())) {
            let set = requested.set_command_in_first_bundle(name.as_str());
            let (check, name) = (check.clone(), name.clone());
            diagnostics.deny(Violation::CheckedSecret { check, name, set });
        }
    }
}
