//! Files in this process's memory, and the directory of links to them.
//!
//! `secrets/NAME -> ..data/NAME`, `..data -> ..<n>` and `..<n>/NAME -> /proc/<pid>/fd/<memfd>`: the
//! layout of a pod, so that all files of a generation change at once. The directory holds no value.
//! A process holds a lock while it lives, so that the next one can remove what a killed process
//! left.

use std::collections::VecDeque;
use std::fs::{DirBuilder, File, TryLockError};
use std::io::{self, Write};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use contract::layout::DATA_LINK;
use contract::{Redacted, SecretName};
use rustix::fs::{MemfdFlags, SealFlags};

use crate::error::Error;

/// The prefix of the names of the directories.
const DIRECTORY_PREFIX: &str = "enclii-run-";

/// Replaced files stay this long, for readers that have resolved their path already.
const GRACE_PERIOD: Duration = Duration::from_secs(60);

/// The files of one running program.
pub(super) struct MemoryFiles {
    root: PathBuf,
    secrets: PathBuf,
    generations: VecDeque<FileGeneration>,
    next: u64,
    _lock: File,
}

struct FileGeneration {
    directory: PathBuf,
    names: Vec<SecretName>,
    replaced: Option<Instant>,
    // The memory exists as long as these are open.
    _memfds: Vec<OwnedFd>,
}

impl MemoryFiles {
    /// Creates a directory below `runtime`, or else below /dev/shm or the temporary directory.
    pub(super) fn new(runtime: Option<&Path>) -> Result<Self, Error> {
        let shared = Path::new("/dev/shm");
        let base = runtime
            .into_iter()
            .chain([shared])
            .find(|it| is_writable(it))
            .map_or_else(std::env::temp_dir, Path::to_owned);
        Self::below(&base).map_err(|source| Error::Write { path: base, source })
    }

    fn below(base: &Path) -> io::Result<Self> {
        remove_abandoned(base);
        let tag = format!(
            "{}-{:08x}",
            std::process::id(),
            (runtime::backoff::random() * f64::from(u32::MAX)) as u32
        );
        let (fresh, root) =
            (base.join(format!("enclii-new-{tag}")), base.join(format!("{DIRECTORY_PREFIX}{tag}")));
        DirBuilder::new().mode(0o700).create(&fresh)?;
        // It gets its final name only once it is locked, so that no other process removes it as
        // abandoned.
        let lock =
            File::options().write(true).create_new(true).mode(0o600).open(fresh.join("lock"))?;
        lock.try_lock().map_err(|error| match error {
            TryLockError::Error(error) => error,
            TryLockError::WouldBlock => io::ErrorKind::WouldBlock.into(),
        })?;
        let secrets = root.join("secrets");
        DirBuilder::new().mode(0o700).create(fresh.join("secrets"))?;
        std::fs::rename(&fresh, &root)?;
        Ok(Self { root, secrets, generations: VecDeque::new(), next: 1, _lock: lock })
    }

    /// The directory of the files.
    pub(super) fn directory(&self) -> &Path {
        &self.secrets
    }

    /// Replaces all files by a new generation. The previous one stays for a while, for readers that
    /// have resolved their path already.
    pub(super) fn replace<'a>(
        &mut self,
        values: impl Iterator<Item = (&'a SecretName, &'a Redacted)>,
    ) -> Result<(), Error> {
        self.try_replace(values)
            .map_err(|source| Error::Write { path: self.secrets.clone(), source })
    }

    fn try_replace<'a>(
        &mut self,
        values: impl Iterator<Item = (&'a SecretName, &'a Redacted)>,
    ) -> io::Result<()> {
        self.remove_expired(Instant::now());
        let name = format!("..{}", self.next);
        self.next += 1;
        let directory = self.secrets.join(&name);
        DirBuilder::new().mode(0o700).create(&directory)?;
        let (mut names, mut memfds) = (Vec::new(), Vec::new());
        for (name, value) in values {
            let memfd = create_memfd(name, value)?;
            let path =
                PathBuf::from(format!("/proc/{}/fd/{}", std::process::id(), memfd.as_raw_fd()));
            check_visible(&memfd, &path)?;
            symlink(&path, directory.join(name.as_str()))?;
            names.push(name.clone());
            memfds.push(memfd);
        }
        let swap = self.secrets.join("..new");
        symlink(&name, &swap)?;
        std::fs::rename(&swap, self.secrets.join(DATA_LINK))?;
        let old = self.generations.back_mut().map(|it| {
            it.replaced = Some(Instant::now());
            it.names.clone()
        });
        for name in names.iter().filter(|name| !old.iter().flatten().any(|it| it == *name)) {
            symlink(Path::new(DATA_LINK).join(name.as_str()), self.secrets.join(name.as_str()))?;
        }
        for name in old.iter().flatten().filter(|name| !names.contains(name)) {
            std::fs::remove_file(self.secrets.join(name.as_str()))?;
        }
        self.generations.push_back(FileGeneration {
            directory,
            names,
            replaced: None,
            _memfds: memfds,
        });
        Ok(())
    }

    /// Removes the generations that were replaced long enough ago.
    pub(super) fn remove_expired(&mut self, now: Instant) {
        let expired = |it: &FileGeneration| {
            it.replaced.is_some_and(|at| now.saturating_duration_since(at) >= GRACE_PERIOD)
        };
        while let Some(old) = self.generations.pop_front_if(|it| expired(it)) {
            let _ = std::fs::remove_dir_all(&old.directory);
        }
    }
}

