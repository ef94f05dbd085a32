//! Certificates in a directory on one machine: for `enclii dev`, and for a switchyard with its own
//! volume.
//!
//! All files change together, also across a crash: they are in a generation directory that a
//! symbolic link points to, and a new link is renamed over the old one. `tls.crt` and so on are
//! links into it. Directories have mode 0700, files 0600. A lock file keeps two writers apart.

use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, symlink};
use std::path::{Path, PathBuf};
use std::time::Duration;

use runtime::watch::{Depth, DirectoryWatch, PollIntervals};
use zeroize::Zeroizing;

use super::{CertStore, CertStoreError, Loaded, StoreOutcome};
use crate::state::{CertFiles, FILE_NAMES};

const LINK: &str = "..data";
const NEW_LINK: &str = "..data-new";
const LOCK: &str = ".lock";

/// How often a reader starts over because a writer replaced the generation meanwhile.
const MAX_READS: usize = 5;

/// Without a watch: short enough to restore deleted files within seconds, long enough not to spin.
const POLL: PollIntervals =
    PollIntervals { watched: Duration::from_secs(30), unwatched: Duration::from_secs(2) };

/// Certificates in a directory.
#[derive(Clone, Debug)]
pub struct DirectoryCertStore {
    path: PathBuf,
}

impl DirectoryCertStore {
    /// The first write creates the directory.
    pub fn new<P: Into<PathBuf>>(path: P) -> Self {
        Self { path: path.into() }
    }

    async fn blocking<T, F>(&self, work: F) -> Result<T, CertStoreError>
    where
        T: Send + 'static,
        F: FnOnce(&Path) -> Result<T, CertStoreError> + Send + 'static,
    {
        let path = self.path.clone();
        tokio::task::spawn_blocking(move || work(&path)).await?
    }
}

impl CertStore for DirectoryCertStore {
    async fn load(&self) -> Result<Loaded, CertStoreError> {
        self.blocking(load).await
    }

    async fn store(
        &self,
        files: &CertFiles,
        seen: &Loaded,
    ) -> Result<StoreOutcome, CertStoreError> {
        let (files, seen) = (files.clone(), seen.files.clone());
        self.blocking(move |path| store(path, &files, &seen)).await
    }

    async fn changed(&self, seen: &Loaded) {
        let watch = DirectoryWatch::new(&self.path, Depth::Entries, POLL);
        if !watch.is_watched() {
            return watch.changed().await;
        }
        // The watch is in place, so it sees what changes after this read.
        loop {
            match self.load().await {
                Ok(found) if found.files == seen.files && self.path.exists() => {}
                Ok(_) => return,
                Err(_) => return tokio::time::sleep(POLL.unwatched).await,
            }
            watch.changed().await;
        }
    }
}

fn load(path: &Path) -> Result<Loaded, CertStoreError> {
    let link = path.join(LINK);
    for _ in 0..MAX_READS {
        let Some(generation) = optional(&link, fs::read_link(&link))? else {
            return Ok(Loaded::default());
        };
        let mut files = CertFiles::default();
        for name in FILE_NAMES {
            let file = path.join(&generation).join(name);
            if let Some(content) = optional(&file, fs::read(&file).map(Zeroizing::new))? {
                files.insert(name, content);
            }
        }
        // The same generation before and after: it was not removed while it was read.
        if optional(&link, fs::read_link(&link))? == Some(generation) {
            return Ok(Loaded { files, version: None });
        }
    }
    Err(CertStoreError::Read { path: link, source: ErrorKind::ResourceBusy.into() })
}

fn store(path: &Path, files: &CertFiles, seen: &CertFiles) -> Result<StoreOutcome, CertStoreError> {
    let mut directories = DirBuilder::new();
    directories.recursive(true).mode(0o700);
    directories.create(path).map_err(write_error(path))?;
    let Some(_lock) = lock(&path.join(LOCK))? else {
        return Ok(StoreOutcome::Conflict);
    };
    if load(path)?.files != *seen {
        return Ok(StoreOutcome::Conflict);
    }
    let generation = write_generation(path, files)?;
    swap_link(path, &generation)?;
    link_and_clean_up(path, files, &generation)?;
    Ok(StoreOutcome::Written(None))
}

