//! Error bodies: RFC 9457 problem documents, `application/problem+json`.

use std::fmt;

use serde::{Deserialize, Serialize};

/// The media type of a problem document.
pub const MEDIA_TYPE: &str = "application/problem+json";

/// What went wrong, for a program (`kind`, `status`) and for a person (`title`, `detail`). It never
/// holds a value.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct Problem {
    /// The kind of problem: a relative reference that is the same in every version, as
    /// `/problems/denied`. RFC 9457 calls it `type`.
    #[serde(rename = "type", default = "blank")]
    pub kind: String,
    /// The kind in words.
    #[serde(default)]
    pub title: String,
    /// The HTTP status.
    #[serde(default)]
    pub status: u16,
    /// What went wrong this time, the thing it went wrong with, and the way out.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub detail: String,
    /// The request's trace id, which is in the audit log too.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub instance: Option<String>,
}

fn blank() -> String {
    "about:blank".to_owned()
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.detail.is_empty() {
            write!(f, "{} ({})", self.title, self.status)
        } else {
            write!(f, "{}: {}", self.title, self.detail)
        }
    }
}
