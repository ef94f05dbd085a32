//! Why a pod cannot mount something below the secrets directory.

/// The most mount points of a pod below the secrets directory.
pub(crate) const MAX_MOUNT_POINTS: usize = 64;

/// Why a mount cannot be below the secrets directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum MountPointConflict {
    #[error("the agent uses names that start with two dots, .env and .container")]
    Reserved,
    #[error("a secret of the pod's bundles is a file of that name")]
    Key,
    #[error("an annotation enclii.io/path-… has the agent make that name")]
    Path,
    #[error("another container mounts a file there, or this one, and the other a directory")]
    Kind,
    #[error("a pod has {MAX_MOUNT_POINTS} of these at most")]
    TooMany,
}
