//! The memory volume: whole generations of files, swapped by one rename.
//!
//! ```text
//! ..12.4f0c/DATABASE_URL        the bytes
//! ..data -> ..12.4f0c           swapped
//! DATABASE_URL -> ..data/DATABASE_URL
//! ..12.4f0c/.env/DATABASE_URL   what kubelet reads as a variable
//! .env -> ..data/.env
//! ..12.4f0c/nginx/key -> ../TLS_KEY  the same file at another path
//! nginx -> ..data/nginx
//! kubernetes.io/serviceaccount/ mount points of other volumes, see `mount_points`
//! ```
//!
//! A Secret's volume that the agent fills is the same, with files alone.
//!
//! [`SecretsVolume::publish`] makes either a whole generation visible or nothing at all.
//! [`SecretsVolume::open`] cleans up after a crash and adopts an existing generation.

mod all_volumes;
mod current;
mod directory;
mod error;
mod generation_name;
mod mount_points;
mod proven;
mod records;
mod secret_volumes;
mod steps;
#[cfg(test)]
mod tests;
mod tree;

use std::collections::BTreeSet;
use std::io;
use std::path::Path;

use contract::agent_config::Files as FilesConfig;
use contract::layout::{DATA_LINK, ENV_DIRECTORY, MAX_VALUE_BYTES};
use contract::stream::BundleGeneration;
use contract::{BundleRef, FileName, FilePath, SecretName};

pub use all_volumes::{publish_all, restore_all};
pub use current::{CurrentGeneration, current_name};
pub use error::VolumeError;
pub use records::read_status;
pub use secret_volumes::SecretVolumes;

use crate::plan::{CurrentFiles, DesiredFiles, FileContents};
use directory::{Directory, Entry, EntryKind, directory_mode};
use generation_name::{AGENT_PREFIX, GenerationName, unused_name};
use steps::{DATA_LINK_TEMPORARY, FILE_LINK_TEMPORARY, RELOAD_PENDING_FILE, VolumeStep};
use tree::{Node, Tree};

/// The in-memory volume with the files of one pod.
#[derive(Debug)]
pub struct SecretsVolume {
    root: Directory,
    file_mode: u32,
    /// The entries of a generation that lead to the same files at other paths.
    other_names: BTreeSet<String>,
    current_directory: Option<String>,
    previous_directory: Option<String>,
    /// The last generation that is known to work, which may be the current one.
    proven_directory: Option<String>,
}

impl SecretsVolume {
    /// Opens the volume: creates the mount points of other volumes, adopts an existing generation,
    /// and removes what a crash left behind.
    ///
    /// # Errors
    /// When the directory does not exist or the agent may not write to it.
    pub fn open(config: &FilesConfig) -> Result<Self, VolumeError> {
        let root = open_root(Path::new(&config.directory))?;
        mount_points::create(&root, &config.mount_points)?;
        let other_names = config.paths.values().map(|path| path.first().to_owned()).collect();
        Self::adopt(root, u32::from(config.mode.bits()), other_names)
    }

    fn adopt(
        root: Directory,
        file_mode: u32,
        other_names: BTreeSet<String>,
    ) -> Result<Self, VolumeError> {
        let mut files = Self {
            root,
            file_mode,
            other_names,
            current_directory: None,
            previous_directory: None,
            proven_directory: None,
        };
        let entries = files.list()?;
        files.current_directory =
            entries.iter().find_map(|entry| current_generation(entry, &entries));
        files.proven_directory = files.recorded_proven(&entries);
        files.repair()?;
        Ok(files)
    }

    /// The generations that the files hold, in a pod with these bundles. Empty without files, or if
    /// the directory's name does not list the generations.
    #[must_use]
    pub fn held(&self, bundles: &[BundleRef]) -> Vec<BundleGeneration> {
        held_by(self.current_directory.as_deref(), bundles)
    }

    /// Likewise, those of the last generation that is known to work.
    #[must_use]
    pub fn proven(&self, bundles: &[BundleRef]) -> Vec<BundleGeneration> {
        held_by(self.proven_directory.as_deref(), bundles)
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
        let tree = tree::of_files(desired, self.file_mode);
        self.publish_tree(&tree, &desired.held, reload)
    }

    fn publish_tree(
        &mut self,
        tree: &Tree<'_>,
        held: &[BundleGeneration],
        reload: bool,
    ) -> Result<(), VolumeError> {
        self.making_room(|files| files.try_publish(tree, held, reload))
    }

    /// Does `work`, and once more without the previous generation if the volume is too full for it:
    /// a new generation matters more than late readers of the previous one.
    fn making_room<T>(
        &mut self,
        work: impl Fn(&mut Self) -> Result<T, VolumeError>,
    ) -> Result<T, VolumeError> {
        match work(self) {
            Err(VolumeError::Full { .. }) if self.previous_directory.is_some() => {
                self.remove_previous()?;
                work(self)
            }
            other => other,
        }
    }

