//! Where checkpoints are put: a file in a directory that is no part of the database. Lines are
//! added and never changed.

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufRead as _, BufReader, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use audit::Checkpoint;

/// The file in the directory.
const FILE: &str = "checkpoints.jsonl";

/// The place. Its calls wait for a disk.
#[derive(Clone, Debug)]
pub(super) struct Place {
    directory: PathBuf,
}

/// The place cannot be read or written.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PlaceError {
    /// The system refuses.
    #[error("{step} {path}")]
    File {
        /// What was being done.
        step: &'static str,
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A line that is no checkpoint.
    #[error("read {path}: line {line} is no checkpoint")]
    Form {
        /// The file.
        path: PathBuf,
        /// The line.
        line: usize,
    },
}

impl Place {
    pub(super) fn new(directory: PathBuf) -> Self {
        Self { directory }
    }

    pub(super) fn path(&self) -> PathBuf {
        self.directory.join(FILE)
    }

    /// The last checkpoint there. A line that a crash cut short counts as not written.
    pub(super) fn last(&self) -> Result<Option<Checkpoint>, PlaceError> {
        let path = self.path();
        let file = match File::open(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(source) => return Err(PlaceError::File { step: "open", path, source }),
        };
        let (mut last, mut reader, mut text, mut line) =
            (None::<Checkpoint>, BufReader::new(file), String::new(), 0);
        loop {
            text.clear();
            reader.read_line(&mut text).map_err(|source| PlaceError::File {
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
                Err(_) => return Err(PlaceError::Form { path, line }),
            };
            if last.as_ref().is_none_or(|last| last.sequence <= checkpoint.sequence) {
                last = Some(checkpoint);
            }
        }
    }

    /// Adds a checkpoint. It is durable when this returns.
    pub(super) fn put(&self, checkpoint: &Checkpoint) -> Result<(), PlaceError> {
        let path = self.path();
        let failed = |step| {
            let path = path.clone();
            move |source| PlaceError::File { step, path, source }
        };
        fs::create_dir_all(&self.directory).map_err(failed("make directory of"))?;
        let new = !path.exists();
        cut_torn_line(&path).map_err(failed("mend"))?;
        let mut file = OpenOptions::new()
            .create(true)
            .append(true)
            .mode(0o644)
            .open(&path)
            .map_err(failed("open"))?;
        // A struct of texts and numbers always becomes JSON.
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

/// Cuts off what a crash left of a last line.
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
    fn lines_are_added_and_a_torn_one_is_forgotten() {
        let directory = tempfile::tempdir().unwrap();
        let place = Place::new(directory.path().join("outside"));
        assert_eq!(place.last().unwrap(), None);
        place.put(&checkpoint(3)).unwrap();
        place.put(&checkpoint(9)).unwrap();
        assert_eq!(place.last().unwrap(), Some(checkpoint(9)));
        OpenOptions::new()
            .append(true)
            .open(place.path())
            .unwrap()
            .write_all(b"{\"sequence\":12,")
            .unwrap();
        assert_eq!(place.last().unwrap(), Some(checkpoint(9)));
        place.put(&checkpoint(15)).unwrap();
        assert_eq!(place.last().unwrap(), Some(checkpoint(15)));
        assert_eq!(fs::read_to_string(place.path()).unwrap().lines().count(), 3);
        OpenOptions::new()
            .append(true)
            .open(place.path())
            .unwrap()
            .write_all(b"rubbish\n")
            .unwrap();
        assert!(matches!(place.last(), Err(PlaceError::Form { line: 4, .. })));
    }
}
