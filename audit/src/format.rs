//! The forms in which others read the trail. Each record is one line.
//!
//! What a program writes as `jsonl` is the record itself and can be verified; the others are for
//! the collectors that people have, and carry the record's number and hash along.

mod cef;
mod ocsf;
pub mod syslog;

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::Record;

/// A form of the trail.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
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

/// There is no such form.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the format is one of jsonl, ocsf and cef")]
pub struct FormatError;

impl Format {
    /// Every one.
    pub const ALL: [Self; 3] = [Self::Jsonl, Self::Ocsf, Self::Cef];

    /// The word.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Jsonl => "jsonl",
            Self::Ocsf => "ocsf",
            Self::Cef => "cef",
        }
    }

    /// What HTTP calls a body of such lines.
    #[must_use]
    pub fn media_type(self) -> &'static str {
        match self {
            Self::Jsonl | Self::Ocsf => "application/x-ndjson",
            Self::Cef => "text/plain; charset=utf-8",
        }
    }

    /// A record as one line, without a line end.
    #[must_use]
    pub fn line(self, record: &Record) -> String {
        match self {
            // A struct of texts and numbers always becomes JSON.
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

/// The version that formats name as the product's.
const VERSION: &str = env!("CARGO_PKG_VERSION");

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::fixture;

    #[test]
    fn the_forms_are_what_collectors_were_set_up_for() {
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

    proptest! {
        #[test]
        fn a_record_is_one_line_in_every_form(record in fixture::anything()) {
            for format in Format::ALL {
                let line = format.line(&record);
                prop_assert!(!line.chars().any(char::is_control), "{:?}", line);
                prop_assert_eq!(format.to_string().parse(), Ok(format));
            }
            prop_assert_eq!(serde_json::from_str::<Record>(&Format::Jsonl.line(&record)).unwrap(), record);
        }
    }
}
