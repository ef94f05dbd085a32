//! The mark of the container that gets a signal: a mount of its own part of the secrets' volume.
//! The mounts of a process say which part, whatever it writes over its environment.

use contract::layout;

use super::super::new_mount::NewMount;
use super::{MountPoints, is_own_mount};
use crate::app_container::AppContainer;
use crate::diagnostics::{Diagnostics, Violation, printable};
use crate::path_components::components;
use crate::pod::VolumeMount;

/// The directory of a container's mark in the secrets' volume. Kubelet makes it.
pub(super) fn path(container: &str) -> String {
    format!("{}/{container}", layout::CONTAINER_MARKS)
}

pub(super) fn mount(mark: &str) -> NewMount<'_> {
    NewMount::part(layout::SECRETS_VOLUME, mark, layout::CONTAINER_MARK_DIRECTORY)
}

/// Whether a mount is exactly [`mount`].
pub(super) fn is_mount(mount: &VolumeMount<'_>, mark: &str) -> bool {
    is_own_mount(mount, (layout::SECRETS_VOLUME, Some(mark)), layout::CONTAINER_MARK_DIRECTORY)
}

/// Refuses a mount that keeps the mark from being mounted, or hides it.
pub(super) fn check(
    app: &AppContainer<'_>,
    (index, mount): (usize, &VolumeMount<'_>),
    points: &MountPoints<'_, '_>,
    diagnostics: &mut Diagnostics,
) {
    let cannot_hold = || {
        let volume = points.volumes.get(&*mount.name);
        mount.read_only == Some(true) || volume.is_some_and(|volume| volume.has_keys())
    };
    let is_taken = match overlap(&mount.mount_path) {
        MarkOverlap::None => false,
        MarkOverlap::Inside => true,
        MarkOverlap::Parent => cannot_hold(),
    };
    // Of one of the webhook's volumes, another message says more.
    if is_taken && !layout::VOLUMES.contains(&&*mount.name) {
        let at = app.at(format_args!(".volumeMounts[{index}]"));
        let path = printable(&mount.mount_path);
        diagnostics.deny(Violation::MarkPathTaken { at, path });
    }
}

/// How a mount path overlaps the directory of the mark.
#[derive(Debug, PartialEq, Eq)]
enum MarkOverlap {
    None,
    /// It, or below it: it is read-only, so nothing can be mounted there.
    Inside,
    /// Above it, so that it is made in that volume.
    Parent,
}

fn overlap(mount_path: &str) -> MarkOverlap {
    match components(mount_path).as_slice() {
        ["run", "enclii", "container", ..] | ["var", "run", "enclii", "container", ..] => {
            MarkOverlap::Inside
        }
        ["run"] | ["run", "enclii"] | ["var", "run", "enclii"] => MarkOverlap::Parent,
        _ => MarkOverlap::None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mount_paths_that_overlap_the_mark() {
        for (path, expected) in [
            ("/run/enclii/container", MarkOverlap::Inside),
            ("/run/enclii/container/", MarkOverlap::Inside),
            ("/var/run/enclii/container", MarkOverlap::Inside),
            ("/run/enclii/bin/../container/x", MarkOverlap::Inside),
            ("/run/enclii", MarkOverlap::Parent),
            ("/var/run/enclii", MarkOverlap::Parent),
            ("/run", MarkOverlap::Parent),
            // There is a warning of its own for it.
            ("/var/run", MarkOverlap::None),
            ("/run/enclii/containers", MarkOverlap::None),
            ("/run/enclii/bin", MarkOverlap::None),
            ("/run/app", MarkOverlap::None),
            ("/", MarkOverlap::None),
        ] {
            assert_eq!(overlap(path), expected, "{path}");
        }
    }
}
