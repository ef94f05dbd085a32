//! The memory volume: whole generations of files, swapped by one rename.
//!
//! ```text
//! ..12.4f0c/DATABASE_URL        the bytes
//! ..data -> ..12.4f0c           swapped
//! DATABASE_URL -> ..data/DATABASE_URL
//! ..12.4f0c/.env/DATABASE_URL   what kubelet reads as a variable
//! .env -> ..data/.env
//! kubernetes.io/serviceaccount/ mount points of other volumes, see `mount_points`
//! ```
//!
//! [`SecretsVolume::publish`] makes either a whole generation visible or nothing at all.
//! [`SecretsVolume::open`] cleans up after a crash and adopts an existing generation.

mod current;
mod directory;
mod error;
mod generation_name;
mod mount_points;
mod records;
mod steps;
#[cfg(test)]
mod tests;

use std::io;
use std::path::{Path, PathBuf};

use contract::agent_config::Files as FilesConfig;
use contract::layout::{DATA_LINK, ENV_DIRECTORY, MAX_VALUE_BYTES};
use contract::stream::BundleGeneration;
use contract::{BundleRef, FileName, SecretName};

pub use current::{CurrentGeneration, current_name};
pub use error::VolumeError;

use crate::plan::{CurrentFiles, DesiredFiles, FileContents};
use directory::{Directory, Entry, EntryKind};
use generation_name::GenerationName;
use steps::{DATA_LINK_TEMPORARY, FILE_LINK_TEMPORARY, RELOAD_PENDING_FILE, VolumeStep};

/// The in-memory volume with the files of one pod.
#[derive(Debug)]
pub struct SecretsVolume {
    root: Directory,
    file_mode: u32,
    current_directory: Option<String>,
    previous_directory: Option<String>,
}

impl SecretsVolume {
    /// Opens the volume: creates the mount points of other volumes, adopts an existing generation,
    /// and removes what a crash left behind.
    ///
    /// # Errors
    /// When the directory does not exist or the agent may not write to it.
    pub fn open(config: &FilesConfig) -> Result<Self, VolumeError> {
        let path = PathBuf::from(&config.directory);
        let root = Directory::open(&path).map_err(|source| VolumeError::Open { path, source })?;
        mount_points::create(&root, &config.mount_points)?;
        let mut files = Self {
            root,
            file_mode: u32::from(config.mode.bits()),
            current_directory: None,
            previous_directory: None,
        };
        let entries = files.list()?;
        files.current_directory =
            entries.iter().find_map(|entry| current_generation(entry, &entries));
        files.repair()?;
        Ok(files)
    }

    /// The generations that the files hold, in a pod with these bundles. Empty without files, or if
    /// the directory's name does not list the generations.
    #[must_use]
    pub fn held(&self, bundles: &[BundleRef]) -> Vec<BundleGeneration> {
        let Some(name) = self.current_directory.as_deref().and_then(GenerationName::parse) else {
            return Vec::new();
        };
        if name.generations.len() != bundles.len() {
            return Vec::new();
        }
        bundles
            .iter()
            .zip(name.generations)
            .map(|(bundle, (generation, tag))| BundleGeneration {
                bundle: bundle.clone(),
                generation,
                tag,
            })
            .collect()
    }

    /// The current files, for a comparison.
    #[must_use]
    pub fn current(&self) -> CurrentFiles {
        match self.current_directory.as_deref() {
            None => CurrentFiles::None,
            Some(current) => {
                self.contents(current).map_or(CurrentFiles::Unreadable, CurrentFiles::Readable)
            }
        }
    }

    /// Makes `desired` the current generation. `reload` records, together with the swap, that a
    /// reload is pending (see [`Self::reload_pending`]).
    ///
    /// # Errors
    /// When a step before the swap fails; the files are then unchanged.
    pub fn publish(&mut self, desired: &DesiredFiles, reload: bool) -> Result<(), VolumeError> {
        match self.try_publish(desired, reload) {
            // The new generation matters more than late readers of the previous one.
            Err(VolumeError::Full { .. }) if self.previous_directory.is_some() => {
                self.remove_previous()?;
                self.try_publish(desired, reload)
            }
            other => other,
        }
    }

