//! The two volumes of an injected pod: memory for the secrets, and the agent's identity.

use contract::layout;
use serde_json::{Value, json};

use super::{Operation, append, shape};
use crate::config::InjectionConfig;
use crate::findings::{Findings, Refusal};
use crate::pod::Pod;

/// Adds the operations that bring the volumes.
pub(crate) fn patch(
    pod: &Pod<'_>,
    config: &InjectionConfig,
    findings: &mut Findings,
    patch: &mut Vec<Operation>,
) {
    let mut missing = Vec::with_capacity(2);
    for (name, make) in [
        (layout::SECRETS_VOLUME, secrets as fn(&InjectionConfig) -> Value),
        (layout::TOKEN_VOLUME, |_| token()),
    ] {
        let at = pod.spec.volumes.iter().flatten().position(|volume| &*volume.name == name);
        match at {
            None => missing.push(make(config)),
            Some(index) => {
                let same = shape::volume(pod, index)
                    .is_some_and(|found| shape::is_volume(&make(config), &found));
                if !same {
                    findings.refuse(Refusal::VolumeTaken { index, volume: name });
                }
            }
        }
    }
    append("/spec/volumes", pod.spec.volumes.is_some(), missing, patch);
}

/// Memory, so that no value reaches a disk; limited, since without a limit it may take half of the
/// node's.
fn secrets(config: &InjectionConfig) -> Value {
    json!({ "name": layout::SECRETS_VOLUME, "emptyDir": { "medium": "Memory", "sizeLimit": config.volume_size.as_str() } })
}

/// A token for switchyard alone. The mode is the default, which the API server would add.
fn token() -> Value {
    json!({
        "name": layout::TOKEN_VOLUME,
        "projected": {
            "defaultMode": 0o644,
            "sources": [{ "serviceAccountToken": {
                "audience": layout::TOKEN_AUDIENCE,
                "expirationSeconds": layout::TOKEN_LIFETIME_SECONDS,
                "path": layout::TOKEN_FILE,
            } }],
        },
    })
}
