//! The mount of the secrets in each container that gets them, other mounts below it, and conflicts
//! with both.

mod mark;

use std::collections::{BTreeMap, HashMap};

use contract::agent_config::MountPoint;
use contract::layout;

use super::new_mount::NewMount;
use super::secret_volumes::FilledVolumes;
use crate::app_container::AppContainer;
use crate::diagnostics::{Diagnostics, Violation, Warning, printable};
use crate::mount_point_conflict::{MAX_MOUNT_POINTS, MountPointConflict};
use crate::path_components::components;
use crate::pod::{Pod, Volume, VolumeMount};
use crate::pod_patch::PodPatch;
use crate::requested::RequestedSecrets;

/// Where kubelet mounts the pod's service-account token, relative to `/var/run/secrets`. The agent
/// creates the mount point.
const SERVICE_ACCOUNT: &str = "kubernetes.io/serviceaccount";

/// The longest path of one, in bytes.
const MAX_PATH_BYTES: usize = 512;

/// What is mounted below the secrets directory: meshes and cloud identities keep their tokens
/// there.
pub(crate) struct MountPoints<'p, 'r> {
    volumes: HashMap<&'p str, &'p Volume<'p>>,
    requested: &'r RequestedSecrets<'r>,
    filled: &'r FilledVolumes<'p>,
    /// By path, and whether it is a file.
    found: BTreeMap<String, bool>,
}

impl<'p, 'r> MountPoints<'p, 'r> {
    pub(crate) fn new(
        pod: &'p Pod<'_>,
        requested: &'r RequestedSecrets<'r>,
        filled: &'r FilledVolumes<'p>,
    ) -> Self {
        let volumes = pod.spec.volumes.iter().flatten();
        let volumes = volumes.map(|volume| (&*volume.name, volume)).collect();
        Self { volumes, requested, filled, found: BTreeMap::new() }
    }

    /// The mount points, for the agent.
    pub(crate) fn into_list(self) -> Vec<MountPoint> {
        self.found.into_iter().map(|(path, file)| MountPoint { path, file }).collect()
    }

    /// Adds a mount, or says why it cannot be below the secrets directory.
    fn add(&mut self, path: &[&str], mount: &VolumeMount<'_>) -> Option<MountPointConflict> {
        let first = path.first().copied().unwrap_or_default();
        let filled = self.filled.has(&mount.name);
        let volume = self.volumes.get(&*mount.name);
        let file = volume.is_some_and(|it| it.is_mounted_as_file(mount, filled));
        let point = MountPoint { path: path.join("/"), file };
        let is_reserved = [layout::ENV_DIRECTORY, layout::CONTAINER_MARKS].contains(&first);
        if is_reserved || point.names().is_none() || point.path.len() > MAX_PATH_BYTES {
            return Some(MountPointConflict::Reserved);
        }
        if self.requested.has_file(first) {
            return Some(MountPointConflict::Key);
        }
        if self.requested.has_path(first) {
            return Some(MountPointConflict::Path);
        }
        if self.found.get(&point.path).is_some_and(|other| *other != file) {
            return Some(MountPointConflict::Kind);
        }
        if self.found.len() >= MAX_MOUNT_POINTS && !self.found.contains_key(&point.path) {
            return Some(MountPointConflict::TooMany);
        }
        self.found.insert(point.path, file);
        None
    }
}

/// What a container mounts besides the secrets.
#[derive(Clone, Copy)]
pub(crate) struct OwnMounts {
    /// The agent's program, which starts its command.
    pub(crate) program: bool,
    /// The mark by which the agent tells its processes from others.
    pub(crate) mark: bool,
}

/// Adds the operations that mount the secrets in a container that reads their files, and what else
/// it `needs`.
pub(crate) fn patch(
    app: &AppContainer<'_>,
    (points, needs): (&mut MountPoints<'_, '_>, OwnMounts),
    diagnostics: &mut Diagnostics,
    patch: &mut PodPatch,
) {
    let mounts = || app.container.volume_mounts.iter().flatten();
    // A container that reads no file gets no mount, and keeps one of an earlier pass.
    let needs_mount =
        app.gets_secrets && (points.requested.needs_volume() || mounts().any(is_secrets_mount));
    let mark = mark::path(&app.container.name);
    let (mut is_mounted, mut has_program) = (!needs_mount, !needs.program);
    let mut has_mark = !needs.mark;
    for (index, mount) in mounts().enumerate() {
        if !is_mounted && is_secrets_mount(mount) {
            is_mounted = true;
        } else if !has_program && is_program_mount(mount) {
            has_program = true;
        } else if !has_mark && mark::is_mount(mount, &mark) {
            has_mark = true;
        } else {
            if needs.mark {
                mark::check(app, (index, mount), points, diagnostics);
            }
            check(app, (index, mount), needs_mount.then_some(&mut *points), diagnostics);
        }
    }
    let exists = app.container.volume_mounts.is_some();
    let missing = [
        (!is_mounted).then(secrets_mount),
        (!has_program).then(program_mount),
        (!has_mark).then(|| mark::mount(&mark)),
    ];
    let own = points.filled.missing_mounts(app, diagnostics);
    let missing: Vec<_> = missing.into_iter().flatten().chain(own).collect();
    patch.append(&app.path.field("volumeMounts"), exists, missing);
}

