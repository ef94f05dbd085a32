//! File operations relative to an open directory. The only module that accesses the volume's file
//! system.
//!
//! Names are single path components relative to the descriptor, and symbolic links are never
//! followed. So nothing outside the volume is read or written, whatever else writes to the volume.

#[cfg(test)]
pub(super) mod faults;

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::OwnedFd;
use std::path::Path;

use contract::Redacted;
#[cfg(test)]
use faults::Change;
use rustix::fs::{AtFlags, CWD, Dir, FileType, Mode, OFlags, ResolveFlags};
use rustix::io::Errno;
use zeroize::Zeroizing;

/// The type of a directory entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum EntryKind {
    /// A directory.
    Directory,
    /// A symbolic link with its target.
    Symlink(String),
    /// A regular file.
    File,
    /// A pipe, a device, a socket.
    Other,
}

/// One entry of a directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) name: String,
    pub(super) kind: EntryKind,
}

/// An open directory.
#[derive(Debug)]
pub(super) struct Directory {
    fd: OwnedFd,
}

const DIRECTORY: OFlags = OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::CLOEXEC);

impl Directory {
    /// Opens the volume itself. Its path comes from the configuration, so links in it are followed.
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        Ok(Self { fd: rustix::fs::openat(CWD, path, DIRECTORY, Mode::empty())? })
    }

    /// Opens a directory in this one.
    pub(super) fn open_directory(&self, name: &str) -> io::Result<Self> {
        Ok(Self { fd: self.open_beneath(name, DIRECTORY, Mode::empty())? })
    }

    /// Creates a directory with exactly this mode, whatever the umask is, and opens it.
    pub(super) fn create_directory(&self, name: &str, mode: u32) -> io::Result<Self> {
        #[cfg(test)]
        faults::before(Change::Creates)?;
        rustix::fs::mkdirat(&self.fd, name, Mode::RWXU)?;
        let created = self.open_directory(name)?;
        // The set-group-ID bit comes from the volume (`fsGroup`) and passes its group on to the
        // files.
        let inherited = Mode::from_raw_mode(rustix::fs::fstat(&created.fd)?.st_mode) & Mode::SGID;
        #[cfg(test)]
        faults::before(Change::Other)?;
        rustix::fs::fchmod(&created.fd, Mode::from_raw_mode(mode) | inherited)?;
        Ok(created)
    }

    /// Writes a new file with exactly this mode. Fails if the file exists.
    ///
    /// There is no fsync: the volume is memory and does not outlive the machine.
    pub(super) fn write_new(&self, name: &str, bytes: &[u8], mode: u32) -> io::Result<()> {
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
        #[cfg(test)]
        faults::before(Change::Creates)?;
        let mut file = File::from(self.open_beneath(name, flags, Mode::RUSR | Mode::WUSR)?);
        #[cfg(test)]
        faults::before(Change::Creates)?;
        file.write_all(bytes)?;
        #[cfg(test)]
        faults::before(Change::Other)?;
        Ok(rustix::fs::fchmod(&file, Mode::from_raw_mode(mode))?)
    }

    /// Reads a regular file of at most `limit` bytes.
    pub(super) fn read(&self, name: &str, limit: usize) -> io::Result<Redacted> {
        // Without NONBLOCK, opening a foreign named pipe would block the agent.
        let mut file = File::from(self.open_beneath(
            name,
            OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC,
            Mode::empty(),
        )?);
        let size = usize::try_from(file.metadata()?.len()).unwrap_or(usize::MAX);
        if !file.metadata()?.is_file() || size > limit {
            return Err(io::Error::from(io::ErrorKind::InvalidData));
        }
        // Read into a buffer that does not grow: `read_to_end` leaves copies of a value on the
        // stack and, when it grows the buffer, on the heap.
        let mut bytes = Zeroizing::new(vec![0; size + 1]);
        let mut filled = 0;
        loop {
            match file.read(&mut bytes[filled..]) {
                Ok(0) => break,
                Ok(count) => filled += count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        if filled > size {
            return Err(io::Error::from(io::ErrorKind::InvalidData));
        }
        bytes.truncate(filled);
        Ok(Redacted::new(std::mem::take(&mut bytes)))
    }

    /// The permission bits of an entry.
    pub(super) fn mode(&self, name: &str) -> io::Result<u32> {
        let found = rustix::fs::statat(&self.fd, name, AtFlags::SYMLINK_NOFOLLOW)?;
        Ok(found.st_mode & 0o777)
    }

    /// Creates a symbolic link.
    pub(super) fn symlink(&self, target: &str, name: &str) -> io::Result<()> {
        #[cfg(test)]
        faults::before(Change::Creates)?;
        Ok(rustix::fs::symlinkat(target, &self.fd, name)?)
    }

    /// Renames an entry and atomically replaces one that has the new name.
    pub(super) fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        #[cfg(test)]
        faults::before(Change::Other)?;
        Ok(rustix::fs::renameat(&self.fd, from, &self.fd, to)?)
    }

    /// Removes a file or a link. A missing one is not an error.
    pub(super) fn remove_file(&self, name: &str) -> io::Result<()> {
        #[cfg(test)]
        faults::before(Change::Other)?;
        ignore_not_found(rustix::fs::unlinkat(&self.fd, name, AtFlags::empty()))
    }

    /// Removes a directory and its content. A missing one is not an error.
    pub(super) fn remove_directory(&self, name: &str) -> io::Result<()> {
        let directory = match self.open_directory(name) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            other => other?,
        };
        for entry in directory.entries()? {
            match entry.kind {
                // The agent creates none, but a foreign one must not prevent the removal.
                EntryKind::Directory => directory.remove_directory(&entry.name)?,
                _ => directory.remove_file(&entry.name)?,
            }
        }
        #[cfg(test)]
        faults::before(Change::Other)?;
        ignore_not_found(rustix::fs::unlinkat(&self.fd, name, AtFlags::REMOVEDIR))
    }

    /// All entries of the directory, sorted by name. A name that is not UTF-8 does not belong to
    /// the agent and is left out.
    pub(super) fn entries(&self) -> io::Result<Vec<Entry>> {
        let mut found = Vec::new();
        for entry in Dir::read_from(&self.fd)? {
            let entry = entry?;
            let Ok(name) = entry.file_name().to_str() else { continue };
            if matches!(name, "." | "..") {
                continue;
            }
            let kind = match entry.file_type() {
                FileType::Directory => EntryKind::Directory,
                FileType::Symlink => match rustix::fs::readlinkat(&self.fd, name, Vec::new()) {
                    Ok(target) => EntryKind::Symlink(target.to_string_lossy().into_owned()),
                    Err(Errno::NOENT) => continue,
                    Err(error) => return Err(error.into()),
                },
                FileType::RegularFile => EntryKind::File,
                _ => EntryKind::Other,
            };
            found.push(Entry { name: name.to_owned(), kind });
        }
        found.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(found)
    }

    fn open_beneath(&self, name: &str, flags: OFlags, mode: Mode) -> io::Result<OwnedFd> {
        let flags = flags | OFlags::NOFOLLOW;
        let resolve =
            ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
        match rustix::fs::openat2(&self.fd, name, flags, mode, resolve) {
            // A kernel before 5.6 or an old seccomp profile lacks openat2. For a name of a single
            // component, openat without following links has the same effect. If EPERM was about the
            // file, openat returns it again.
            Err(Errno::NOSYS | Errno::PERM) if !name.contains('/') => {
                Ok(rustix::fs::openat(&self.fd, name, flags, mode)?)
            }
            other => Ok(other?),
        }
    }
}

