//! Finds the program of a command as a container runtime does: through the `PATH` that the command
//! gets.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use rustix::fs::{Access, AtFlags, CWD, accessat};

/// The `PATH` that container runtimes set for an image without one.
const DEFAULT_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// Why a command has no program.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum LookupError {
    /// It does not exist.
    #[error("find {}: no such program in PATH", .0.display())]
    NotFound(OsString),
    /// It exists and is a directory, or lacks the right to be executed.
    #[error("find {}: it cannot be executed", .0.display())]
    NotExecutable(OsString),
}

/// The path of a program. One with a slash is a path already, relative to the working directory.
pub(super) fn program(word: &OsStr, path: Option<&OsStr>) -> Result<PathBuf, LookupError> {
    if word.is_empty() {
        return Err(LookupError::NotFound(word.to_owned()));
    }
    if word.as_bytes().contains(&b'/') {
        // The kernel says what is wrong with it.
        return Ok(word.into());
    }
    let path = path.unwrap_or_else(|| OsStr::new(DEFAULT_PATH));
    let mut error = LookupError::NotFound(word.to_owned());
    // As in runtimes, only absolute directories count: whoever can write to the working directory
    // would otherwise choose the program.
    for directory in std::env::split_paths(path).filter(|directory| directory.is_absolute()) {
        let candidate = directory.join(word);
        if is_executable(&candidate) {
            return Ok(candidate);
        }
        if candidate.exists() {
            error = LookupError::NotExecutable(word.to_owned());
        }
    }
    Err(error)
}

fn is_executable(path: &Path) -> bool {
    path.is_file() && accessat(CWD, path, Access::EXEC_OK, AtFlags::EACCESS).is_ok()
}

#[cfg(test)]
mod tests {
    use std::fs::{File, Permissions};
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn the_first_executable_in_the_path_is_found() {
        let temp = tempfile::tempdir().unwrap();
        let create = |name: &str, mode| {
            let path = temp.path().join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            File::create(&path).unwrap().set_permissions(Permissions::from_mode(mode)).unwrap();
            path
        };
        create("a/app", 0o644);
        let app = create("b/app", 0o755);
        create("a/plain", 0o644);
        std::fs::create_dir(temp.path().join("a/dir")).unwrap();
        let directory = temp.path().display();
        let path: OsString = format!(".::{directory}/none:{directory}/a:{directory}/b").into();
        let find = |word: &str| program(OsStr::new(word), Some(&path));
        assert_eq!(find("app"), Ok(app));
        assert_eq!(find("./app"), Ok("./app".into()));
        for word in ["plain", "dir"] {
            assert_eq!(find(word), Err(LookupError::NotExecutable(word.into())));
        }
        for word in ["", "absent"] {
            assert_eq!(find(word), Err(LookupError::NotFound(word.into())));
        }
        assert_eq!(program(OsStr::new("sh"), None).unwrap().file_name(), Some(OsStr::new("sh")));
        assert!(program(OsStr::new("sh"), Some(OsStr::new(""))).is_err());
    }
}
