//! The files that a command is given: files, directories, standard input.

use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};

use crate::error::Error;

/// A text and where it comes from.
pub(crate) struct Source {
    /// The file; `-` is standard input.
    pub(crate) path: PathBuf,
    pub(crate) text: String,
    /// Whether the command line names it, rather than a directory that it is in.
    pub(crate) is_named: bool,
}

/// Larger files are no manifests.
const MAX_BYTES: u64 = 64 << 20;

/// Deeper directories are not looked at.
const MAX_DEPTH: usize = 64;

/// Reads everything, directories in the order of their names. In a directory, `.yaml`, `.yml` and
/// `.json` files count; hidden files and links are left out.
///
/// # Errors
/// If a path can't be read, is not UTF-8, or is larger than 64 MiB.
pub(crate) fn read(paths: &[PathBuf]) -> Result<Vec<Source>, Error> {
    let mut sources = Vec::new();
    for path in paths {
        if path.as_os_str() == "-" {
            let text = text(std::io::stdin().lock()).map_err(Error::Stdin)?;
            sources.push(Source { path: path.clone(), text, is_named: true });
        } else if path.is_dir() {
            directory(path, MAX_DEPTH, &mut sources)?;
        } else {
            sources.push(file(path, true)?);
        }
    }
    Ok(sources)
}

fn file(path: &Path, is_named: bool) -> Result<Source, Error> {
    let read = || text(fs::File::open(path)?);
    match read() {
        Ok(text) => Ok(Source { path: path.to_owned(), text, is_named }),
        Err(source) => Err(Error::Read { path: path.to_owned(), source }),
    }
}

fn text(from: impl Read) -> std::io::Result<String> {
    let mut text = String::new();
    from.take(MAX_BYTES + 1).read_to_string(&mut text)?;
    if text.len() as u64 > MAX_BYTES {
        return Err(std::io::Error::other("larger than 64 MiB"));
    }
    Ok(text)
}

fn directory(path: &Path, depth: usize, sources: &mut Vec<Source>) -> Result<(), Error> {
    let failed = |source| Error::Read { path: path.to_owned(), source };
    if depth == 0 {
        return Err(failed(std::io::Error::other("nested too deeply")));
    }
    let mut entries =
        fs::read_dir(path).and_then(Iterator::collect::<Result<Vec<_>, _>>).map_err(failed)?;
    entries.sort_by_key(fs::DirEntry::file_name);
    for entry in entries {
        let kind = entry.file_type().map_err(failed)?;
        let name = entry.file_name();
        let name = name.to_string_lossy();
        let is_manifest = [".yaml", ".yml", ".json"].iter().any(|end| name.ends_with(end));
        if name.starts_with('.') || name == "node_modules" {
            continue;
        }
        if kind.is_dir() {
            directory(&entry.path(), depth - 1, sources)?;
        } else if kind.is_file() && is_manifest {
            sources.push(file(&entry.path(), false)?);
        }
    }
    Ok(())
}
