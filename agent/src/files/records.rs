//! What the agent records in the volume for its next run.

use super::SecretsVolume;
use super::error::VolumeError;
use super::generation_name::MAX_NAME_BYTES;
use super::steps::{
    RELOAD_PENDING_FILE, RESTART_FILE, RESTART_TEMPORARY, TRUST_BUNDLE_FILE, TRUST_BUNDLE_TEMPORARY,
};

// A trust bundle has a handful of certificates.
const MAX_TRUST_BUNDLE_BYTES: usize = 1 << 20;

impl SecretsVolume {
    /// Whether the application still has to reload: an earlier run of the agent ended between the
    /// swap and the reload.
    #[must_use]
    pub fn reload_pending(&self) -> bool {
        self.current_directory.is_some() && self.root.read(RELOAD_PENDING_FILE, 0).is_ok()
    }

    /// Records that the reload is done or has been given up.
    ///
    /// # Errors
    /// When the record cannot be removed.
    pub fn clear_reload_pending(&self) -> Result<(), VolumeError> {
        self.root.remove_file(RELOAD_PENDING_FILE).map_err(VolumeError::ReloadPending)
    }

    /// Records that the agent exits to have kubelet restart all containers with the current
    /// generation. A crash before this repeats the restart; after it, the restart counts as done.
    ///
    /// # Errors
    /// When the record cannot be written.
    pub fn record_restart(&self) -> Result<(), VolumeError> {
        let generation = self.current_directory.as_deref().unwrap_or_default();
        self.replace(RESTART_TEMPORARY, RESTART_FILE, generation).map_err(VolumeError::Restart)
    }

    /// Whether an earlier run has exited for a restart with the current generation.
    #[must_use]
    pub fn was_restarted(&self) -> bool {
        let recorded = self.root.read(RESTART_FILE, MAX_NAME_BYTES).ok();
        let recorded = recorded.as_ref().map(|bytes| bytes.expose());
        recorded.is_some() && recorded == self.current_directory.as_deref().map(str::as_bytes)
    }

    /// Removes the record of a restart. Call this after [`Self::clear_reload_pending`], or where no
    /// reload is pending.
    ///
    /// # Errors
    /// When it cannot be removed.
    pub fn clear_restart(&self) -> Result<(), VolumeError> {
        self.root.remove_file(RESTART_FILE).map_err(VolumeError::Restart)
    }

    /// The trust bundle (PEM) that an earlier run saved. It is newer than the configured one.
    #[must_use]
    pub fn trust_bundle(&self) -> Option<String> {
        let bytes = self.root.read(TRUST_BUNDLE_FILE, MAX_TRUST_BUNDLE_BYTES).ok()?;
        String::from_utf8(bytes.expose().to_vec()).ok()
    }

    /// Saves a trust bundle (PEM) for the next run.
    ///
    /// # Errors
    /// When it cannot be written; the previous one stays.
    pub fn save_trust_bundle(&self, pem: &str) -> Result<(), VolumeError> {
        self.replace(TRUST_BUNDLE_TEMPORARY, TRUST_BUNDLE_FILE, pem)
            .map_err(VolumeError::TrustBundle)
    }

    /// Writes a small file as a whole or not at all.
    fn replace(&self, temporary: &str, name: &str, text: &str) -> std::io::Result<()> {
        self.root.remove_file(temporary)?;
        self.root.write_new(temporary, text.as_bytes(), 0o400)?;
        self.root.rename(temporary, name)
    }
}
