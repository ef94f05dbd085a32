//! The mount of the secrets in each container that gets them, and what stands in its way.

use contract::layout;
use serde_json::{Value, json};

use super::{Operation, append};
use crate::findings::{Findings, Refusal, Warning, shown};
use crate::pod::Mount;
use crate::target::Target;

/// Where kubelet mounts the token of the pod's service account. The agent makes the mount point.
const SERVICE_ACCOUNT: &str = "kubernetes.io/serviceaccount";

/// Adds the operation that mounts the secrets.
pub(crate) fn patch(target: &Target<'_>, findings: &mut Findings, patch: &mut Vec<Operation>) {
    let mut is_mounted = false;
    for (index, mount) in target.container.volume_mounts.iter().flatten().enumerate() {
        if target.gets_secrets && !is_mounted && is_ours(mount) {
            is_mounted = true;
        } else {
            check(target, index, mount, findings);
        }
    }
    if target.gets_secrets && !is_mounted {
        let mounts = target.place.pointer(format_args!("/volumeMounts"));
        append(&mounts, target.container.volume_mounts.is_some(), vec![secrets_mount()], patch);
    }
}

fn secrets_mount() -> Value {
    json!({ "name": layout::SECRETS_VOLUME, "mountPath": layout::SECRETS_DIRECTORY, "readOnly": true })
}

/// Whether a mount is exactly [`secrets_mount`].
fn is_ours(mount: &Mount<'_>) -> bool {
    let Mount { name, mount_path, read_only, sub_path, sub_path_expr, mount_propagation } = mount;
    &**name == layout::SECRETS_VOLUME
        && &**mount_path == layout::SECRETS_DIRECTORY
        && *read_only == Some(true)
        && sub_path.is_none()
        && sub_path_expr.is_none()
        && mount_propagation.is_none()
}

fn check(target: &Target<'_>, index: usize, mount: &Mount<'_>, findings: &mut Findings) {
    let at = || target.at(format_args!(".volumeMounts[{index}]"));
    // The token volume is the agent's identity: in any other container it would be a second agent.
    if let Some(volume) = [layout::SECRETS_VOLUME, layout::TOKEN_VOLUME]
        .into_iter()
        .find(|volume| **volume == *mount.name)
    {
        findings.refuse(Refusal::OurVolume { at: at(), volume });
    } else if target.gets_secrets {
        match standing(&mount.mount_path) {
            Standing::Clear => {}
            Standing::Taken => {
                findings.refuse(Refusal::MountTaken { at: at(), path: shown(&mount.mount_path) })
            }
            Standing::Below => {
                findings.refuse(Refusal::MountBelow { at: at(), path: shown(&mount.mount_path) })
            }
            Standing::MayHide => findings.warn(Warning::MayHide { at: at() }),
        }
    }
}

/// How a mount point stands to the secrets.
#[derive(Debug, PartialEq, Eq)]
enum Standing {
    Clear,
    Taken,
    Below,
    MayHide,
}

fn standing(mount_path: &str) -> Standing {
    let parts = components(mount_path);
    // `/var/run` is a link to `/run` in most images, so both are one place.
    let below_run = match parts.as_slice() {
        ["var", "run"] => return Standing::MayHide,
        ["run", rest @ ..] | ["var", "run", rest @ ..] => rest,
        _ => return Standing::Clear,
    };
    match below_run {
        ["secrets"] => Standing::Taken,
        ["secrets", rest @ ..] if !rest.iter().copied().eq(SERVICE_ACCOUNT.split('/')) => {
            Standing::Below
        }
        _ => Standing::Clear,
    }
}

/// The parts of a path as the runtime will walk it. A relative one starts at the root, too.
fn components(path: &str) -> Vec<&str> {
    let mut parts = Vec::with_capacity(8);
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop();
            }
            part => parts.push(part),
        }
    }
    parts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn where_a_mount_may_be() {
        for (path, expected) in [
            ("/run/secrets", Standing::Taken),
            ("/run/secrets/", Standing::Taken),
            ("//run/./secrets", Standing::Taken),
            ("/run/x/../secrets", Standing::Taken),
            ("run/secrets", Standing::Taken),
            ("/var/run/secrets", Standing::Taken),
            ("/run/secrets/db", Standing::Below),
            ("/var/run/secrets/eks.amazonaws.com/serviceaccount", Standing::Below),
            ("/var/run/secrets/kubernetes.io", Standing::Below),
            ("/var/run/secrets/kubernetes.io/serviceaccount/x", Standing::Below),
            ("/var/run/secrets/kubernetes.io/serviceaccount", Standing::Clear),
            ("/run/secrets/kubernetes.io/serviceaccount", Standing::Clear),
            ("/var/run", Standing::MayHide),
            ("/var/run/", Standing::MayHide),
            ("/var/run/app", Standing::Clear),
            ("/run", Standing::Clear),
            ("/run/secrets-of-mine", Standing::Clear),
            ("/etc/run/secrets", Standing::Clear),
            ("", Standing::Clear),
            ("/", Standing::Clear),
        ] {
            assert_eq!(standing(path), expected, "{path}");
        }
    }
}
