//! Credentials in plain text that no bundle has a key for.

use crate::credential::{self, Finding};
use crate::findings::{Findings, Refusal, Warning, shown};
use crate::target::Target;
use crate::wanted::Wanted;

/// Judges every literal of a container that stays in the pod, whether the container gets the
/// secrets or not.
pub(crate) fn check(target: &Target<'_>, wanted: &Wanted<'_>, findings: &mut Findings) {
    for (index, variable) in target.container.env.iter().flatten().enumerate() {
        let Some(value) = variable.literal() else { continue };
        if wanted.is_plain(&variable.name) || wanted.secret_of(variable).is_some() {
            continue;
        }
        let at = || target.at(format_args!(".env[{index}]"));
        match credential::detect(&variable.name, value) {
            None => {}
            Some(Finding::Likely) => findings
                .warn(Warning::LooksLikeCredential { at: at(), name: shown(&variable.name) }),
            Some(Finding::Certain(kind)) => {
                let set = wanted.set_line_of_first(&variable.name);
                findings.refuse(Refusal::Plaintext {
                    at: at(),
                    name: shown(&variable.name),
                    kind,
                    set,
                });
            }
        }
    }
}