/// The directory mode that lets the readers of a file list and enter its directory.
pub(super) fn directory_mode(file_mode: u32) -> u32 {
    let readers = file_mode & 0o444;
    0o200 | readers | readers >> 2
}

fn ignore_not_found(result: rustix::io::Result<()>) -> io::Result<()> {
    match result {
        Ok(()) | Err(Errno::NOENT) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt, symlink};

    use super::*;

    fn mode(path: &Path) -> u32 {
        std::fs::symlink_metadata(path).unwrap().permissions().mode() & 0o7777
    }

    #[test]
    fn modes_are_exact() {
        let temp = tempfile::tempdir().unwrap();
        let root = Directory::open(temp.path()).unwrap();
        let created = root.create_directory("open", 0o777).unwrap();
        created.write_new("file", b"x", 0o666).unwrap();
        assert_eq!(mode(&temp.path().join("open")), 0o777);
        assert_eq!(mode(&temp.path().join("open/file")), 0o666);
    }

    #[test]
    fn the_volumes_group_is_inherited() {
        let temp = tempfile::tempdir().unwrap();
        std::fs::set_permissions(temp.path(), std::fs::Permissions::from_mode(0o2777)).unwrap();
        Directory::open(temp.path()).unwrap().create_directory("generation", 0o750).unwrap();
        assert_eq!(mode(&temp.path().join("generation")), 0o2750);
    }

    #[test]
    fn nothing_leaves_the_directory() {
        let temp = tempfile::tempdir().unwrap();
        let outside = tempfile::tempdir().unwrap();
        File::create(outside.path().join("target")).unwrap();
        symlink(outside.path(), temp.path().join("door")).unwrap();
        symlink(outside.path().join("target"), temp.path().join("file")).unwrap();
        symlink(outside.path().join("new"), temp.path().join("new")).unwrap();
        let root = Directory::open(temp.path()).unwrap();
        assert!(root.open_directory("door").is_err());
        assert!(root.open_directory("..").is_err());
        assert!(root.read("file", 10).is_err());
        assert!(root.write_new("file", b"x", 0o600).is_err());
        assert!(root.write_new("new", b"x", 0o600).is_err());
        assert!(root.write_new("../escape", b"x", 0o600).is_err());
        assert!(root.remove_directory("door").is_err());
        assert_eq!(std::fs::read_dir(outside.path()).unwrap().count(), 1);
        assert_eq!(std::fs::metadata(outside.path().join("target")).unwrap().len(), 0);
    }

    #[test]
    fn only_regular_files_of_a_fair_size_are_read() {
        let temp = tempfile::tempdir().unwrap();
        let root = Directory::open(temp.path()).unwrap();
        root.write_new("small", b"1234", 0o400).unwrap();
        root.create_directory("directory", 0o700).unwrap();
        rustix::fs::mknodat(&root.fd, "pipe", FileType::Fifo, Mode::RUSR, 0).unwrap();
        assert_eq!(root.read("small", 4).unwrap().expose(), b"1234");
        assert!(root.read("small", 3).is_err());
        assert!(root.read("directory", 9).is_err());
        assert!(root.read("pipe", 9).is_err());
        assert!(root.read("absent", 9).is_err());
    }
}
