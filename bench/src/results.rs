//! The results of one run of the program: a file that the report reads.
//!
//! There are several runs because they need different surroundings: the cluster's network
//! namespace, or a machine whose processors no cluster uses.

use std::io::Write;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use serde::{Deserialize, Serialize};

use crate::budget::Entry;

/// What was measured, and what was not.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Results {
    /// The measurements.
    pub entries: Vec<Entry>,
    /// Measurements that failed, and why.
    pub failures: Vec<String>,
    /// Notes for the reader.
    pub notes: Vec<String>,
}

impl Results {
    /// Adds the entries of a measurement, or the reason why it failed.
    pub fn take(&mut self, what: &str, found: Result<Vec<Entry>>) {
        match found {
            Ok(entries) => self.entries.extend(entries),
            Err(error) => self.failures.push(format!("{what}: {error:#}")),
        }
    }

    /// Adds a note.
    pub fn note(&mut self, text: impl Into<String>) {
        self.notes.push(text.into());
    }

    /// Joins several results, in the report's order.
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

    /// Checks that every measurement was made, and that there was one.
    ///
    /// # Errors
    /// The failures, or that nothing was measured.
    pub fn check(&self) -> Result<()> {
        ensure!(self.failures.is_empty(), "measurements failed: {}", self.failures.join("; "));
        ensure!(!self.entries.is_empty(), "nothing was measured");
        Ok(())
    }

    /// Reads a results file.
    ///
    /// # Errors
    /// If the file cannot be read or parsed.
    pub fn read(path: &Path) -> Result<Self> {
        let text = std::fs::read(path).with_context(|| format!("read {}", path.display()))?;
        serde_json::from_slice(&text).with_context(|| format!("parse {}", path.display()))
    }

    /// Writes a results file.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn write(&self, path: &Path) -> Result<()> {
        write_json(path, self)
    }
}

/// Writes an indented JSON file atomically.
///
/// # Errors
/// If it cannot be written.
pub fn write_json(path: &Path, value: &impl Serialize) -> Result<()> {
    let directory =
        path.parent().filter(|it| !it.as_os_str().is_empty()).unwrap_or_else(|| Path::new("."));
    std::fs::create_dir_all(directory)
        .with_context(|| format!("create {}", directory.display()))?;
    let mut file = tempfile::Builder::new()
        .permissions(mode())
        .tempfile_in(directory)
        .context("create a temporary file")?;
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
    fn results_without_a_measurement_or_with_a_failure_fail() {
        let mut results = Results::default();
        assert_eq!(results.check().unwrap_err().to_string(), "nothing was measured");
        results.take("agent", Ok(vec![Metric::AgentRss.measured(1.0)]));
        results.check().unwrap();
        results.take("webhook", Err(anyhow::anyhow!("refused")));
        assert!(results.check().unwrap_err().to_string().contains("webhook: refused"));
    }

    #[test]
    fn joined_results_are_in_the_order_of_the_report() {
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
    fn results_survive_a_round_trip() {
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
