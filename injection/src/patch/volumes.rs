//! The volumes of an injected pod: memory for the secrets, the agent's token, memory for the
//! agent's program where it starts commands, and the ConfigMaps of its templates.

use contract::{Quantity, layout};

use super::new_volume::NewVolume;
use super::reinvocation;
use crate::diagnostics::{Diagnostics, Violation};
use crate::pod::Pod;
use crate::pod_patch::PodPatch;
use crate::pod_pointer::PodPointer;

/// Adds the operations that insert the volumes.
pub(crate) fn patch(
    pod: &Pod<'_>,
    (size, has_program, templates): (&Quantity, bool, Option<NewVolume<'_>>),
    diagnostics: &mut Diagnostics,
    patch: &mut PodPatch,
) {
    let mut missing = Vec::with_capacity(4);
    let always = [
        (layout::SECRETS_VOLUME, NewVolume::secrets(size)),
        (layout::TOKEN_VOLUME, NewVolume::token()),
    ];
    let program = has_program.then(|| (layout::PROGRAM_VOLUME, NewVolume::program()));
    let templates = templates.map(|volume| (layout::TEMPLATE_VOLUME, volume));
    for (name, canonical) in always.into_iter().chain(program).chain(templates) {
        let index = pod.spec.volumes.iter().flatten().position(|volume| &*volume.name == name);
        match index {
            None => missing.push(canonical),
            Some(index) => {
                let is_canonical = reinvocation::volume(pod, index)
                    .is_some_and(|found| reinvocation::is_canonical_volume(&canonical, &found));
                if !is_canonical {
                    diagnostics.deny(Violation::VolumeNameTaken { index, volume: name });
                }
            }
        }
    }
    patch.append(&PodPointer::new("/spec/volumes"), pod.spec.volumes.is_some(), missing);
}