impl Drop for MemoryFiles {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.root);
    }
}

/// Creates a sealed memory file with the value.
fn create_memfd(name: &SecretName, value: &Redacted) -> io::Result<OwnedFd> {
    let memfd =
        rustix::fs::memfd_create(name.as_str(), MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING)
            .or_else(|_| {
                // The name may be too long. It only helps people who debug.
                rustix::fs::memfd_create("secret", MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING)
            })?;
    let mut file = File::from(memfd);
    file.write_all(value.expose())?;
    file.set_permissions(std::fs::Permissions::from_mode(0o400))?;
    rustix::fs::fcntl_add_seals(
        &file,
        SealFlags::WRITE | SealFlags::GROW | SealFlags::SHRINK | SealFlags::SEAL,
    )?;
    Ok(file.into())
}

/// Fails unless `path` leads to the file: `/proc` may be absent or belong to another namespace.
fn check_visible(memfd: &OwnedFd, path: &Path) -> io::Result<()> {
    let (expected, found) = (rustix::fs::fstat(memfd)?, std::fs::metadata(path));
    match found {
        Ok(found) if (found.dev(), found.ino()) == (expected.st_dev, expected.st_ino) => Ok(()),
        _ => Err(io::Error::other(
            "/proc does not show this process, and the program opens the files through it; \
             --as-env works without /proc",
        )),
    }
}

fn is_writable(directory: &Path) -> bool {
    directory.is_dir()
        && rustix::fs::access(directory, rustix::fs::Access::WRITE_OK | rustix::fs::Access::EXEC_OK)
            .is_ok()
}

/// Removes the directories of this user's processes that no longer run.
fn remove_abandoned(base: &Path) {
    for entry in std::fs::read_dir(base).into_iter().flatten().flatten() {
        let ours = entry.file_name().to_str().is_some_and(|it| it.starts_with(DIRECTORY_PREFIX))
            && entry
                .metadata()
                .is_ok_and(|it| it.is_dir() && it.uid() == rustix::process::geteuid().as_raw());
        let abandoned =
            || File::open(entry.path().join("lock")).is_ok_and(|lock| lock.try_lock().is_ok());
        if ours && abandoned() {
            let _ = std::fs::remove_dir_all(entry.path());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn replace(files: &mut MemoryFiles, values: &[(&str, &str)]) {
        let values: Vec<_> = values
            .iter()
            .map(|(name, value)| (name.parse().unwrap(), Redacted::from(value.as_bytes())))
            .collect();
        files.replace(values.iter().map(|(name, value)| (name, value))).unwrap();
    }

    fn visible(directory: &Path) -> Vec<String> {
        let names = std::fs::read_dir(directory)
            .unwrap()
            .map(|it| it.unwrap().file_name().into_string().unwrap());
        let mut names: Vec<_> = names.filter(|it| !it.starts_with("..")).collect();
        names.sort();
        names
    }

    #[test]
    fn all_files_change_at_once_and_disappear_with_their_owner() {
        let base = tempfile::tempdir().unwrap();
        let mut files = MemoryFiles::below(base.path()).unwrap();
        replace(&mut files, &[("A", "1"), ("B", "2")]);
        let at = |name: &str| files.directory().join(name);
        let (a, b) = (at("A"), at("B"));
        assert_eq!(
            (std::fs::read(&a).unwrap(), std::fs::read(&b).unwrap()),
            (b"1".to_vec(), b"2".to_vec())
        );
        assert!(
            File::options().write(true).open(&a).and_then(|mut it| it.write_all(b"x")).is_err(),
            "a sealed file was changed"
        );
        let first = std::fs::canonicalize(files.directory().join(DATA_LINK)).unwrap();

        replace(&mut files, &[("A", "3"), ("C", "4")]);
        assert_eq!(visible(files.directory()), ["A", "C"]);
        assert_eq!(std::fs::read(&a).unwrap(), b"3");
        assert_eq!(
            std::fs::read(first.join("A")).unwrap(),
            b"1",
            "a reader lost its file too early"
        );
        files.remove_expired(Instant::now() + GRACE_PERIOD);
        assert!(std::fs::read(first.join("A")).is_err());
        assert_eq!(std::fs::read(&a).unwrap(), b"3");
        assert_eq!(std::fs::metadata(files.directory()).unwrap().mode() & 0o777, 0o700);

        drop(files);
        assert_eq!(std::fs::read_dir(base.path()).unwrap().count(), 0);
    }

    #[test]
    fn only_abandoned_directories_are_removed() {
        let base = tempfile::tempdir().unwrap();
        let living = MemoryFiles::below(base.path()).unwrap();
        let dead = base.path().join(format!("{DIRECTORY_PREFIX}1-1"));
        std::fs::create_dir_all(dead.join("secrets")).unwrap();
        File::create(dead.join("lock")).unwrap();
        std::fs::create_dir(base.path().join("somebody-elses")).unwrap();
        let second = MemoryFiles::below(base.path()).unwrap();
        assert!(!dead.exists() && living.directory().is_dir() && second.directory().is_dir());
        assert!(base.path().join("somebody-elses").is_dir());
    }
}
