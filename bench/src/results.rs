//! What one run of the program found: a file that the report reads.
//!
//! The runs are apart because they happen at different places: the cluster's in its own network
//! namespace, and the other one while no cluster takes a share of the processors.

use std::io::Write;
use std::path::Path;

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

use crate::budget::Entry;

/// What was found.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Results {
    /// What was measured.
    pub entries: Vec<Entry>,
    /// What could not be, and why.
    pub failures: Vec<String>,
    /// What the reader should know.
    pub notes: Vec<String>,
}

impl Results {
    /// Takes what a measurement found, or why it could not be made.
    pub fn take(&mut self, what: &str, found: Result<Vec<Entry>>) {
        match found {
            Ok(entries) => self.entries.extend(entries),
            Err(error) => self.failures.push(format!("{what}: {error:#}")),
        }
    }

    /// Says something to the reader.
    pub fn note(&mut self, text: impl Into<String>) {
        self.notes.push(text.into());
    }

    /// All of them as one.
    #[must_use]
    pub fn join(parts: impl IntoIterator<Item = Self>) -> Self {
        let mut all = Self::default();
        for Self { entries, failures, notes } in parts {
            all.entries.extend(entries);
            all.failures.extend(failures);
            all.notes.extend(notes);
        }
        all.entries.sort_by_key(|entry| entry.name);
        all
    }

    /// Reads a results.
    ///
    /// # Errors
    /// Where there is none.
    pub fn read(path: &Path) -> Result<Self> {
        let text = std::fs::read(path).with_context(|| format!("read {}", path.display()))?;
        serde_json::from_slice(&text).with_context(|| format!("parse {}", path.display()))
    }

    /// Leaves it for the report.
    ///
    /// # Errors
    /// Where it cannot be written.
    pub fn write(&self, path: &Path) -> Result<()> {
        write_json(path, self)
    }
}

/// Writes a JSON file that a person can read, whole or not at all.
///
/// # Errors
/// Where it cannot be written.
pub fn write_json(path: &Path, value: &impl Serialize) -> Result<()> {
    let directory =
        path.parent().filter(|it| !it.as_os_str().is_empty()).unwrap_or_else(|| Path::new("."));
    std::fs::create_dir_all(directory).with_context(|| format!("make {}", directory.display()))?;
    let mut file = tempfile::Builder::new()
        .permissions(mode())
        .tempfile_in(directory)
        .context("make a temporary file")?;
    serde_json::to_writer_pretty(&mut file, value)
        .with_context(|| format!("write {}", path.display()))?;
    file.write_all(b"\n").with_context(|| format!("write {}", path.display()))?;
    file.persist(path).with_context(|| format!("write {}", path.display()))?;
    Ok(())
}

fn mode() -> std::fs::Permissions {
    use std::os::unix::fs::PermissionsExt;
    std::fs::Permissions::from_mode(0o644)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::budget::Metric;

    #[test]
    fn parts_are_joined_in_the_order_of_the_report() {
        let mut one = Results::default();
        one.take("pods", Ok(vec![Metric::PodStartAdded.measured(1.0)]));
        one.note("a note");
        let mut other = Results::default();
        other.take("agent", Ok(vec![Metric::AgentRss.measured(1.0)]));
        other.take("webhook", Err(anyhow::anyhow!("refused").context("connect")));
        let all = Results::join([one, other]);
        assert_eq!(
            all.entries.iter().map(|it| it.name).collect::<Vec<_>>(),
            [Metric::AgentRss, Metric::PodStartAdded]
        );
        assert_eq!(
            (all.failures, all.notes),
            (vec!["webhook: connect: refused".to_owned()], vec!["a note".to_owned()])
        );
    }

    #[test]
    fn a_part_comes_back_as_it_went() {
        let temp = tempfile::tempdir().unwrap();
        let path = temp.path().join("new").join("results.json");
        let mut results = Results::default();
        results.take("agent", Ok(vec![Metric::AgentRss.measured(1.5).beside(Some(("peer", 3.0)))]));
        results.write(&path).unwrap();
        assert_eq!(Results::read(&path).unwrap(), results);
        assert!(
            Results::read(&temp.path().join("none")).unwrap_err().to_string().starts_with("read ")
        );
    }
}