fn secrets_mount() -> NewMount<'static> {
    NewMount::read_only(layout::SECRETS_VOLUME, layout::SECRETS_DIRECTORY)
}

fn program_mount() -> NewMount<'static> {
    NewMount::read_only(layout::PROGRAM_VOLUME, layout::PROGRAM_DIRECTORY)
}

/// Whether a mount is exactly [`secrets_mount`].
fn is_secrets_mount(mount: &VolumeMount<'_>) -> bool {
    is_own_mount(mount, (layout::SECRETS_VOLUME, None), layout::SECRETS_DIRECTORY)
}

/// Whether a mount is exactly [`program_mount`].
fn is_program_mount(mount: &VolumeMount<'_>) -> bool {
    is_own_mount(mount, (layout::PROGRAM_VOLUME, None), layout::PROGRAM_DIRECTORY)
}

/// Whether a mount is of this part of a volume, or of all of it, read-only, at this path.
fn is_own_mount(mount: &VolumeMount<'_>, (volume, part): (&str, Option<&str>), at: &str) -> bool {
    let VolumeMount { name, mount_path, read_only, sub_path, sub_path_expr, mount_propagation } =
        mount;
    **name == *volume
        && **mount_path == *at
        && *read_only == Some(true)
        && sub_path.as_deref() == part
        && sub_path_expr.is_none()
        && mount_propagation.is_none()
}

fn check(
    app: &AppContainer<'_>,
    (index, mount): (usize, &VolumeMount<'_>),
    points: Option<&mut MountPoints<'_, '_>>,
    diagnostics: &mut Diagnostics,
) {
    let at = || app.at(format_args!(".volumeMounts[{index}]"));
    let path = || printable(&mount.mount_path);
    // The token is the agent's identity: a container that mounts it could act as the agent.
    if let Some(volume) = layout::VOLUMES.into_iter().find(|volume| **volume == *mount.name) {
        diagnostics.deny(Violation::ReservedVolumeMounted { at: at(), volume });
    } else if let Some(points) = points {
        match overlap(&mount.mount_path) {
            MountOverlap::None => {}
            MountOverlap::Same => {
                diagnostics.deny(Violation::MountPathTaken { at: at(), path: path() });
            }
            MountOverlap::Inside(below) => {
                if let Some(reason) = points.add(&below, mount) {
                    diagnostics.deny(Violation::MountPathInside { at: at(), path: path(), reason });
                }
            }
            MountOverlap::Run => {
                let volume = points.volumes.get(&*mount.name);
                if volume.is_some_and(|volume| volume.has_keys()) {
                    diagnostics.deny(Violation::ReadOnlyRun { at: at() });
                } else if mount.read_only == Some(true) {
                    diagnostics.warn(Warning::ReadOnlyRun { at: at() });
                }
            }
            MountOverlap::MayHide => diagnostics.warn(Warning::MayHideSecrets { at: at() }),
        }
    }
}

/// How a mount path overlaps the secrets directory.
#[derive(Debug, PartialEq, Eq)]
enum MountOverlap<'m> {
    None,
    Same,
    /// Below it, at this path.
    Inside(Vec<&'m str>),
    /// At `/run`, so that the secrets directory is made in that volume.
    Run,
    MayHide,
}

fn overlap(mount_path: &str) -> MountOverlap<'_> {
    let components = components(mount_path);
    // `/var/run` is a link to `/run` in most images, so both are the same directory.
    let below_run = match components.as_slice() {
        ["var", "run"] => return MountOverlap::MayHide,
        ["run"] => return MountOverlap::Run,
        ["run", rest @ ..] | ["var", "run", rest @ ..] => rest,
        _ => return MountOverlap::None,
    };
    match below_run {
        ["secrets"] => MountOverlap::Same,
        ["secrets", rest @ ..] if !rest.iter().copied().eq(SERVICE_ACCOUNT.split('/')) => {
            MountOverlap::Inside(rest.to_vec())
        }
        _ => MountOverlap::None,
    }
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
            ("/run/secrets/db", MountOverlap::Inside(vec!["db"])),
            (
                "/var/run/secrets/eks.amazonaws.com/serviceaccount",
                MountOverlap::Inside(vec!["eks.amazonaws.com", "serviceaccount"]),
            ),
            ("/var/run/secrets/kubernetes.io", MountOverlap::Inside(vec!["kubernetes.io"])),
            (
                "/var/run/secrets/kubernetes.io/serviceaccount/x",
                MountOverlap::Inside(vec!["kubernetes.io", "serviceaccount", "x"]),
            ),
            ("/var/run/secrets/kubernetes.io/serviceaccount", MountOverlap::None),
            ("/run/secrets/kubernetes.io/serviceaccount", MountOverlap::None),
            ("/var/run", MountOverlap::MayHide),
            ("/var/run/", MountOverlap::MayHide),
            ("/var/run/app", MountOverlap::None),
            ("/run", MountOverlap::Run),
            ("/run/.", MountOverlap::Run),
            ("/run/secrets-of-mine", MountOverlap::None),
            ("/etc/run/secrets", MountOverlap::None),
            ("", MountOverlap::None),
            ("/", MountOverlap::None),
        ] {
            assert_eq!(overlap(path), expected, "{path}");
        }
    }
}
