//! What the agent records in the volume for its next run.

use std::path::Path;

use contract::AgentStatus;

use super::SecretsVolume;
use super::directory::Directory;
use super::error::VolumeError;
use super::generation_name::MAX_NAME_BYTES;
use super::steps::{
    FATAL_SIGNAL_FILE, REFUSED_FILE, REFUSED_TEMPORARY, RELOAD_PENDING_FILE, RESTART_FILE,
    RESTART_TEMPORARY, STATUS_FILE, STATUS_TEMPORARY, TRUST_BUNDLE_FILE, TRUST_BUNDLE_TEMPORARY,
};
use crate::refused::RefusedGenerations;

/// The longest status, in bytes: that of a pod with as many bundles and checks as it may have.
const MAX_STATUS_BYTES: usize = 1 << 20;

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

    /// The generations that failed a check. None if the record cannot be read: each is then tried
    /// once more.
    #[must_use]
    pub fn refused(&self) -> RefusedGenerations {
        let bytes = self.root.read(REFUSED_FILE, RefusedGenerations::MAX_BYTES).ok();
        bytes.and_then(|it| RefusedGenerations::from_json(it.expose())).unwrap_or_default()
    }

    /// Records the generations that failed a check.
    ///
    /// # Errors
    /// When the record cannot be written; the previous one stays.
    pub fn record_refused(&self, refused: &RefusedGenerations) -> Result<(), VolumeError> {
        self.replace(REFUSED_TEMPORARY, REFUSED_FILE, &refused.to_json())
            .map_err(VolumeError::Refused)
    }

    /// The status that an earlier run has recorded.
    #[must_use]
    pub fn status(&self) -> Option<AgentStatus> {
        let bytes = self.root.read(STATUS_FILE, MAX_STATUS_BYTES).ok()?;
        AgentStatus::from_json(bytes.expose()).ok()
    }

    /// Records the status (JSON) for those who ask.
    ///
    /// # Errors
    /// When it cannot be written; the previous one stays.
    pub fn record_status(&self, json: &str) -> Result<(), VolumeError> {
        self.replace(STATUS_TEMPORARY, STATUS_FILE, json).map_err(VolumeError::Status)
    }

    /// Whether the reload's signal has ended the application. The volume is as old as the pod.
    #[must_use]
    pub fn is_signal_fatal(&self) -> bool {
        self.root.read(FATAL_SIGNAL_FILE, 0).is_ok()
    }

    /// Records that the reload's signal has ended the application.
    ///
    /// # Errors
    /// When the record cannot be written.
    pub fn record_fatal_signal(&self) -> Result<(), VolumeError> {
        match self.root.write_new(FATAL_SIGNAL_FILE, b"", 0o400) {
            Err(error) if error.kind() != std::io::ErrorKind::AlreadyExists => {
                Err(VolumeError::FatalSignal(error))
            }
            _ => Ok(()),
        }
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
    pub(super) fn replace(&self, temporary: &str, name: &str, text: &str) -> std::io::Result<()> {
        self.root.remove_file(temporary)?;
        let write = || {
            self.root.write_new(temporary, text.as_bytes(), 0o400)?;
            self.root.rename(temporary, name)
        };
        write().inspect_err(|_| {
            // It takes room where there is none. What fails here is tried again at the next start.
            let _ = self.root.remove_file(temporary);
        })
    }
}

/// The status that an agent has recorded in the volume at `directory`, for another process of its
/// container.
///
/// # Errors
/// When there is none, or it cannot be read.
pub fn read_status(directory: &Path) -> std::io::Result<AgentStatus> {
    let bytes = Directory::open(directory)?.read(STATUS_FILE, MAX_STATUS_BYTES)?;
    AgentStatus::from_json(bytes.expose()).map_err(std::io::Error::other)
}
