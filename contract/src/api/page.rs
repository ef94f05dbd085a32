//! Lists come in pages.

use serde::{Deserialize, Serialize};

/// Which part of a list is asked for: query parameters that every list takes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::IntoParams))]
#[cfg_attr(feature = "schema", into_params(parameter_in = Query))]
#[serde(deny_unknown_fields)]
pub struct Page {
    /// How many at most.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(
        feature = "schema",
        param(minimum = 1, maximum = 1000, default = 100, example = 100)
    )]
    pub limit: Option<u32>,
    /// Where to go on: `next` of the page before, as it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(
        feature = "schema",
        param(min_length = 1, max_length = 1024, pattern = "^[A-Za-z0-9_-]+$")
    )]
    pub cursor: Option<String>,
}

impl Page {
    /// The default number of entries on a page.
    pub const DEFAULT: u32 = 100;
    /// The largest number of entries on a page.
    pub const MAX: u32 = 1000;
}
