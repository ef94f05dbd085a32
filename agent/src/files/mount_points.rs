//! The places in the volume where other volumes are mounted.
//!
//! Kubelet mounts the service-account token below `/var/run/secrets`, and meshes and cloud
//! identities do the same with theirs. Many images link `/var/run` to `/run`, so these places are
//! in the secrets volume. It is read-only for the application, whose container the runtime cannot
//! start if one of them is missing.

use std::io;

use contract::agent_config::MountPoint;
use contract::layout::{SERVICE_ACCOUNT_DIRECTORY, SERVICE_ACCOUNT_SUBDIRECTORY};

use super::directory::Directory;
use super::error::VolumeError;

/// Creates those that do not exist: the token's, and those of the configuration.
pub(super) fn create(root: &Directory, points: &[MountPoint]) -> Result<(), VolumeError> {
    let token = format!("{SERVICE_ACCOUNT_DIRECTORY}/{SERVICE_ACCOUNT_SUBDIRECTORY}");
    let token = MountPoint { path: token, file: false };
    for point in std::iter::once(&token).chain(points) {
        let path = || point.path.escape_debug().to_string();
        let names = point.names().ok_or_else(|| VolumeError::MountPointName(path()))?;
        create_one(root, &names, point.file)
            .map_err(|source| VolumeError::MountPoint { path: path(), source })?;
    }
    Ok(())
}

fn create_one(root: &Directory, names: &[&str], file: bool) -> io::Result<()> {
    let mut parent: Option<Directory> = None;
    for (at, name) in names.iter().enumerate() {
        let directory = parent.as_ref().unwrap_or(root);
        if file && at + 1 == names.len() {
            return match directory.write_new(name, b"", 0o444) {
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
                other => other,
            };
        }
        parent = Some(match directory.create_directory(name, 0o755) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                directory.open_directory(name)?
            }
            other => other?,
        });
    }
    Ok(())
}
