//! The volumes of an injected pod: memory for the secrets, the agent's token, memory for the
//! agent's program where it starts commands, and the ConfigMaps of its templates.

use contract::{Quantity, layout};
use json_patch::PatchOperation;
use json_patch::jsonptr::Pointer;
use serde_json::{Value, json};

use super::{append, reinvocation, replace};
use crate::config::InjectionConfig;
use crate::diagnostics::{Diagnostics, Violation};
use crate::pod::Pod;

const VOLUMES: &Pointer = Pointer::from_static("/spec/volumes");

/// Adds the operations that insert the volumes, and the others that are `missing`.
pub(crate) fn patch(
    pod: &Pod<'_>,
    (size, config): (&Quantity, &InjectionConfig),
    (has_program, templates, mut missing): (bool, Option<Value>, Vec<Value>),
    diagnostics: &mut Diagnostics,
    patch: &mut Vec<PatchOperation>,
) {
    let token = token(config.token_audience());
    let always = [(layout::SECRETS_VOLUME, secrets(size)), (layout::TOKEN_VOLUME, token)];
    let program = has_program.then(|| (layout::PROGRAM_VOLUME, program()));
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
                    patch.push(replace(VOLUMES.with_trailing_token(index), canonical));
                } else {
                    diagnostics.deny(Violation::VolumeNameTaken { index, volume: name });
                }
            }
        }
    }
    append(VOLUMES.to_buf(), pod.spec.volumes.is_some(), missing, patch);
}

/// Whether a volume is the canonical token, but for the audience of another source: that of a pod
/// which was made while the operator had that source, and is created anew.
fn is_of_another_source(mut found: Value, canonical: &Value, config: &InjectionConfig) -> bool {
    const AUDIENCE: &str = "/projected/sources/0/serviceAccountToken/audience";
    let (Some(other), Some(audience)) = (found.pointer_mut(AUDIENCE), canonical.pointer(AUDIENCE))
    else {
        return false;
    };
    if !other.as_str().is_some_and(|it| config.has_token_audience(it)) {
        return false;
    }
    other.clone_from(audience);
    reinvocation::is_canonical_volume(canonical, &found)
}

/// In memory, so that no value reaches a disk. Limited, because an unlimited volume may take half
/// of the node's memory.
fn secrets(size: &Quantity) -> Value {
    json!({
        "name": layout::SECRETS_VOLUME,
        "emptyDir": { "medium": "Memory", "sizeLimit": size.as_str() },
    })
}

/// In memory, so that nobody who has the node's disk chooses the program. Holds two copies, even
/// of a program with its symbols, while an agent of another image replaces the first.
fn program() -> Value {
    json!({
        "name": layout::PROGRAM_VOLUME,
        "emptyDir": { "medium": "Memory", "sizeLimit": "64Mi" },
    })
}

/// A token that only the source of the secrets accepts. Sets the mode that the API server would
/// default.
fn token(audience: &str) -> Value {
    json!({
        "name": layout::TOKEN_VOLUME,
        "projected": {
            "defaultMode": 0o644,
            "sources": [{ "serviceAccountToken": {
                "audience": audience,
                "expirationSeconds": layout::TOKEN_LIFETIME_SECONDS,
                "path": layout::TOKEN_FILE,
            } }],
        },
    })
}