    fn try_publish(&mut self, desired: &DesiredFiles, reload: bool) -> Result<(), VolumeError> {
        let entries = self.list()?;
        let was_pending = self.reload_pending();
        let name = unused_name(desired, &entries);
        let (names, env) = (desired.files.keys(), desired.env.keys());
        for step in steps::publish_steps(names, env, &entries, reload && !was_pending) {
            if let Err(error) = self.perform(&step, &name, desired) {
                self.roll_back(was_pending);
                return Err(error);
            }
        }
        // The swap has happened. If the cleanup fails, the next generation or start repeats it.
        self.previous_directory = self.current_directory.replace(name);
        if let Err(error) = self.repair() {
            tracing::warn!(
                error = crate::error::error_chain(&error),
                "an older generation was not removed"
            );
        }
        Ok(())
    }

    /// Removes the previous generation.
    ///
    /// # Errors
    /// When it cannot be removed.
    pub fn remove_previous(&mut self) -> Result<(), VolumeError> {
        self.previous_directory = None;
        self.repair()
    }

    /// Whether there is a current generation.
    #[must_use]
    pub fn has_generation(&self) -> bool {
        self.current_directory.is_some()
    }

    fn perform(
        &self,
        step: &VolumeStep,
        generation: &str,
        desired: &DesiredFiles,
    ) -> Result<(), VolumeError> {
        match step {
            VolumeStep::CreateDirectory => {
                self.root
                    .create_directory(generation, directory_mode(self.file_mode))
                    .map_err(|source| VolumeError::from_create(generation, source))?;
                Ok(())
            }
            VolumeStep::WriteFile(name) => {
                let Some(value) = desired.files.get(name) else { return Ok(()) };
                let write = || {
                    self.root.open_directory(generation)?.write_new(
                        name.as_str(),
                        value.expose(),
                        self.file_mode,
                    )
                };
                write().map_err(|source| VolumeError::from_write(name.as_str(), source))
            }
            VolumeStep::CreateEnvDirectory => {
                let create = || {
                    let mode = directory_mode(self.file_mode);
                    self.root.open_directory(generation)?.create_directory(ENV_DIRECTORY, mode)
                };
                create().map_err(|source| VolumeError::from_create(generation, source))?;
                Ok(())
            }
            VolumeStep::WriteEnvFile(name) => {
                let Some(line) = desired.env.get(name) else { return Ok(()) };
                let write = || {
                    let directory = self.root.open_directory(generation)?;
                    let directory = directory.open_directory(ENV_DIRECTORY)?;
                    directory.write_new(name.as_str(), line.expose(), self.file_mode)
                };
                write().map_err(|source| VolumeError::from_write(name.as_str(), source))
            }
            VolumeStep::LinkFile(name) => self.link(name.as_str()),
            VolumeStep::LinkEnvDirectory => self.link(ENV_DIRECTORY),
            VolumeStep::SetReloadPending => {
                match self.root.write_new(RELOAD_PENDING_FILE, b"", 0o400) {
                    Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
                        Err(VolumeError::ReloadPending(error))
                    }
                    _ => Ok(()),
                }
            }
            VolumeStep::CreateDataLink => self
                .root
                .symlink(generation, DATA_LINK_TEMPORARY)
                .map_err(|source| VolumeError::Swap { generation: generation.to_owned(), source }),
            VolumeStep::SwapDataLink => self
                .root
                .rename(DATA_LINK_TEMPORARY, DATA_LINK)
                .map_err(|source| VolumeError::Swap { generation: generation.to_owned(), source }),
            VolumeStep::RemoveFile(name) => self
                .root
                .remove_file(name)
                .map_err(|source| VolumeError::Remove { name: name.clone(), source }),
            VolumeStep::RemoveDirectory(name) => self
                .root
                .remove_directory(name)
                .map_err(|source| VolumeError::Remove { name: name.clone(), source }),
        }
    }

    /// Links a file by a rename, which replaces a foreign file of that name but not a directory.
    fn link(&self, name: &str) -> Result<(), VolumeError> {
        let link = || {
            self.root.remove_file(FILE_LINK_TEMPORARY)?;
            self.root.symlink(&steps::link_target(name), FILE_LINK_TEMPORARY)?;
            self.root.rename(FILE_LINK_TEMPORARY, name)
        };
        link().map_err(|source| VolumeError::Link { name: name.to_owned(), source })
    }

    /// Removes everything the agent created except the current and previous generations, and
    /// restores missing links.
    fn repair(&self) -> Result<(), VolumeError> {
        let (names, has_env) = self
            .current_directory
            .as_deref()
            .map_or_else(|| Ok((Vec::new(), false)), |current| self.file_names(current))?;
        let entries = self.list()?;
        let (current, previous) =
            (self.current_directory.as_deref(), self.previous_directory.as_deref());
        for step in steps::repair_steps((&names, has_env), &entries, current, previous) {
            self.perform(&step, "", &DesiredFiles::default())?;
        }
        Ok(())
    }

    /// Removes what a failed write left behind.
    fn roll_back(&self, was_pending: bool) {
        let cleared = if was_pending { Ok(()) } else { self.clear_reload_pending() };
        if let Err(error) = cleared.and_then(|()| self.repair()) {
            tracing::warn!(
                error = crate::error::error_chain(&error),
                "files of a failed write were not removed"
            );
        }
    }

    /// The names of a generation's files, and whether it has variables.
    fn file_names(&self, generation: &str) -> Result<(Vec<FileName>, bool), VolumeError> {
        let entries = self
            .root
            .open_directory(generation)
            .and_then(|directory| directory.entries())
            .map_err(VolumeError::List)?;
        let names = entries.iter().filter_map(|entry| parse_file_name(&entry.name)).collect();
        Ok((names, entries.iter().any(is_env_directory)))
    }

    /// `None` if the directory contains anything that the agent does not write.
    fn contents(&self, generation: &str) -> Option<FileContents> {
        let directory = self.root.open_directory(generation).ok()?;
        let read = |entry: Entry| {
            Some((
                parse_file_name(&entry.name)?,
                directory.read(&entry.name, MAX_VALUE_BYTES).ok()?,
            ))
        };
        let entries = directory.entries().ok()?;
        entries.into_iter().filter(|entry| !is_env_directory(entry)).map(read).collect()
    }

    fn list(&self) -> Result<Vec<Entry>, VolumeError> {
        self.root.entries().map_err(VolumeError::List)
    }
}

