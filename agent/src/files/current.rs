//! The current generation, as a container that only reads the volume sees it.

use std::io;
use std::path::Path;

use contract::layout::{DATA_LINK, MAX_VALUE_BYTES};
use contract::{Redacted, SecretName};

use super::directory::Directory;
use super::generation_name::AGENT_PREFIX;

/// One generation, held open: whatever is swapped meanwhile, all that is read belongs to it.
#[derive(Debug)]
pub struct CurrentGeneration {
    name: String,
    directory: Directory,
}

impl CurrentGeneration {
    /// Opens the generation that `..data` points to.
    ///
    /// # Errors
    /// When there is none.
    pub fn open(volume: &Path) -> io::Result<Self> {
        let name = current_name(volume)?;
        let directory = Directory::open(volume)?.open_directory(&name)?;
        Ok(Self { name, directory })
    }

    /// Its directory's name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The value of a secret.
    ///
    /// # Errors
    /// When the generation has no such secret, or the file is unreadable.
    pub fn read(&self, secret: &SecretName) -> io::Result<Redacted> {
        self.directory.read(secret.as_str(), MAX_VALUE_BYTES)
    }
}

/// The name of the generation that `..data` points to.
///
/// # Errors
/// When there is none.
pub fn current_name(volume: &Path) -> io::Result<String> {
    let target = std::fs::read_link(volume.join(DATA_LINK))?;
    let name = target.to_str().filter(|name| name.starts_with(AGENT_PREFIX));
    Ok(name.ok_or(io::ErrorKind::InvalidData)?.to_owned())
}
