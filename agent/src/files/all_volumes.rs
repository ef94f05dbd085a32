//! The secrets' volume and the pod's other volumes: all of them change, or none.

use super::{SecretVolumes, SecretsVolume, VolumeError};
use crate::plan::DesiredFiles;

/// Makes `desired` the current generation of all volumes. `reload` is as for
/// [`SecretsVolume::publish`]. `is_checked` says that it may turn out not to work.
///
/// # Errors
/// When a step before the last swap fails; all volumes are then unchanged.
pub fn publish_all(
    files: &mut SecretsVolume,
    volumes: &mut SecretVolumes,
    desired: &DesiredFiles,
    (reload, is_checked): (bool, bool),
) -> Result<(), VolumeError> {
    // Before the first swap: after a crash between two of them, each volume still knows what works.
    if is_checked {
        files.record_proven()?;
        volumes.record_proven()?;
    }
    // The secrets' volume is last: where it has a generation, the others have it too.
    volumes.publish(desired)?;
    files.publish(desired, reload).inspect_err(|_| volumes.undo())
}

/// Makes the last generation that is known to work the current one of all volumes. Returns `false`
/// if there is none other than the current one.
///
/// # Errors
/// When a step before the last swap fails; all volumes are then unchanged.
pub fn restore_all(
    files: &mut SecretsVolume,
    volumes: &mut SecretVolumes,
    reload: bool,
) -> Result<bool, VolumeError> {
    volumes.restore_proven()?;
    files.restore_proven(reload).inspect_err(|_| volumes.undo())
}
