//! Copies the agent's own program into a volume, for containers whose command it starts.

use std::fs::{File, OpenOptions, Permissions};
use std::io::{self, Read};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use contract::layout::PROGRAM_FILE;

/// Renamed to [`PROGRAM_FILE`].
const TEMPORARY: &str = "enclii-agent.tmp";

/// The program that runs. The name of its file may be another one by now.
const OWN_PROGRAM: &str = "/proc/self/exe";

/// The program could not be copied.
#[derive(Debug, thiserror::Error)]
#[error("copy the agent's program to {path}", path = path.display())]
pub struct ProgramError {
    path: PathBuf,
    source: io::Error,
}

/// Copies the program that runs into `directory`. Replaces an earlier copy by a rename, since an
/// application may be running that one.
///
/// # Errors
/// When the directory cannot be written to.
pub fn install(directory: &Path) -> Result<(), ProgramError> {
    let path = directory.join(PROGRAM_FILE);
    // An agent that starts again finds its copy, which would need its size in memory once more.
    if is_copy(&path).unwrap_or(false) {
        return Ok(());
    }
    copy(&directory.join(TEMPORARY), &path).map_err(|source| ProgramError { path, source })
}

/// Whether a file has the bytes of the program that runs.
fn is_copy(path: &Path) -> io::Result<bool> {
    let (mut own, mut copy) = (File::open(OWN_PROGRAM)?, File::open(path)?);
    if own.metadata()?.len() != copy.metadata()?.len() {
        return Ok(false);
    }
    let (mut a, mut b) = (vec![0; 64 << 10], vec![0; 64 << 10]);
    loop {
        let count = own.read(&mut a)?;
        if count == 0 {
            return Ok(true);
        }
        copy.read_exact(&mut b[..count])?;
        if a[..count] != b[..count] {
            return Ok(false);
        }
    }
}

fn copy(temporary: &Path, path: &Path) -> io::Result<()> {
    match std::fs::remove_file(temporary) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut target = OpenOptions::new().write(true).create_new(true).mode(0o700).open(temporary)?;
    io::copy(&mut File::open(OWN_PROGRAM)?, &mut target)?;
    target.set_permissions(Permissions::from_mode(0o555))?;
    // A file that is open for writing cannot be executed.
    drop(target);
    std::fs::rename(temporary, path)
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    #[test]
    fn a_copy_runs_and_replaces_one_that_runs() {
        let temp = tempfile::tempdir().unwrap();
        let path = temp.path().join(PROGRAM_FILE);
        File::create(temp.path().join(TEMPORARY)).unwrap();
        for other in [false, true, true] {
            if other {
                // The copy of another program.
                std::fs::remove_file(&path).unwrap();
                File::create(&path).unwrap();
            }
            install(temp.path()).unwrap();
            assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o7777, 0o555);
            let output = Command::new(&path).arg("--list").output().unwrap();
            let listed = String::from_utf8(output.stdout).unwrap();
            assert!(listed.contains("a_copy_runs_and_replaces_one_that_runs"));
        }
        let inode = || std::os::unix::fs::MetadataExt::ino(&std::fs::metadata(&path).unwrap());
        let before = inode();
        install(temp.path()).unwrap();
        assert_eq!(inode(), before, "its own copy stays");
        assert!(!temp.path().join(TEMPORARY).exists());
    }

    #[test]
    fn a_missing_volume_is_named() {
        let error = install(Path::new("/nowhere")).unwrap_err().to_string();
        assert_eq!(error, "copy the agent's program to /nowhere/enclii-agent");
    }
}
