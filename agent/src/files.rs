//! The memory volume: whole generations of files, swapped by one rename.
//!
//! ```text
//! ..12/DATABASE_URL             the bytes
//! ..data -> ..12                swapped
//! DATABASE_URL -> ..data/DATABASE_URL
//! kubernetes.io/serviceaccount/ the mount point of the pod's own token (see `contract::layout`)
//! ```
//!
//! [`Files::publish`] shows a generation whole or not at all. [`Files::open`] leads back to order
//! after a crash and adopts what is there.

mod directory;
mod error;
mod label;
mod steps;
#[cfg(test)]
mod tests;

use std::io;
use std::path::{Path, PathBuf};

use contract::agent_config::Files as Config;
use contract::layout::{
    DATA_LINK, MAX_VALUE_BYTES, SERVICE_ACCOUNT_DIRECTORY, SERVICE_ACCOUNT_SUBDIRECTORY,
};
use contract::stream::Held;
use contract::{BundleRef, FileName, SecretName};

pub use error::FilesError;

use crate::plan::{Contents, Present, Wanted};
use directory::{Directory, Entry, Kind};
use label::Label;
use steps::{DATA_TEMPORARY, LINK_TEMPORARY, RELOAD_MARK, Step, TRUST_FILE, TRUST_TEMPORARY};

// A trust bundle is a handful of certificates.
const MAX_TRUST_BYTES: usize = 1 << 20;

/// The files of one pod.
#[derive(Debug)]
pub struct Files {
    root: Directory,
    file_mode: u32,
    current: Option<String>,
    previous: Option<String>,
}

impl Files {
    /// Opens the volume: makes the mount point of the service-account token, adopts the generation
    /// that is there, removes what a crash left.
    ///
    /// # Errors
    /// Where the directory is not there or not the agent's to write.
    pub fn open(config: &Config) -> Result<Self, FilesError> {
        let path = PathBuf::from(&config.directory);
        let root = Directory::open(&path).map_err(|source| FilesError::Open { path, source })?;
        make_mount_point(&root).map_err(FilesError::MountPoint)?;
        let mut files =
            Self { root, file_mode: u32::from(config.mode.bits()), current: None, previous: None };
        let entries = files.list()?;
        files.current = entries.iter().find_map(|entry| current_of(entry, &entries));
        files.tidy()?;
        Ok(files)
    }

    /// Which generations the files hold, of a pod with these bundles; empty where there are none or
    /// their directory's name does not say.
    #[must_use]
    pub fn holds(&self, bundles: &[BundleRef]) -> Vec<Held> {
        let Some(label) = self.current.as_deref().and_then(Label::parse) else { return Vec::new() };
        if label.generations.len() != bundles.len() {
            return Vec::new();
        }
        bundles
            .iter()
            .zip(label.generations)
            .map(|(bundle, generation)| Held { bundle: bundle.clone(), generation })
            .collect()
    }

    /// What the files hold, to compare.
    #[must_use]
    pub fn present(&self) -> Present {
        match self.current.as_deref() {
            None => Present::Nothing,
            Some(current) => self.contents(current).map_or(Present::Unreadable, Present::Files),
        }
    }

    /// Makes `wanted` the current generation. `reload` notes, together with the swap, that the
    /// application is to be told (see [`Files::reload_due`]).
    ///
    /// # Errors
    /// Where a step before the swap failed; the files are then what they were.
    pub fn publish(&mut self, wanted: &Wanted, reload: bool) -> Result<(), FilesError> {
        match self.try_publish(wanted, reload) {
            // A late reader of the generation before the current one matters less than the new one.
            Err(FilesError::Full { .. }) if self.previous.is_some() => {
                self.retire()?;
                self.try_publish(wanted, reload)
            }
            other => other,
        }
    }

