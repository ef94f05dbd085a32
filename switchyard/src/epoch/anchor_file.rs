//! The file with the anchor, in the data directory and outside the database: a restored database
//! does not bring it back.

use std::io;
use std::path::{Path, PathBuf};

use super::continuity::Anchor;
use crate::files::{self, Readers};

/// The file's name in the data directory.
const FILE_NAME: &str = "ledger-anchor.json";

/// The anchor's file. Its methods block on disk I/O.
#[derive(Clone, Debug)]
pub(super) struct AnchorFile(PathBuf);

impl AnchorFile {
    pub(super) fn new(data: &Path) -> Self {
        Self(data.join(FILE_NAME))
    }

    /// The anchor. `None` without a file, and for one that is malformed, which is logged.
    pub(super) fn read(&self) -> Option<Anchor> {
        let bytes = match std::fs::read(&self.0) {
            Ok(bytes) => bytes,
            Err(error) => {
                if error.kind() != io::ErrorKind::NotFound {
                    tracing::warn!(file = %self.0.display(), %error, "read ledger anchor");
                }
                return None;
            }
        };
        let anchor = serde_json::from_slice(&bytes);
        if let Err(error) = &anchor {
            tracing::warn!(file = %self.0.display(), %error, "ledger anchor is malformed");
        }
        anchor.ok()
    }

    /// Replaces the anchor.
    ///
    /// # Errors
    /// The file cannot be written; the previous anchor stays.
    pub(super) fn write(&self, anchor: &Anchor) -> io::Result<()> {
        // Strings and numbers always serialize.
        let bytes = serde_json::to_vec(anchor).unwrap_or_default();
        files::write(&self.0, &bytes, Readers::Owner)
    }
}

#[cfg(test)]
mod tests {
    use audit::Hash;

    use super::*;
    use crate::repository::LedgerTables;

    #[test]
    fn an_anchor_is_read_back_and_a_malformed_one_is_none() {
        let directory = tempfile::tempdir().unwrap();
        let file = AnchorFile::new(directory.path());
        assert_eq!(file.read(), None);
        let tables = LedgerTables { key: Some("key_one".into()), changes: 5 };
        let (epoch, hash) = ("one".to_owned(), Hash([7; 32]));
        let anchor = Anchor { epoch, sequence: 7, hash, tables };
        file.write(&anchor).unwrap();
        assert_eq!(file.read(), Some(anchor));
        files::write(&file.0, b"{\"epoch\":", Readers::Owner).unwrap();
        assert_eq!(file.read(), None);
    }
}
