//! Variables that read the secrets' volume in another way than the webhook has them read it.

use crate::diagnostics::{Diagnostics, Violation, printable};
use crate::pod::EnvVar;
use crate::requested::RequestedSecrets;
use contract::layout;

/// Refuses a variable from a file of the secrets' volume that is none of the webhook's.
pub(super) fn check(variable: &EnvVar<'_>, at: impl Fn() -> String, diagnostics: &mut Diagnostics) {
    let is_ours = |volume: &str| volume == layout::SECRETS_VOLUME;
    if variable.file_key().is_some_and(|found| is_ours(&found.volume_name)) {
        let name = printable(&variable.name);
        diagnostics.deny(Violation::ReservedFile { at: at(), name });
    }
}

/// Refuses a variable from the file of a secret that the pod does not have: kubelet would wait for
/// it for ever.
pub(super) fn unknown(
    variable: &EnvVar<'_>,
    secret: &str,
    requested: &RequestedSecrets<'_>,
    at: impl Fn() -> String,
) -> Option<Violation> {
    variable.file_key()?;
    let is_known =
        requested.bundle_with_key(secret).is_some() || requested.is_listed_env(&variable.name);
    let name = printable(&variable.name);
    (!is_known && requested.is_complete()).then(|| Violation::ReservedFile { at: at(), name })
}