    fn try_publish(&mut self, wanted: &Wanted, reload: bool) -> Result<(), FilesError> {
        let entries = self.list()?;
        let was_due = self.reload_due();
        let label = free_label(wanted, &entries);
        for step in steps::commit(wanted.files.keys(), &entries, reload && !was_due) {
            if let Err(error) = self.perform(&step, &label, &wanted.files) {
                self.undo(was_due);
                return Err(error);
            }
        }
        // The swap has happened: what fails from here on is mended by the next generation or start.
        self.previous = self.current.replace(label);
        if let Err(error) = self.tidy() {
            tracing::warn!(
                error = crate::fault::chain(&error),
                "leftovers of an older generation could not be removed"
            );
        }
        Ok(())
    }

    /// Removes the generation before the current one.
    ///
    /// # Errors
    /// Where it cannot be removed.
    pub fn retire(&mut self) -> Result<(), FilesError> {
        self.previous = None;
        self.tidy()
    }

    /// Whether there is a generation.
    #[must_use]
    pub fn are_there(&self) -> bool {
        self.current.is_some()
    }

    /// Whether the application has not been told of the current generation: the agent ended between
    /// the swap and the reload.
    #[must_use]
    pub fn reload_due(&self) -> bool {
        self.current.is_some() && self.root.read(RELOAD_MARK, 0).is_ok()
    }

    /// The application has been told, or will not be.
    ///
    /// # Errors
    /// Where the mark cannot be removed.
    pub fn reload_done(&self) -> Result<(), FilesError> {
        self.root.remove_file(RELOAD_MARK).map_err(FilesError::Mark)
    }

    /// The trust bundle that an earlier run has kept: newer than the one of the configuration.
    #[must_use]
    pub fn trust(&self) -> Option<String> {
        let bytes = self.root.read(TRUST_FILE, MAX_TRUST_BYTES).ok()?;
        String::from_utf8(bytes.expose().to_vec()).ok()
    }

    /// Keeps a trust bundle for the next run.
    ///
    /// # Errors
    /// Where it cannot be written; the one before stays.
    pub fn keep_trust(&self, pem: &str) -> Result<(), FilesError> {
        let keep = || {
            self.root.remove_file(TRUST_TEMPORARY)?;
            self.root.write_new(TRUST_TEMPORARY, pem.as_bytes(), 0o400)?;
            self.root.rename(TRUST_TEMPORARY, TRUST_FILE)
        };
        keep().map_err(FilesError::Trust)
    }

