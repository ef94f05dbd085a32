//! Files that are memory of this process, and the directory of links to them.
//!
//! `secrets/NAME -> ..data/NAME`, `..data -> ..<n>`, `..<n>/NAME -> /proc/<this
//! process>/fd/<memory>`: the layout that a pod has, so that all files of a generation change at
//! one moment. The directory holds no value. What a process that was killed left behind is taken
//! away by the next: it holds a lock while it lives.

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

/// What our directories' names begin with.
const PREFIX: &str = "enclii-run-";

/// For readers that have resolved their path already.
const GRACE: Duration = Duration::from_secs(60);

/// The files of one running program.
pub(super) struct Files {
    root: PathBuf,
    secrets: PathBuf,
    generations: VecDeque<Generation>,
    next: u64,
    _lock: File,
}

struct Generation {
    directory: PathBuf,
    names: Vec<SecretName>,
    replaced: Option<Instant>,
    // Held open: the memory is there as long as this is.
    _memory: Vec<OwnedFd>,
}

impl Files {
    /// A directory below `runtime`, or where else there is a place for it.
    pub(super) fn new(runtime: Option<&Path>) -> Result<Self, Error> {
        let shared = Path::new("/dev/shm");
        let base = runtime
            .into_iter()
            .chain([shared])
            .find(|it| writable(it))
            .map_or_else(std::env::temp_dir, Path::to_owned);
        Self::below(&base).map_err(|source| Error::Write { path: base, source })
    }

    fn below(base: &Path) -> io::Result<Self> {
        sweep(base);
        let tag = format!(
            "{}-{:08x}",
            std::process::id(),
            (runtime::backoff::random() * f64::from(u32::MAX)) as u32
        );
        let (fresh, root) =
            (base.join(format!("enclii-new-{tag}")), base.join(format!("{PREFIX}{tag}")));
        DirBuilder::new().mode(0o700).create(&fresh)?;
        // It has its name only when it is locked: the sweep of another process cannot come between.
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

    /// Where the files are.
    pub(super) fn directory(&self) -> &Path {
        &self.secrets
    }

    /// A new generation takes the place of the one before, which stays for readers that are on
    /// their way.
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
        self.forget(Instant::now());
        let name = format!("..{}", self.next);
        self.next += 1;
        let directory = self.secrets.join(&name);
        DirBuilder::new().mode(0o700).create(&directory)?;
        let (mut names, mut memory) = (Vec::new(), Vec::new());
        for (name, value) in values {
            let held = hold(name, value)?;
            let path =
                PathBuf::from(format!("/proc/{}/fd/{}", std::process::id(), held.as_raw_fd()));
            same(&held, &path)?;
            symlink(&path, directory.join(name.as_str()))?;
            names.push(name.clone());
            memory.push(held);
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
        self.generations.push_back(Generation {
            directory,
            names,
            replaced: None,
            _memory: memory,
        });
        Ok(())
    }

    /// Lets go of what was replaced long enough ago.
    pub(super) fn forget(&mut self, now: Instant) {
        let late = |it: &Generation| {
            it.replaced.is_some_and(|at| now.saturating_duration_since(at) >= GRACE)
        };
        while let Some(old) = self.generations.pop_front_if(|it| late(it)) {
            let _ = std::fs::remove_dir_all(&old.directory);
        }
    }
}

impl Drop for Files {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.root);
    }
}

/// Memory with the value, that nobody can change.
fn hold(name: &SecretName, value: &Redacted) -> io::Result<OwnedFd> {
    let memory =
        rustix::fs::memfd_create(name.as_str(), MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING)
            .or_else(|_| {
                // A name may be too long for it, and is there for people alone.
                rustix::fs::memfd_create("secret", MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING)
            })?;
    let mut file = File::from(memory);
    file.write_all(value.expose())?;
    file.set_permissions(std::fs::Permissions::from_mode(0o400))?;
    rustix::fs::fcntl_add_seals(
        &file,
        SealFlags::WRITE | SealFlags::GROW | SealFlags::SHRINK | SealFlags::SEAL,
    )?;
    Ok(file.into())
}

/// `/proc` may be another namespace's, or not be there.
fn same(held: &OwnedFd, path: &Path) -> io::Result<()> {
    let (ours, there) = (rustix::fs::fstat(held)?, std::fs::metadata(path));
    match there {
        Ok(there) if (there.dev(), there.ino()) == (ours.st_dev, ours.st_ino) => Ok(()),
        _ => Err(io::Error::other(
            "/proc does not show this process, through which the program would open the files; --as-env does without",
        )),
    }
}

fn writable(directory: &Path) -> bool {
    directory.is_dir()
        && rustix::fs::access(directory, rustix::fs::Access::WRITE_OK | rustix::fs::Access::EXEC_OK)
            .is_ok()
}

/// Takes away what processes of this user left behind that are no more.
fn sweep(base: &Path) {
    for entry in std::fs::read_dir(base).into_iter().flatten().flatten() {
        let ours = entry.file_name().to_str().is_some_and(|it| it.starts_with(PREFIX))
            && entry
                .metadata()
                .is_ok_and(|it| it.is_dir() && it.uid() == rustix::process::geteuid().as_raw());
        let gone =
            || File::open(entry.path().join("lock")).is_ok_and(|lock| lock.try_lock().is_ok());
        if ours && gone() {
            let _ = std::fs::remove_dir_all(entry.path());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn replace(files: &mut Files, values: &[(&str, &str)]) {
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
    fn files_change_as_a_whole_and_go_with_their_owner() {
        let base = tempfile::tempdir().unwrap();
        let mut files = Files::below(base.path()).unwrap();
        replace(&mut files, &[("A", "1"), ("B", "2")]);
        let at = |name: &str| files.directory().join(name);
        let (a, b) = (at("A"), at("B"));
        assert_eq!(
            (std::fs::read(&a).unwrap(), std::fs::read(&b).unwrap()),
            (b"1".to_vec(), b"2".to_vec())
        );
        assert!(
            File::options().write(true).open(&a).and_then(|mut it| it.write_all(b"x")).is_err(),
            "a file was changed"
        );
        let early = std::fs::canonicalize(files.directory().join(DATA_LINK)).unwrap();

        replace(&mut files, &[("A", "3"), ("C", "4")]);
        assert_eq!(visible(files.directory()), ["A", "C"]);
        assert_eq!(std::fs::read(&a).unwrap(), b"3");
        assert_eq!(
            std::fs::read(early.join("A")).unwrap(),
            b"1",
            "a reader on its way lost its file"
        );
        files.forget(Instant::now() + GRACE);
        assert!(std::fs::read(early.join("A")).is_err());
        assert_eq!(std::fs::read(&a).unwrap(), b"3");
        assert_eq!(std::fs::metadata(files.directory()).unwrap().mode() & 0o777, 0o700);

        drop(files);
        assert_eq!(std::fs::read_dir(base.path()).unwrap().count(), 0);
    }

    #[test]
    fn what_was_left_behind_is_swept_and_what_lives_is_not() {
        let base = tempfile::tempdir().unwrap();
        let living = Files::below(base.path()).unwrap();
        let dead = base.path().join(format!("{PREFIX}1-1"));
        std::fs::create_dir_all(dead.join("secrets")).unwrap();
        File::create(dead.join("lock")).unwrap();
        std::fs::create_dir(base.path().join("somebody-elses")).unwrap();
        let second = Files::below(base.path()).unwrap();
        assert!(!dead.exists() && living.directory().is_dir() && second.directory().is_dir());
        assert!(base.path().join("somebody-elses").is_dir());
    }
}
