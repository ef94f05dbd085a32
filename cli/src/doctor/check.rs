//! One thing that was checked.

use serde::Serialize;

/// How it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum State {
    Ok,
    Failed,
    Skipped,
}

/// What was checked, what was found, and the way out where it is not well. Never holds a value.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub(super) struct Check {
    pub(super) name: &'static str,
    pub(super) state: State,
    pub(super) detail: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) way_out: Option<String>,
}

impl Check {
    pub(super) fn ok(name: &'static str, detail: impl Into<String>) -> Self {
        Self { name, state: State::Ok, detail: detail.into(), way_out: None }
    }

    pub(super) fn failed(
        name: &'static str,
        detail: impl Into<String>,
        way_out: impl Into<String>,
    ) -> Self {
        Self { name, state: State::Failed, detail: detail.into(), way_out: Some(way_out.into()) }
    }

    pub(super) fn skipped(name: &'static str, detail: impl Into<String>) -> Self {
        Self { name, state: State::Skipped, detail: detail.into(), way_out: None }
    }
}