/// Whether `directory` has a current generation. The postStart hook polls it.
#[must_use]
pub fn generation_exists(directory: &Path) -> bool {
    directory.join(DATA_LINK).is_dir()
}

fn is_env_directory(entry: &Entry) -> bool {
    entry.name == ENV_DIRECTORY && entry.kind == EntryKind::Directory
}

/// The generation that `..data` points to, if this entry is that link and the generation exists.
fn current_generation(entry: &Entry, entries: &[Entry]) -> Option<String> {
    let EntryKind::Symlink(target) = &entry.kind else { return None };
    let exists =
        entries.iter().any(|other| other.name == *target && other.kind == EntryKind::Directory);
    (entry.name == DATA_LINK && target.starts_with(generation_name::AGENT_PREFIX) && exists)
        .then(|| target.clone())
}

/// A directory name for the generations that is not in use yet.
fn unused_name(desired: &DesiredFiles, entries: &[Entry]) -> String {
    let mut name = GenerationName {
        generations: desired.held.iter().map(|held| (held.generation, held.tag.clone())).collect(),
        copy: 1,
    };
    while entries.iter().any(|entry| entry.name == name.to_string()) {
        name = name.next_copy();
    }
    name.to_string()
}

fn parse_file_name(name: &str) -> Option<FileName> {
    name.parse::<SecretName>().ok().map(|name| FileName::from(&name))
}

/// The directory mode that lets the readers of a file list and enter its directory.
fn directory_mode(file_mode: u32) -> u32 {
    let readers = file_mode & 0o444;
    0o200 | readers | readers >> 2
}
