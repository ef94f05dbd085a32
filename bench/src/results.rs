//! The results of one run of the program: a file that the report reads.
//!
//! There are several runs because they need different surroundings: the cluster's network
//! namespace, or a machine whose processors no cluster uses.

use std::path::Path;

use anyhow::{Context, Result, ensure};
use serde::{Deserialize, Serialize};

use crate::budget::Measurement;

/// What was measured, and what was not.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Results {
    /// The measurements.
    pub measurements: Vec<Measurement>,
    /// Measurements that failed, and why.
    pub failures: Vec<String>,
    /// Notes for the reader.
    pub notes: Vec<String>,
}

impl Results {
    /// Adds the measurements of a measurement, or the reason why it failed.
    pub fn take(&mut self, what: &str, found: Result<Vec<Measurement>>) {
        match found {
            Ok(measurements) => self.measurements.extend(measurements),
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
        for Self { measurements, failures, notes } in parts {
            all.measurements.extend(measurements);
            all.failures.extend(failures);
            all.notes.extend(notes);
        }
        all.measurements.sort_by_key(|it| it.metric);
        all
    }

    /// Checks that every measurement was made, and that there was one.
    ///
    /// # Errors
    /// The failures, or that nothing was measured.
    pub fn check(&self) -> Result<()> {
        ensure!(self.failures.is_empty(), "measurements failed: {}", self.failures.join("; "));
        ensure!(!self.measurements.is_empty(), "nothing was measured");
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
    if let Some(directory) = path.parent() {
        std::fs::create_dir_all(directory)
            .with_context(|| format!("create {}", directory.display()))?;
    }
    let mut text = serde_json::to_vec_pretty(value)?;
    text.push(b'\n');
    runtime::atomic_file::write(path, &text, 0o644)
        .with_context(|| format!("write {}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::budget::Metric;

    #[test]
    fn results_without_a_measurement_or_with_a_failure_fail() {
        let mut results = Results::default();
        assert_eq!(results.check().unwrap_err().to_string(), "nothing was measured");
        results.take("agent", Ok(vec![Metric::AgentRss.measurement(1.0)]));
        results.check().unwrap();
        results.take("webhook", Err(anyhow::anyhow!("refused")));
        assert!(results.check().unwrap_err().to_string().contains("webhook: refused"));
    }

    #[test]
    fn joined_results_are_in_the_order_of_the_report() {
        let mut one = Results::default();
        one.take("pods", Ok(vec![Metric::PodStartAdded.measurement(1.0)]));
        one.note("a note");
        let mut other = Results::default();
        other.take("agent", Ok(vec![Metric::AgentRss.measurement(1.0)]));
        other.take("webhook", Err(anyhow::anyhow!("refused").context("connect")));
        let all = Results::join([one, other]);
        assert_eq!(
            all.measurements.iter().map(|it| it.metric).collect::<Vec<_>>(),
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
        results.take(
            "agent",
            Ok(vec![Metric::AgentRss.measurement(1.5).with_baseline(Some(("peer", 3.0)))]),
        );
        results.write(&path).unwrap();
        assert_eq!(Results::read(&path).unwrap(), results);
        assert!(
            Results::read(&temp.path().join("none")).unwrap_err().to_string().starts_with("read ")
        );
    }
}
