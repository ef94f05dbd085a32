//! The last generation that is known to work, and the way back to it.

use super::SecretsVolume;
use super::directory::Entry;
use super::error::VolumeError;
use super::generation_name::MAX_NAME_BYTES;
use super::steps::{self, PROVEN_FILE, PROVEN_TEMPORARY};
use super::tree::Tree;
use crate::error::error_chain;

impl SecretsVolume {
    /// Makes the last generation that is known to work the current one again. `reload` is as for
    /// [`Self::publish`]. Returns `false` if there is none other than the current one.
    ///
    /// # Errors
    /// When a step before the swap fails; the files are then unchanged.
    pub fn restore_proven(&mut self, reload: bool) -> Result<bool, VolumeError> {
        let is_other = |proven: &String| self.current_directory.as_ref() != Some(proven);
        let Some(proven) = self.proven_directory.clone().filter(is_other) else {
            return Ok(false);
        };
        self.making_room(|files| files.swap_in_earlier(&proven, reload))?;
        // The swap has happened. If the cleanup fails, the next generation or start repeats it.
        if let Err(error) = self.mark_proven().and_then(|()| self.repair()) {
            tracing::warn!(
                error = error_chain(&error),
                "traces of the failed generation were not removed"
            );
        }
        Ok(true)
    }

    /// Makes a generation that is still there the current one, as [`Self::publish`] does with a new
    /// one.
    pub(super) fn swap_in_earlier(
        &mut self,
        generation: &str,
        reload: bool,
    ) -> Result<(), VolumeError> {
        let was_pending = self.reload_pending();
        let (names, entries) = (self.entry_names(generation)?, self.list()?);
        for step in steps::restore_steps(&names, &entries, reload && !was_pending) {
            if let Err(error) = self.perform(&step, generation, &Tree::new()) {
                self.roll_back(was_pending);
                return Err(error);
            }
        }
        self.previous_directory = self.current_directory.replace(generation.to_owned());
        Ok(())
    }

    /// Records which generation works, before another one replaces it. An agent that starts again
    /// before that one is known to work too can then come back to it.
    ///
    /// # Errors
    /// When the record cannot be written.
    pub fn record_proven(&mut self) -> Result<(), VolumeError> {
        let Some(proven) = self.proven_directory.clone() else { return Ok(()) };
        self.making_room(|files| {
            files
                .replace(PROVEN_TEMPORARY, PROVEN_FILE, &proven)
                .map_err(|source| VolumeError::full_or(PROVEN_FILE, source, VolumeError::Proven))
        })
    }

    /// Says that the current generation works, so that [`Self::restore_proven`] comes back to it.
    ///
    /// # Errors
    /// When the record of an earlier one cannot be removed.
    pub fn mark_proven(&mut self) -> Result<(), VolumeError> {
        self.proven_directory.clone_from(&self.current_directory);
        self.root.remove_file(PROVEN_FILE).map_err(VolumeError::Proven)
    }

    /// Whether the record of a generation that works is there: another one is about to replace it,
    /// or has, and is not known to work yet.
    pub(super) fn has_proven_record(&self) -> bool {
        self.root.read(PROVEN_FILE, MAX_NAME_BYTES).is_ok()
    }

    /// Whether the current generation is not known to work yet.
    #[must_use]
    pub fn is_unproven(&self) -> bool {
        self.proven_directory != self.current_directory
    }

    /// The generation that an earlier run has recorded as one that works, if it is still there, or
    /// else the current one.
    pub(super) fn recorded_proven(&self, entries: &[Entry]) -> Option<String> {
        let recorded = self.root.read(PROVEN_FILE, MAX_NAME_BYTES).ok();
        let recorded = recorded.and_then(|it| String::from_utf8(it.expose().to_vec()).ok());
        let exists = |name: &String| entries.iter().any(|entry| entry.name == *name);
        recorded.filter(exists).or_else(|| self.current_directory.clone())
    }
}
