//! The volumes of an injected pod: memory for the secrets, the agent's token, memory for the
//! agent's program where it starts commands, and the ConfigMaps of its templates.

use contract::{Quantity, layout};
use serde_json::Value;

use super::new_volume::NewVolume;
use super::reinvocation;
use crate::config::InjectionConfig;
use crate::diagnostics::{Diagnostics, Violation};
use crate::pod::Pod;
use crate::pod_patch::PodPatch;
use crate::pod_pointer::PodPointer;

/// Adds the operations that insert the volumes, and the others that are `missing`.
pub(crate) fn patch<'v>(
    pod: &Pod<'_>,
    (size, config): (&'v Quantity, &'v InjectionConfig),
    (has_program, templates, mut missing): (bool, Option<NewVolume<'v>>, Vec<NewVolume<'v>>),
    diagnostics: &mut Diagnostics,
    patch: &mut PodPatch,
) {
    let volumes = PodPointer::new("/spec/volumes");
    let always = [
        (layout::SECRETS_VOLUME, NewVolume::secrets(size)),
        (layout::TOKEN_VOLUME, NewVolume::token(config.token_audience())),
    ];
    let program = has_program.then(|| (layout::PROGRAM_VOLUME, NewVolume::program()));
    let templates = templates.map(|volume| (layout::TEMPLATE_VOLUME, volume));
    for (name, canonical) in always.into_iter().chain(program).chain(templates) {
        let index = pod.spec.volumes.iter().flatten().position(|volume| &*volume.name == name);
        match index {
            None => missing.push(canonical),
            Some(index) => {
                let found = reinvocation::volume(pod, index);
                let is_canonical =
                    |found: &Value| reinvocation::is_canonical_volume(&canonical, found);
                if found.as_ref().is_some_and(is_canonical) {
                    continue;
                }
                if found.is_some_and(|it| is_of_another_source(it, &canonical, config)) {
                    patch.replace(&volumes.element(index), canonical);
                } else {
                    diagnostics.deny(Violation::VolumeNameTaken { index, volume: name });
                }
            }
        }
    }
    patch.append(&volumes, pod.spec.volumes.is_some(), missing);
}

/// Whether a volume is the canonical token, but for the audience of another source: that of a pod
/// which was made while the operator had that source, and is created anew.
fn is_of_another_source(
    mut found: Value,
    canonical: &NewVolume<'_>,
    config: &InjectionConfig,
) -> bool {
    const AUDIENCE: &str = "/projected/sources/0/serviceAccountToken/audience";
    let (Some(other), Some(audience)) = (found.pointer_mut(AUDIENCE), canonical.token_audience())
    else {
        return false;
    };
    if !other.as_str().is_some_and(|it| config.has_token_audience(it)) {
        return false;
    }
    *other = audience.into();
    reinvocation::is_canonical_volume(canonical, &found)
}
