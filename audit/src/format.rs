//! Export formats. Each record becomes one line.
//!
//! `jsonl` is the record itself and can be verified. The other formats are for log collectors and
//! include the record's sequence number and hash.

mod cef;
mod ocsf;
pub mod syslog;

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::Record;

/// An export format.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, strum::IntoStaticStr,
)]
#[strum(serialize_all = "lowercase")]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// The record as JSON.
    #[default]
    Jsonl,
    /// Open Cybersecurity Schema Framework 1.8: API Activity (6003), and Authentication (3002) for
    /// logins.
    Ocsf,
    /// ArcSight Common Event Format.
    Cef,
}

/// The format is unknown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the format is one of jsonl, ocsf and cef")]
pub struct FormatError;

impl Format {
    /// All formats.
    pub const ALL: [Self; 3] = [Self::Jsonl, Self::Ocsf, Self::Cef];

    /// The format's name in flags and configuration files.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        self.into()
    }

    /// The media type of a body of such lines.
    #[must_use]
    pub fn media_type(self) -> &'static str {
        match self {
            Self::Jsonl | Self::Ocsf => "application/x-ndjson",
            Self::Cef => "text/plain; charset=utf-8",
        }
    }

    /// The format of a line, if it is of one of them.
    #[must_use]
    pub fn detect(line: &str) -> Option<Self> {
        // Syslog puts a header before it.
        let is_cef = |text: &str| text.starts_with("CEF:0|") || text.contains(" CEF:0|");
        match serde_json::from_str::<serde_json::Value>(line) {
            Ok(value) if serde_json::from_value::<Record>(value.clone()).is_ok() => {
                Some(Self::Jsonl)
            }
            Ok(value) => {
                let is_ocsf = value.get("class_uid").is_some() && value.get("metadata").is_some();
                is_ocsf.then_some(Self::Ocsf)
            }
            Err(_) => is_cef(line).then_some(Self::Cef),
        }
    }

    /// Formats a record as one line, without a line ending.
    #[must_use]
    pub fn line(self, record: &Record) -> String {
        match self {
            // Strings and numbers always serialize.
            Self::Jsonl => serde_json::to_string(record).unwrap_or_default(),
            Self::Ocsf => ocsf::event(record).to_string(),
            Self::Cef => cef::line(record),
        }
    }
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Format {
    type Err = FormatError;

    fn from_str(text: &str) -> Result<Self, FormatError> {
        Self::ALL.into_iter().find(|format| format.as_str() == text).ok_or(FormatError)
    }
}

/// The product version that OCSF and CEF events carry.
const VERSION: &str = env!("CARGO_PKG_VERSION");

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::fixture;

    #[test]
    fn formats_stay_as_collectors_expect_them() {
        let mut text = String::new();
        for record in fixture::kinds() {
            for format in Format::ALL {
                text.push_str(&format.line(&record));
                text.push('\n');
            }
            text.push_str(&syslog::message(&record, Format::Cef, "replica-1"));
            text.push('\n');
        }
        let text = text
            .replace(&format!("|{VERSION}|"), "|VERSION|")
            .replace(&format!("\"version\":\"{VERSION}\"}}"), "\"version\":\"VERSION\"}");
        insta::assert_snapshot!(text);
    }

    #[test]
    fn other_lines_are_of_no_format() {
        for line in ["", "{}", "NUMBER  TIME", "[1]", "{\"sequence\":1}", "CEF:", "null"] {
            assert_eq!(Format::detect(line), None, "{line}");
        }
        let record = &fixture::kinds()[0];
        let message = syslog::message(record, Format::Cef, "replica-1");
        assert_eq!(Format::detect(&message), Some(Format::Cef));
    }

    proptest! {
        #[test]
        fn a_record_is_one_line_in_every_format(record in fixture::anything()) {
            for format in Format::ALL {
                let line = format.line(&record);
                prop_assert!(!line.chars().any(char::is_control), "{:?}", line);
                prop_assert_eq!(format.to_string().parse(), Ok(format));
                prop_assert_eq!(Format::detect(&line), Some(format));
            }
            let read: Record = serde_json::from_str(&Format::Jsonl.line(&record)).unwrap();
            prop_assert_eq!(read, record);
        }
    }
}
