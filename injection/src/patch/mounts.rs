//! The mount of the secrets in each container that gets them, and conflicts with other mounts.

use contract::layout;
use json_patch::PatchOperation;
use serde_json::{Value, json};

use super::append;
use crate::app_container::AppContainer;
use crate::diagnostics::{Diagnostics, Violation, Warning, printable};
use crate::pod::VolumeMount;

/// Where kubelet mounts the pod's service-account token, relative to `/var/run/secrets`. The agent
/// creates the mount point.
const SERVICE_ACCOUNT: &str = "kubernetes.io/serviceaccount";

/// Adds the operation that mounts the secrets.
pub(crate) fn patch(
    app: &AppContainer<'_>,
    diagnostics: &mut Diagnostics,
    patch: &mut Vec<PatchOperation>,
) {
    let mut is_mounted = false;
    for (index, mount) in app.container.volume_mounts.iter().flatten().enumerate() {
        if app.gets_secrets && !is_mounted && is_secrets_mount(mount) {
            is_mounted = true;
        } else {
            check(app, index, mount, diagnostics);
        }
    }
    if app.gets_secrets && !is_mounted {
        let exists = app.container.volume_mounts.is_some();
        append(app.path.field("volumeMounts"), exists, vec![secrets_mount()], patch);
    }
}

fn secrets_mount() -> Value {
    json!({
        "name": layout::SECRETS_VOLUME,
        "mountPath": layout::SECRETS_DIRECTORY,
        "readOnly": true,
    })
}

/// Whether a mount is exactly [`secrets_mount`].
fn is_secrets_mount(mount: &VolumeMount<'_>) -> bool {
    let VolumeMount { name, mount_path, read_only, sub_path, sub_path_expr, mount_propagation } =
        mount;
    &**name == layout::SECRETS_VOLUME
        && &**mount_path == layout::SECRETS_DIRECTORY
        && *read_only == Some(true)
        && sub_path.is_none()
        && sub_path_expr.is_none()
        && mount_propagation.is_none()
}

fn check(
    app: &AppContainer<'_>,
    index: usize,
    mount: &VolumeMount<'_>,
    diagnostics: &mut Diagnostics,
) {
    let at = || app.at(format_args!(".volumeMounts[{index}]"));
    let path = || printable(&mount.mount_path);
    // The token is the agent's identity: a container that mounts it could act as the agent.
    if let Some(volume) = [layout::SECRETS_VOLUME, layout::TOKEN_VOLUME]
        .into_iter()
        .find(|volume| **volume == *mount.name)
    {
        diagnostics.deny(Violation::ReservedVolumeMounted { at: at(), volume });
    } else if app.gets_secrets {
        match overlap(&mount.mount_path) {
            MountOverlap::None => {}
            MountOverlap::Same => {
                diagnostics.deny(Violation::MountPathTaken { at: at(), path: path() });
            }
            MountOverlap::Inside => {
                diagnostics.deny(Violation::MountPathInside { at: at(), path: path() });
            }
            MountOverlap::MayHide => diagnostics.warn(Warning::MayHideSecrets { at: at() }),
        }
    }
}

/// How a mount path overlaps the secrets directory.
#[derive(Debug, PartialEq, Eq)]
enum MountOverlap {
    None,
    Same,
    Inside,
    MayHide,
}

fn overlap(mount_path: &str) -> MountOverlap {
    let components = components(mount_path);
    // `/var/run` is a link to `/run` in most images, so both are the same directory.
    let below_run = match components.as_slice() {
        ["var", "run"] => return MountOverlap::MayHide,
        ["run", rest @ ..] | ["var", "run", rest @ ..] => rest,
        _ => return MountOverlap::None,
    };
    match below_run {
        ["secrets"] => MountOverlap::Same,
        ["secrets", rest @ ..] if !rest.iter().copied().eq(SERVICE_ACCOUNT.split('/')) => {
            MountOverlap::Inside
        }
        _ => MountOverlap::None,
    }
}

/// The components of a path as the container runtime resolves them. A relative path starts at the
/// root too.
fn components(path: &str) -> Vec<&str> {
    let mut components = Vec::with_capacity(8);
    for component in path.split('/') {
        match component {
            "" | "." => {}
            ".." => {
                components.pop();
            }
            component => components.push(component),
        }
    }
    components
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mount_paths_that_overlap_the_secrets_directory() {
        for (path, expected) in [
            ("/run/secrets", MountOverlap::Same),
            ("/run/secrets/", MountOverlap::Same),
            ("//run/./secrets", MountOverlap::Same),
            ("/run/x/../secrets", MountOverlap::Same),
            ("run/secrets", MountOverlap::Same),
            ("/var/run/secrets", MountOverlap::Same),
            ("/run/secrets/db", MountOverlap::Inside),
            ("/var/run/secrets/eks.amazonaws.com/serviceaccount", MountOverlap::Inside),
            ("/var/run/secrets/kubernetes.io", MountOverlap::Inside),
            ("/var/run/secrets/kubernetes.io/serviceaccount/x", MountOverlap::Inside),
            ("/var/run/secrets/kubernetes.io/serviceaccount", MountOverlap::None),
            ("/run/secrets/kubernetes.io/serviceaccount", MountOverlap::None),
            ("/var/run", MountOverlap::MayHide),
            ("/var/run/", MountOverlap::MayHide),
            ("/var/run/app", MountOverlap::None),
            ("/run", MountOverlap::None),
            ("/run/secrets-of-mine", MountOverlap::None),
            ("/etc/run/secrets", MountOverlap::None),
            ("", MountOverlap::None),
            ("/", MountOverlap::None),
        ] {
            assert_eq!(overlap(path), expected, "{path}");
        }
    }
}
