//! Containers that get no secrets.

use super::reserved;
use crate::app_container::AppContainer;
use crate::diagnostics::{Diagnostics, Violation, printable};
use crate::requested::RequestedSecrets;

/// Refuses secrets in a container that does not get them: it would keep the plaintext, or lose it
/// without getting a file.
pub(super) fn check(
    app: &AppContainer<'_>,
    requested: &RequestedSecrets<'_>,
    diagnostics: &mut Diagnostics,
) {
    for (index, variable) in app.container.env.iter().flatten().enumerate() {
        if requested.secret_for(variable).is_some() {
            let at = app.at(format_args!(".env[{index}]"));
            let name = printable(&variable.name);
            diagnostics.deny(Violation::SecretOutsideContainers { at, name });
        } else {
            reserved::check(variable, || app.at(format_args!(".env[{index}]")), diagnostics);
        }
    }
    for (index, source) in app.container.env_from.iter().flatten().enumerate() {
        if let Some((bundle, _)) =
            source.secret_ref.as_ref().and_then(|secret| requested.bundle_named(&secret.name))
        {
            let at = app.at(format_args!(".envFrom[{index}]"));
            let bundle = (*bundle).clone();
            diagnostics.deny(Violation::SourceOutsideContainers { at, bundle });
        }
    }
}
