//! Findings that are accepted: the JSON output of an earlier scan.
//!
//! A finding is known by its file, object, field, name and rule. The line may change, and a hash of
//! the value would give a weak one away.

use std::collections::BTreeSet;
use std::path::Path;

use serde::Deserialize;

use super::finding::ScanFinding;
use crate::error::Error;

#[derive(Debug, Default)]
pub(super) struct Baseline(BTreeSet<Accepted>);

#[derive(Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
struct Accepted {
    file: String,
    document: String,
    namespace: Option<String>,
    field: String,
    name: String,
    rule: String,
}

impl Baseline {
    /// Reads a report.
    ///
    /// # Errors
    /// If the file can't be read or is no report.
    pub(super) fn read(path: &Path) -> Result<Self, Error> {
        #[derive(Deserialize)]
        struct EarlierReport {
            findings: BTreeSet<Accepted>,
        }
        let text = std::fs::read_to_string(path)
            .map_err(|source| Error::Read { path: path.to_owned(), source })?;
        let report: EarlierReport = serde_json::from_str(&text).map_err(|error| Error::Parse {
            path: path.to_owned(),
            reason: format!("not the JSON output of enclii scan, at line {}", error.line()),
        })?;
        Ok(Self(report.findings))
    }

    pub(super) fn has(&self, finding: &ScanFinding) -> bool {
        let ScanFinding { file, document, namespace, field, name, rule, .. } = finding;
        self.0.contains(&Accepted {
            file: file.clone(),
            document: document.clone(),
            namespace: namespace.clone(),
            field: field.clone(),
            name: name.clone(),
            rule: (*rule).to_owned(),
        })
    }
}