    fn try_publish(
        &mut self,
        tree: &Tree<'_>,
        held: &[BundleGeneration],
        reload: bool,
    ) -> Result<(), VolumeError> {
        let entries = self.list()?;
        let was_pending = self.reload_pending();
        let name = unused_name(held, &entries);
        for step in steps::publish_steps(tree.keys(), &entries, reload && !was_pending) {
            if let Err(error) = self.perform(&step, &name, tree) {
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
        tree: &Tree<'_>,
    ) -> Result<(), VolumeError> {
        match step {
            VolumeStep::CreateDirectory => {
                self.root
                    .create_directory(generation, directory_mode(self.file_mode))
                    .map_err(|source| VolumeError::from_create(generation, source))?;
                Ok(())
            }
            VolumeStep::CreateSubdirectory(path) => {
                let create = || {
                    let (parent, name) = self.parent_of(generation, path)?;
                    parent.create_directory(name, directory_mode(self.file_mode))
                };
                create().map_err(|source| VolumeError::from_create(generation, source))?;
                Ok(())
            }
            VolumeStep::Write(path) => {
                let Some(node) = tree.get(path) else { return Ok(()) };
                let write = || {
                    let (parent, name) = self.parent_of(generation, path)?;
                    match node {
                        Node::File { bytes, mode } => parent.write_new(name, bytes.expose(), *mode),
                        Node::Link(target) => parent.symlink(target, name),
                    }
                };
                write().map_err(|source| VolumeError::from_write(path.as_str(), source))
            }
            VolumeStep::Link(name) => self.link(name),
            VolumeStep::SetReloadPending => {
                match self.root.write_new(RELOAD_PENDING_FILE, b"", 0o400) {
                    Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
                        Err(VolumeError::full_or(
                            RELOAD_PENDING_FILE,
                            error,
                            VolumeError::ReloadPending,
                        ))
                    }
                    _ => Ok(()),
                }
            }
            VolumeStep::CreateDataLink => self
                .root
                .symlink(generation, DATA_LINK_TEMPORARY)
                .map_err(|source| swap_error(generation, source)),
            VolumeStep::SwapDataLink => self
                .root
                .rename(DATA_LINK_TEMPORARY, DATA_LINK)
                .map_err(|source| swap_error(generation, source)),
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
        link().map_err(|source| {
            VolumeError::full_or(name, source, |source| VolumeError::Link {
                name: name.to_owned(),
                source,
            })
        })
    }

    /// Removes everything the agent created except the current, the previous and the proven
    /// generation, and restores missing links.
    fn repair(&self) -> Result<(), VolumeError> {
        let names = self
            .current_directory
            .as_deref()
            .map_or_else(|| Ok(Vec::new()), |current| self.entry_names(current))?;
        let entries = self.list()?;
        let others = [self.previous_directory.as_deref(), self.proven_directory.as_deref()];
        let others: Vec<&str> = others.into_iter().flatten().collect();
        for step in
            steps::repair_steps(&names, &entries, self.current_directory.as_deref(), &others)
        {
            self.perform(&step, "", &Tree::new())?;
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

    /// The names of a generation's files and directories.
    fn entry_names(&self, generation: &str) -> Result<Vec<String>, VolumeError> {
        let directory = self.root.open_directory(generation).map_err(VolumeError::List)?;
        let entries = directory.entries().map_err(VolumeError::List)?;
        let names = entries.into_iter().map(|entry| entry.name);
        Ok(names.filter(|name| !name.starts_with(AGENT_PREFIX)).collect())
    }

    /// The directory of a path in a generation, and the path's last name.
    fn parent_of<'n>(
        &self,
        generation: &str,
        path: &'n FilePath,
    ) -> io::Result<(Directory, &'n str)> {
        let mut directory = self.root.open_directory(generation)?;
        let mut names = path.names();
        let last = names.next_back().unwrap_or_default();
        for name in names {
            directory = directory.open_directory(name)?;
        }
        Ok((directory, last))
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
        let is_file =
            |entry: &Entry| !is_env_directory(entry) && !self.other_names.contains(&entry.name);
        directory.entries().ok()?.into_iter().filter(is_file).map(read).collect()
    }

    fn list(&self) -> Result<Vec<Entry>, VolumeError> {
        self.root.entries().map_err(VolumeError::List)
    }
}

fn swap_error(generation: &str, source: io::Error) -> VolumeError {
    VolumeError::full_or(DATA_LINK, source, |source| VolumeError::Swap {
        generation: generation.to_owned(),
        source,
    })
}

fn open_root(path: &Path) -> Result<Directory, VolumeError> {
    Directory::open(path).map_err(|source| VolumeError::Open { path: path.to_owned(), source })
}

/// Whether `directory` has a current generation. The postStart hook polls it.
#[must_use]
pub fn generation_exists(directory: &Path) -> bool {
    directory.join(DATA_LINK).is_dir()
}

/// The generations that a directory's name lists.
fn held_by(directory: Option<&str>, bundles: &[BundleRef]) -> Vec<BundleGeneration> {
    let Some(name) = directory.and_then(GenerationName::parse) else { return Vec::new() };
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

fn is_env_directory(entry: &Entry) -> bool {
    entry.name == ENV_DIRECTORY && entry.kind == EntryKind::Directory
}

/// The generation that `..data` points to, if this entry is that link and the generation exists.
fn current_generation(entry: &Entry, entries: &[Entry]) -> Option<String> {
    let EntryKind::Symlink(target) = &entry.kind else { return None };
    let exists =
        entries.iter().any(|other| other.name == *target && other.kind == EntryKind::Directory);
    (entry.name == DATA_LINK && target.starts_with(AGENT_PREFIX) && exists).then(|| target.clone())
}

fn parse_file_name(name: &str) -> Option<FileName> {
    name.parse::<SecretName>().ok().map(|name| FileName::from(&name))
}