/// `None` when another process holds the lock. Closing the file releases it.
fn lock(path: &Path) -> Result<Option<File>, CertStoreError> {
    let mut options = OpenOptions::new();
    options.create(true).truncate(false).write(true).mode(0o600);
    let file = options.open(path).map_err(write_error(path))?;
    match file.try_lock() {
        Ok(()) => Ok(Some(file)),
        Err(TryLockError::WouldBlock) => Ok(None),
        Err(TryLockError::Error(source)) => Err(write_error(path)(source)),
    }
}

/// Writes all files into a new generation directory; returns its name.
fn write_generation(path: &Path, files: &CertFiles) -> Result<PathBuf, CertStoreError> {
    let name = PathBuf::from(format!("..generation-{}", newest_generation(path)? + 1));
    let directory = path.join(&name);
    let mut directories = DirBuilder::new();
    directories.mode(0o700);
    directories.create(&directory).map_err(write_error(&directory))?;
    for (file, content) in files.iter() {
        let file = directory.join(file);
        let mut options = OpenOptions::new();
        options.create_new(true).write(true).mode(0o600);
        options
            .open(&file)
            .and_then(|mut open| open.write_all(content).and_then(|()| open.sync_all()))
            .map_err(write_error(&file))?;
    }
    sync(&directory)?;
    Ok(name)
}

fn swap_link(path: &Path, generation: &Path) -> Result<(), CertStoreError> {
    let (new, link) = (path.join(NEW_LINK), path.join(LINK));
    remove_file(&new)?;
    symlink(generation, &new).map_err(write_error(&new))?;
    fs::rename(&new, &link).map_err(write_error(&link))?;
    sync(path)
}

/// Creates the links with the usual names and removes old generations.
fn link_and_clean_up(
    path: &Path,
    files: &CertFiles,
    generation: &Path,
) -> Result<(), CertStoreError> {
    for name in FILE_NAMES {
        let link = path.join(name);
        let target = Path::new(LINK).join(name);
        let found = fs::read_link(&link).ok();
        if files.content(name).is_none() {
            remove_file(&link)?;
        } else if found.as_ref() != Some(&target) {
            remove_file(&link)?;
            symlink(&target, &link).map_err(write_error(&link))?;
        }
    }
    for (number, old) in generations(path)? {
        let current = generation == Path::new(&format!("..generation-{number}"));
        if !current {
            fs::remove_dir_all(&old).map_err(write_error(&old))?;
        }
    }
    Ok(())
}

fn newest_generation(path: &Path) -> Result<u64, CertStoreError> {
    let all = generations(path)?;
    Ok(all.iter().map(|(number, _)| *number).max().unwrap_or(0))
}

fn generations(path: &Path) -> Result<Vec<(u64, PathBuf)>, CertStoreError> {
    let mut found = Vec::new();
    for entry in fs::read_dir(path).map_err(read_error(path))? {
        let entry = entry.map_err(read_error(path))?;
        let name = entry.file_name();
        let number = name.to_str().and_then(|name| name.strip_prefix("..generation-"));
        if let Some(number) = number.and_then(|number| number.parse().ok()) {
            found.push((number, entry.path()));
        }
    }
    Ok(found)
}

fn sync(directory: &Path) -> Result<(), CertStoreError> {
    File::open(directory).and_then(|open| open.sync_all()).map_err(write_error(directory))
}

fn remove_file(path: &Path) -> Result<(), CertStoreError> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(write_error(path)(error)),
        _ => Ok(()),
    }
}

fn optional<T>(path: &Path, found: io::Result<T>) -> Result<Option<T>, CertStoreError> {
    match found {
        Ok(found) => Ok(Some(found)),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(read_error(path)(error)),
    }
}

fn read_error(path: &Path) -> impl FnOnce(io::Error) -> CertStoreError {
    let path = path.to_owned();
    |source| CertStoreError::Read { path, source }
}

fn write_error(path: &Path) -> impl FnOnce(io::Error) -> CertStoreError {
    let path = path.to_owned();
    |source| CertStoreError::Write { path, source }
}

#[cfg(test)]
mod tests;
