//! The findings of a scan, for people and for programs.

use serde::Serialize;

use super::baseline::Baseline;
use super::finding::ScanFinding;
use crate::output::{Output, RED, YELLOW};

/// What a scan found. The JSON output.
#[derive(Debug, Default, Serialize)]
pub(super) struct Report {
    pub(super) findings: Vec<ScanFinding>,
    /// How many pods and pod templates were looked at.
    pub(super) templates: usize,
    /// How many findings an annotation or the baseline accepts.
    pub(super) accepted: usize,
}

impl Report {
    pub(super) fn drop_accepted(&mut self, baseline: &Baseline) {
        let before = self.findings.len();
        self.findings.retain(|finding| !baseline.has(finding));
        self.accepted += before - self.findings.len();
    }

    /// A line for each finding, as compilers print theirs, and the sum.
    pub(super) fn print(&self, output: &Output) {
        for finding in &self.findings {
            let ScanFinding { file, line, document, field, rule, confidence, .. } = finding;
            let style = if finding.is_certain() { RED } else { YELLOW };
            let message = finding.message();
            output.marked_line(
                &format!("{file}:{line}:"),
                style,
                &format!("{document}: {field}: {message} ({rule}, {confidence})"),
            );
        }
        let accepted = match self.accepted {
            0 => String::new(),
            count => format!(", {count} accepted"),
        };
        output.note(&format!(
            "{} found in {} pods and pod templates{accepted}",
            self.findings.len(),
            self.templates
        ));
    }
}
