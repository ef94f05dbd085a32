//! A file sink. The file may be rotated at any time: the next batch goes to a new file.

use std::fs::{File, OpenOptions};
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};

use audit::{Format, Record};
use runtime::private_file;

use super::SendError;
use crate::files;

#[derive(Clone, Debug)]
pub(super) struct FileSink {
    path: PathBuf,
    format: Format,
}

impl FileSink {
    pub(super) fn new(path: PathBuf, format: Format) -> Self {
        files::report_if_wide(&path);
        Self { path, format }
    }

    pub(super) async fn send(&self, records: &[Record]) -> Result<(), SendError> {
        let mut lines = String::new();
        for record in records {
            lines.push_str(&self.format.line(record));
            lines.push('\n');
        }
        let path = self.path.clone();
        let failed = |source| SendError::Io {
            step: "write",
            target: self.path.display().to_string(),
            source,
        };
        let written = tokio::task::spawn_blocking(move || append(&path, lines.as_bytes())).await;
        written.map_err(|error| failed(io::Error::other(error)))?.map_err(failed)
    }
}

/// Appends lines. They are durable when this returns.
fn append(path: &Path, lines: &[u8]) -> io::Result<()> {
    // Opening the file for each batch is cheap compared with the flush, and follows rotation.
    let new = !path.exists();
    let mut file = private_file::open(OpenOptions::new().read(true).append(true), path)?;
    if is_torn(&mut file)? {
        // The torn batch was not confirmed, so it is sent again in full.
        file.write_all(b"\n")?;
    }
    file.write_all(lines)?;
    file.sync_data()?;
    if new && let Some(directory) = path.parent() {
        File::open(directory)?.sync_all()?;
    }
    Ok(())
}

/// Whether the last line lacks its newline.
fn is_torn(file: &mut File) -> io::Result<bool> {
    if file.metadata()?.len() == 0 {
        return Ok(false);
    }
    file.seek(SeekFrom::End(-1))?;
    let mut last = [0];
    file.read_exact(&mut last)?;
    Ok(last != *b"\n")
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn a_rotated_file_is_left_alone() {
        let directory = tempfile::tempdir().unwrap();
        let (path, moved) = (directory.path().join("audit"), directory.path().join("audit.1"));
        append(&path, b"one\n").unwrap();
        fs::rename(&path, &moved).unwrap();
        append(&path, b"two\n").unwrap();
        append(&path, b"three").unwrap();
        append(&path, b"three\n").unwrap();
        assert_eq!(fs::read(&moved).unwrap(), b"one\n");
        assert_eq!(fs::read(&path).unwrap(), b"two\nthree\nthree\n");
    }
}
