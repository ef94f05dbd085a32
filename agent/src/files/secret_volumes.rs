//! The pod's other volumes that the agent fills: those of Secrets that bundles replace.
//!
//! Each is swapped by itself, as kubelet swaps a Secret's, and all of them before the secrets'
//! volume: where that has a generation, these have it too.

use std::path::Path;

use contract::layout::MAX_VALUE_BYTES;
use contract::secret_volume::SecretVolume;

use super::directory::{Directory, EntryKind};
use super::{SecretsVolume, VolumeError, open_root, tree};
use crate::error::error_chain;
use crate::plan::{DesiredFiles, VolumeContents};

/// The mode by which directories are open to everybody: a file's own mode protects it, as in a
/// Secret's volume.
const OPEN: u32 = 0o444;

/// The volumes, in the order of the configuration.
#[derive(Debug, Default)]
pub struct SecretVolumes {
    volumes: Vec<SecretsVolume>,
    /// Those that the last change has changed, by their place.
    changed: Vec<usize>,
}

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
        let volumes = volumes.iter().map(open).collect::<Result<_, _>>()?;
        Ok(Self { volumes, changed: Vec::new() })
    }

    /// Whether each volume holds what `desired` has for it.
    #[must_use]
    pub fn hold(&self, desired: &DesiredFiles) -> bool {
        self.volumes.iter().zip(&desired.volumes).all(|(volume, contents)| volume.holds(contents))
    }

    /// Whether a volume was not filled together with the current generation of `files`. Either its
    /// files were the same, or a crash came between.
    #[must_use]
    pub fn are_older_or_newer(&self, files: &SecretsVolume) -> bool {
        self.volumes.iter().any(|volume| volume.current_directory != files.current_directory)
    }

    /// Makes `desired` the current generation of each volume that holds something else.
    ///
    /// # Errors
    /// When a step before a swap fails; all volumes are then unchanged.
    pub fn publish(&mut self, desired: &DesiredFiles) -> Result<(), VolumeError> {
        let held = &desired.held;
        self.change(|at, volume| match desired.volumes.get(at) {
            Some(contents) if !volume.holds(contents) => {
                volume.publish_tree(&tree::of_volume(contents), held, false).map(|()| true)
            }
            _ => Ok(false),
        })
    }

    /// Changes each volume, or none. `change` returns whether it has changed one.
    fn change(
        &mut self,
        change: impl Fn(usize, &mut SecretsVolume) -> Result<bool, VolumeError>,
    ) -> Result<(), VolumeError> {
        self.changed.clear();
        for (at, volume) in self.volumes.iter_mut().enumerate() {
            match change(at, volume) {
                Ok(true) => self.changed.push(at),
                Ok(false) => {}
                Err(error) => {
                    self.undo();
                    return Err(error);
                }
            }
        }
        Ok(())
    }

    /// Takes the last change back, where the secrets' volume could not follow. A volume that held
    /// nothing before keeps what it has: no application has started yet.
    pub fn undo(&mut self) {
        for at in std::mem::take(&mut self.changed) {
            let Some(volume) = self.volumes.get_mut(at) else { continue };
            if let Err(error) = volume.undo() {
                tracing::warn!(
                    error = error_chain(&error),
                    "a volume holds another generation than the secrets' volume"
                );
            }
        }
    }

    /// Records of each which generation works, as [`SecretsVolume::record_proven`].
    ///
    /// # Errors
    /// When a record cannot be written.
    pub fn record_proven(&mut self) -> Result<(), VolumeError> {
        self.volumes.iter_mut().try_for_each(SecretsVolume::record_proven)
    }

    /// Goes on from what the secrets' volume says: if that does not wait for a generation to turn
    /// out to work, these do not either. A crash may have come before they were told.
    ///
    /// # Errors
    /// When the record of an earlier generation cannot be removed.
    pub fn adopt_proven(&mut self, files: &SecretsVolume) -> Result<(), VolumeError> {
        if files.has_proven_record() { Ok(()) } else { self.mark_proven() }
    }

    /// Says that the current generation of each works.
    ///
    /// # Errors
    /// When the record of an earlier one cannot be removed.
    pub fn mark_proven(&mut self) -> Result<(), VolumeError> {
        self.volumes.iter_mut().try_for_each(SecretsVolume::mark_proven)
    }

    /// Makes the last generation of each that is known to work the current one again.
    ///
    /// # Errors
    /// When a step before a swap fails; all volumes are then unchanged.
    pub fn restore_proven(&mut self) -> Result<(), VolumeError> {
        self.change(|_, volume| volume.restore_proven(false))
    }

    /// Removes the previous generation of each.
    ///
    /// # Errors
    /// When one cannot be removed.
    pub fn remove_previous(&mut self) -> Result<(), VolumeError> {
        self.volumes.iter_mut().try_for_each(SecretsVolume::remove_previous)
    }
}

impl SecretsVolume {
    /// Makes the previous generation the current one again, and forgets the one that replaced it.
    fn undo(&mut self) -> Result<(), VolumeError> {
        let Some(previous) = self.previous_directory.clone() else { return Ok(()) };
        self.swap_in_earlier(&previous, false)?;
        self.remove_previous()
    }

    /// Whether the current generation has these files and no others.
    fn holds(&self, contents: &VolumeContents) -> bool {
        let Some(current) = self.current_directory.as_deref() else { return false };
        let is_same = contents.iter().all(|(path, file)| {
            let found = self.parent_of(current, path);
            found.is_ok_and(|(parent, name)| {
                let bytes = parent.read(name, MAX_VALUE_BYTES);
                let mode = parent.mode(name);
                bytes.is_ok_and(|it| it == file.bytes) && mode.is_ok_and(|it| it == file.mode)
            })
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