    fn perform(&self, step: &Step, label: &str, files: &Contents) -> Result<(), FilesError> {
        let named = |name: &str| name.to_owned();
        match step {
            Step::MakeDirectory => {
                self.root
                    .make(label, directory_mode(self.file_mode))
                    .map_err(|source| FilesError::make(label, source))?;
                Ok(())
            }
            Step::Write(name) => {
                let Some(value) = files.get(name) else { return Ok(()) };
                let write = || {
                    self.root.enter(label)?.write_new(name.as_str(), value.expose(), self.file_mode)
                };
                write().map_err(|source| FilesError::write(name.as_str(), source))
            }
            Step::Link(name) => self
                .link(name)
                .map_err(|source| FilesError::Link { name: named(name.as_str()), source }),
            Step::Mark => match self.root.write_new(RELOAD_MARK, b"", 0o400) {
                Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
                    Err(FilesError::Mark(error))
                }
                _ => Ok(()),
            },
            Step::Point => self
                .root
                .link(label, DATA_TEMPORARY)
                .map_err(|source| FilesError::Swap { label: named(label), source }),
            Step::Swap => self
                .root
                .rename(DATA_TEMPORARY, DATA_LINK)
                .map_err(|source| FilesError::Swap { label: named(label), source }),
            Step::RemoveFile(name) => self
                .root
                .remove_file(name)
                .map_err(|source| FilesError::Remove { name: named(name), source }),
            Step::RemoveDirectory(name) => self
                .root
                .remove_directory(name)
                .map_err(|source| FilesError::Remove { name: named(name), source }),
        }
    }

    /// By a rename, so that a file that somebody put there gives way; a directory does not.
    fn link(&self, name: &FileName) -> io::Result<()> {
        self.root.remove_file(LINK_TEMPORARY)?;
        self.root.link(&steps::target_of(name.as_str()), LINK_TEMPORARY)?;
        self.root.rename(LINK_TEMPORARY, name.as_str())
    }

    /// Removes whatever is not the current or the previous generation.
    fn tidy(&self) -> Result<(), FilesError> {
        let names = self
            .current
            .as_deref()
            .map_or_else(|| Ok(Vec::new()), |current| self.names(current))?;
        let entries = self.list()?;
        let none = Contents::new();
        for step in steps::tidy(&names, &entries, self.current.as_deref(), self.previous.as_deref())
        {
            self.perform(&step, "", &none)?;
        }
        Ok(())
    }

    /// After a step before the swap has failed.
    fn undo(&self, was_due: bool) {
        let unmark = if was_due { Ok(()) } else { self.reload_done() };
        if let Err(error) = unmark.and_then(|()| self.tidy()) {
            tracing::warn!(
                error = crate::fault::chain(&error),
                "leftovers of a failed write could not be removed"
            );
        }
    }

    fn names(&self, generation: &str) -> Result<Vec<FileName>, FilesError> {
        let entries = self
            .root
            .enter(generation)
            .and_then(|directory| directory.entries())
            .map_err(FilesError::List)?;
        Ok(entries.iter().filter_map(|entry| file_name(&entry.name)).collect())
    }

    /// `None` where there is anything in it that the agent does not write.
    fn contents(&self, generation: &str) -> Option<Contents> {
        let directory = self.root.enter(generation).ok()?;
        let read = |entry: Entry| {
            Some((file_name(&entry.name)?, directory.read(&entry.name, MAX_VALUE_BYTES).ok()?))
        };
        directory.entries().ok()?.into_iter().map(read).collect()
    }

    fn list(&self) -> Result<Vec<Entry>, FilesError> {
        self.root.entries().map_err(FilesError::List)
    }
}

/// Whether a generation is there already, without a descriptor to keep: what the postStart hook
/// asks.
#[must_use]
pub fn exist(directory: &Path) -> bool {
    directory.join(DATA_LINK).is_dir()
}

fn make_mount_point(root: &Directory) -> io::Result<()> {
    let make = |parent: &Directory, name: &str| match parent.make(name, 0o755) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => parent.enter(name),
        other => other,
    };
    make(&make(root, SERVICE_ACCOUNT_DIRECTORY)?, SERVICE_ACCOUNT_SUBDIRECTORY)?;
    Ok(())
}

/// The generation that `..data` leads to, if this entry is that link and the generation is there.
fn current_of(entry: &Entry, entries: &[Entry]) -> Option<String> {
    let Kind::Link(target) = &entry.kind else { return None };
    let there = entries.iter().any(|other| other.name == *target && other.kind == Kind::Directory);
    (entry.name == DATA_LINK && target.starts_with(label::OWN) && there).then(|| target.clone())
}

/// The label of the generations, in an edition that no directory has yet.
fn free_label(wanted: &Wanted, entries: &[Entry]) -> String {
    let mut label = Label {
        generations: wanted.holds.iter().map(|held| held.generation).collect(),
        edition: 1,
    };
    while entries.iter().any(|entry| entry.name == label.to_string()) {
        label = label.next();
    }
    label.to_string()
}

fn file_name(name: &str) -> Option<FileName> {
    name.parse::<SecretName>().ok().map(|name| FileName::from(&name))
}

/// Whoever may read a file may list and enter its directory.
fn directory_mode(file_mode: u32) -> u32 {
    let readers = file_mode & 0o444;
    0o200 | readers | readers >> 2
}
