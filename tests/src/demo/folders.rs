//! The demonstration's folders, which end with it.

use anyhow::Result;
use e2e::guard;
use tempfile::TempDir;

/// One on disk, and one in memory.
pub(crate) struct Folders {
    pub(crate) disk: TempDir,
    pub(crate) memory: TempDir,
}

impl Folders {
    /// Makes both. Their names hold this process's id.
    ///
    /// # Errors
    /// If one cannot be made.
    pub(crate) fn new() -> Result<Self> {
        let prefix = format!("enclii-demo-{}-", std::process::id());
        let folder = || tempfile::Builder::new().prefix(&prefix).to_owned();
        let disk = folder().tempdir()?;
        guard::register_folder(disk.path())?;
        // The pod's volumes are in memory, as on a node, if this machine has /dev/shm.
        let memory = folder().tempdir_in("/dev/shm").or_else(|_| folder().tempdir())?;
        guard::register_folder(memory.path())?;
        Ok(Self { disk, memory })
    }
}
