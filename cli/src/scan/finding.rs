//! One finding of a scan.

use serde::Serialize;

/// A credential in plain text: where it is, and never what it is.
#[derive(Debug, Serialize)]
pub(super) struct ScanFinding {
    /// The file as it was named; `-` is standard input.
    pub(super) file: String,
    pub(super) line: usize,
    /// The kind and the name of the object.
    pub(super) document: String,
    pub(super) namespace: Option<String>,
    /// The path of the field in the object.
    pub(super) field: String,
    pub(super) container: Option<String>,
    /// The variable, option, header or annotation; empty if it has none.
    pub(super) name: String,
    pub(super) rule: &'static str,
    /// What it is, with an article.
    pub(super) what: &'static str,
    /// `certain` or `likely`.
    pub(super) confidence: &'static str,
}

impl ScanFinding {
    pub(super) fn is_certain(&self) -> bool {
        self.confidence == "certain"
    }

    /// What is wrong, in a sentence without its place.
    pub(super) fn message(&self) -> String {
        let (verb, what) = (if self.is_certain() { "is" } else { "looks like" }, self.what);
        let subject = if self.name.is_empty() { "the text" } else { &self.name };
        format!("{subject} {verb} {what} in plain text")
    }
}
