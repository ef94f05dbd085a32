//! The pod's other volumes that the agent fills: those of Secrets that bundles replace.
//!
//! Each is swapped by itself, as kubelet swaps a Secret's, and all of them before the secrets'
//! volume: where that has a generation, these have it too.

use std::path::Path;

use contract::layout::MAX_VALUE_BYTES;
use contract::secret_volume::SecretVolume;
use contract::stream::BundleGeneration;

use super::directory::{Directory, EntryKind};
use super::{SecretsVolume, VolumeError, open_root, tree};
use crate::plan::{DesiredFiles, VolumeContents};

/// The mode by which directories are open to everybody: a file's own mode protects it, as in a
/// Secret's volume.
const OPEN: u32 = 0o444;

/// The volumes, in the order of the configuration.
#[derive(Debug, Default)]
pub struct SecretVolumes(Vec<SecretsVolume>);

impl SecretVolumes {
    /// Opens each where it is mounted.
    ///
    /// # Errors
    /// When one is not there or the agent may not write to it.
    pub fn open(volumes: &[SecretVolume]) -> Result<Self, VolumeError> {
        let open = |volume: &SecretVolume| {
            let root = open_root(Path::new(&volume.directory))?;
            SecretsVolume::adopt(root, OPEN, Default::default())
        };
        Ok(Self(volumes.iter().map(open).collect::<Result<_, _>>()?))
    }

    /// Makes `desired` the current generation of each volume that holds something else. Returns
    /// whether there was one.
    ///
    /// # Errors
    /// When a step before a swap fails; that volume and the following ones are then unchanged.
    pub fn publish(&mut self, desired: &DesiredFiles) -> Result<bool, VolumeError> {
        let mut has_changed = false;
        for (volume, contents) in self.0.iter_mut().zip(&desired.volumes) {
            has_changed |= volume.publish_contents(contents, &desired.held)?;
        }
        Ok(has_changed)
    }

    /// Records of each which generation works, as [`SecretsVolume::record_proven`].
    ///
    /// # Errors
    /// When a record cannot be written.
    pub fn record_proven(&self) -> Result<(), VolumeError> {
        self.0.iter().try_for_each(SecretsVolume::record_proven)
    }

    /// Says that the current generation of each works.
    ///
    /// # Errors
    /// When the record of an earlier one cannot be removed.
    pub fn mark_proven(&mut self) -> Result<(), VolumeError> {
        self.0.iter_mut().try_for_each(SecretsVolume::mark_proven)
    }

    /// Makes the last generation of each that is known to work the current one again.
    ///
    /// # Errors
    /// When a step before a swap fails; that volume and the following ones are then unchanged.
    pub fn restore_proven(&mut self) -> Result<(), VolumeError> {
        self.0.iter_mut().try_for_each(|volume| volume.restore_proven(false).map(drop))
    }

    /// Removes the previous generation of each.
    ///
    /// # Errors
    /// When one cannot be removed.
    pub fn remove_previous(&mut self) -> Result<(), VolumeError> {
        self.0.iter_mut().try_for_each(SecretsVolume::remove_previous)
    }
}

impl SecretsVolume {
    fn publish_contents(
        &mut self,
        contents: &VolumeContents,
        held: &[BundleGeneration],
    ) -> Result<bool, VolumeError> {
        if self.holds(contents) {
            return Ok(false);
        }
        self.publish_tree(&tree::of_volume(contents), held, false)?;
        Ok(true)
    }

    /// Whether the current generation has these files and no others.
    fn holds(&self, contents: &VolumeContents) -> bool {
        let Some(current) = self.current_directory.as_deref() else { return false };
        let is_same = contents.iter().all(|(path, file)| {
            let found = self.parent_of(current, path);
            let found = found.and_then(|(parent, name)| parent.read(name, MAX_VALUE_BYTES));
            found.is_ok_and(|bytes| bytes == file.bytes)
        });
        let all = self.root.open_directory(current).and_then(|it| count(&it));
        is_same && all.is_ok_and(|count| count == contents.len())
    }
}

/// How many files are in a directory and in those below it.
fn count(directory: &Directory) -> std::io::Result<usize> {
    let mut files = 0;
    for entry in directory.entries()? {
        files += match entry.kind {
            EntryKind::Directory => count(&directory.open_directory(&entry.name)?)?,
            _ => 1,
        };
    }
    Ok(files)
}
