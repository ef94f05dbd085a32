//! The append-only file of checkpoints, in a directory outside the database. One JSON checkpoint
//! per line.

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};

use audit::Checkpoint;
use runtime::private_file;

/// The file's name in the directory.
const FILE_NAME: &str = "checkpoints.jsonl";

/// The checkpoint file. Its methods block on disk I/O.
#[derive(Clone, Debug)]
pub(super) struct CheckpointFile {
    directory: PathBuf,
}

/// The checkpoint file could not be read or written.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CheckpointFileError {
    /// A file operation failed.
    #[error("{step} {path}")]
    File {
        /// The step that failed.
        step: &'static str,
        /// The file.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },
    /// A line is not a checkpoint.
    #[error("read {path}: line {line} is not a checkpoint")]
    Form {
        /// The file.
        path: PathBuf,
        /// The line number, from 1.
        line: usize,
    },
}

impl CheckpointFile {
    pub(super) fn new(directory: PathBuf) -> Self {
        Self { directory }
    }

    pub(super) fn path(&self) -> PathBuf {
        self.directory.join(FILE_NAME)
    }

    /// The newest checkpoint. A final line without a newline was torn by a crash and is ignored.
    pub(super) fn last(&self) -> Result<Option<Checkpoint>, CheckpointFileError> {
        let path = self.path();
        let file = match File::open(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(source) => return Err(CheckpointFileError::File { step: "open", path, source }),
        };
        let (mut last, mut reader, mut text, mut line) =
            (None::<Checkpoint>, BufReader::new(file), String::new(), 0);
        loop {
            text.clear();
            reader.read_line(&mut text).map_err(|source| CheckpointFileError::File {
                step: "read",
                path: path.clone(),
                source,
            })?;
            if !text.ends_with('\n') {
                return Ok(last);
            }
            line += 1;
            let checkpoint: Checkpoint = match serde_json::from_str(&text) {
                Ok(checkpoint) => checkpoint,
                Err(_) if text.trim().is_empty() => continue,
                Err(_) => return Err(CheckpointFileError::Form { path, line }),
            };
            if last.as_ref().is_none_or(|last| last.sequence <= checkpoint.sequence) {
                last = Some(checkpoint);
            }
        }
    }

    /// Appends a checkpoint. It is durable when this returns.
    pub(super) fn append(&self, checkpoint: &Checkpoint) -> Result<(), CheckpointFileError> {
        let path = self.path();
        let failed = |step| {
            let path = path.clone();
            move |source| CheckpointFileError::File { step, path, source }
        };
        fs::create_dir_all(&self.directory).map_err(failed("create directory of"))?;
        let new = !path.exists();
        cut_torn_line(&path).map_err(failed("repair"))?;
        let mut file =
            private_file::open(OpenOptions::new().append(true), &path).map_err(failed("open"))?;
        // Strings and numbers always serialize.
        let line = serde_json::to_string(checkpoint).unwrap_or_default() + "\n";
        file.write_all(line.as_bytes()).and_then(|()| file.sync_all()).map_err(failed("write"))?;
        if new {
            File::open(&self.directory)
                .and_then(|directory| directory.sync_all())
                .map_err(failed("flush directory of"))?;
        }
        Ok(())
    }
}

/// Removes a last line torn by a crash.
fn cut_torn_line(path: &Path) -> io::Result<()> {
    let bytes = match fs::read(path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
    };
    let whole = bytes.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
    if whole < bytes.len() {
        OpenOptions::new().write(true).open(path)?.set_len(whole as u64)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn checkpoint(sequence: u64) -> Checkpoint {
        Checkpoint {
            sequence,
            hash: audit::Hash([7; 32]),
            at: jiff::Timestamp::from_millisecond(1_764_000_000_000).unwrap(),
            key_id: "k".to_owned(),
            signature: "s".to_owned(),
        }
    }

    #[test]
    fn checkpoints_are_appended_and_a_torn_line_is_dropped() {
        let directory = tempfile::tempdir().unwrap();
        let file = CheckpointFile::new(directory.path().join("outside"));
        assert_eq!(file.last().unwrap(), None);
        file.append(&checkpoint(3)).unwrap();
        file.append(&checkpoint(9)).unwrap();
        assert_eq!(file.last().unwrap(), Some(checkpoint(9)));
        OpenOptions::new()
            .append(true)
            .open(file.path())
            .unwrap()
            .write_all(b"{\"sequence\":12,")
            .unwrap();
        assert_eq!(file.last().unwrap(), Some(checkpoint(9)));
        file.append(&checkpoint(15)).unwrap();
        assert_eq!(file.last().unwrap(), Some(checkpoint(15)));
        assert_eq!(fs::read_to_string(file.path()).unwrap().lines().count(), 3);
        OpenOptions::new().append(true).open(file.path()).unwrap().write_all(b"rubbish\n").unwrap();
        assert!(matches!(file.last(), Err(CheckpointFileError::Form { line: 4, .. })));
    }
}
