//! The search for a word in everything that a run left behind.
//!
//! A search that had nothing to read proves nothing, so every source has to hold something and
//! [`LeakSearch::finish`] fails if a kind of source was never read.

mod encodings;

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context as _, Result, ensure};

use encodings::{find, forms};

/// What was searched, and where the word turned up.
pub struct LeakSearch {
    forms: Vec<(String, Vec<u8>)>,
    found: Vec<String>,
    // Bytes by kind of source.
    searched: BTreeMap<String, usize>,
}

impl LeakSearch {
    /// A search for this word in every encoding that it may be in.
    ///
    /// # Errors
    /// If the word is too short to be told from other text.
    pub fn new(word: &str) -> Result<Self> {
        ensure!(word.len() >= 12, "a word of {} characters may occur by chance", word.len());
        Ok(Self { forms: forms(word), found: Vec::new(), searched: BTreeMap::new() })
    }

    /// Searches one text. `kind` groups the sources: logs, metrics, a folder.
    pub fn text(&mut self, kind: &str, source: &str, text: &[u8]) {
        *self.searched.entry(kind.to_owned()).or_default() += text.len();
        if let Some(form) = find(text, &self.forms) {
            self.found.push(format!("{source} ({form})"));
        }
    }

    /// Searches a file, or every file below a folder.
    ///
    /// # Errors
    /// If the path cannot be read.
    pub fn path(&mut self, path: &Path) -> Result<()> {
        let kind = path.display().to_string();
        self.searched.entry(kind.clone()).or_default();
        std::fs::metadata(path).with_context(|| format!("read {kind}"))?;
        self.files(&kind, path)
    }

    fn files(&mut self, kind: &str, path: &Path) -> Result<()> {
        if path.is_dir() {
            let entries =
                std::fs::read_dir(path).with_context(|| format!("read {}", path.display()))?;
            for entry in entries.flatten() {
                self.files(kind, &entry.path())?;
            }
        } else if path.is_file()
            // A file may go while the system runs: a rotated log, a database's journal.
            && let Ok(text) = std::fs::read(path)
        {
            self.text(kind, &path.display().to_string(), &text);
        }
        Ok(())
    }

    /// What was searched: kinds of sources and bytes.
    ///
    /// # Errors
    /// If the word was found, if one of the `required` kinds was not searched, or if a source held
    /// nothing.
    pub fn finish(self, required: &[&str]) -> Result<BTreeMap<String, usize>> {
        for kind in required {
            ensure!(self.searched.contains_key(*kind), "{kind}: not searched");
        }
        for (kind, bytes) in &self.searched {
            ensure!(*bytes > 0, "{kind}: nothing to search");
        }
        ensure!(!self.searched.is_empty(), "nothing was searched");
        ensure!(self.found.is_empty(), "values turned up in:\n{}", self.found.join("\n"));
        Ok(self.searched)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WORD: &str = "cnryAbCdEfGhIj0123456789";

    fn search() -> LeakSearch {
        LeakSearch::new(WORD).unwrap()
    }

    fn failure(search: LeakSearch, required: &[&str]) -> String {
        search.finish(required).unwrap_err().to_string()
    }

    #[test]
    fn a_search_of_nothing_fails() {
        assert_eq!(failure(search(), &[]), "nothing was searched");
        assert_eq!(failure(search(), &["logs"]), "logs: not searched");
        assert!(LeakSearch::new("").is_err(), "every text holds the empty word");
    }

    #[test]
    fn an_empty_source_fails_although_others_hold_something() {
        let mut empty = search();
        empty.text("logs", "log of a", b"something");
        empty.text("metrics", "metrics of a", b"");
        assert_eq!(failure(empty, &["logs", "metrics"]), "metrics: nothing to search");
    }

    #[test]
    fn an_empty_folder_and_a_missing_one_fail() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("below")).unwrap();
        let mut empty = search();
        empty.path(folder.path()).unwrap();
        assert!(failure(empty, &[]).ends_with(": nothing to search"));
        assert!(search().path(&folder.path().join("missing")).is_err());
    }

    #[test]
    fn the_word_is_found_in_a_text_and_below_a_folder() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("below")).unwrap();
        let file = folder.path().join("below/file");
        std::io::Write::write_all(
            &mut std::fs::File::create(&file).unwrap(),
            format!("a {WORD} b").as_bytes(),
        )
        .unwrap();
        let mut found = search();
        found.path(folder.path()).unwrap();
        assert!(failure(found, &[]).contains("below/file (raw)"));

        let mut clean = search();
        clean.text("logs", "log of a", b"nothing of it");
        assert_eq!(clean.finish(&["logs"]).unwrap()["logs"], 13);
    }
}
