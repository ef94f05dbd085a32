//! Credentials in plain text that are not a key of any bundle.

use crate::app_container::AppContainer;
use crate::credential::{self, CredentialMatch};
use crate::diagnostics::{Diagnostics, Violation, Warning, printable};
use crate::requested::RequestedSecrets;

/// Checks every literal that stays in a container, whether the container gets the secrets or not.
pub(crate) fn check(
    app: &AppContainer<'_>,
    requested: &RequestedSecrets<'_>,
    diagnostics: &mut Diagnostics,
) {
    for (index, variable) in app.container.env.iter().flatten().enumerate() {
        let Some(value) = variable.literal() else { continue };
        if requested.is_plain_env(&variable.name) || requested.secret_for(variable).is_some() {
            continue;
        }
        let at = || app.at(format_args!(".env[{index}]"));
        let name = printable(&variable.name);
        match credential::detect(&variable.name, value) {
            None => {}
            Some(CredentialMatch::Likely) => {
                diagnostics.warn(Warning::LooksLikeCredential { at: at(), name });
            }
            Some(CredentialMatch::Certain(kind)) => {
                let set = requested.set_command_in_first_bundle(&variable.name);
                diagnostics.deny(Violation::Plaintext { at: at(), name, kind, set });
            }
        }
    }
}
