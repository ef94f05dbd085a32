//! The other paths at which the agent's files are.

use contract::Annotations;

use crate::diagnostics::{Diagnostics, Violation, Warning};
use crate::requested::RequestedSecrets;

/// Refuses a path whose first name is a file's. Warns of one for a file that there is not.
pub(crate) fn check(
    annotations: &Annotations,
    requested: &RequestedSecrets<'_>,
    diagnostics: &mut Diagnostics,
) {
    for (file, path) in &annotations.paths {
        if requested.has_file(path.first()) {
            let (file, path) = (file.clone(), path.clone());
            diagnostics.deny(Violation::PathTaken { file, path });
        } else if requested.is_complete()
            && !requested.has_file(file.as_str())
            && !requested.is_listed_env(file.as_str())
        {
            diagnostics.warn(Warning::UnknownPath { file: file.clone() });
        }
    }
}
