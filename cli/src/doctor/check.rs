//! The result of one check.

use serde::Serialize;

/// Whether a check passed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum CheckState {
    Ok,
    Failed,
    Skipped,
}

/// The result of one check, with the way out of a failure. Never holds a secret value.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub(super) struct Check {
    pub(super) name: &'static str,
    pub(super) state: CheckState,
    pub(super) detail: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) way_out: Option<String>,
}

impl Check {
    pub(super) fn ok(name: &'static str, detail: impl Into<String>) -> Self {
        Self { name, state: CheckState::Ok, detail: detail.into(), way_out: None }
    }

    pub(super) fn failed(
        name: &'static str,
        detail: impl Into<String>,
        way_out: impl Into<String>,
    ) -> Self {
        Self {
            name,
            state: CheckState::Failed,
            detail: detail.into(),
            way_out: Some(way_out.into()),
        }
    }

    pub(super) fn skipped(name: &'static str, detail: impl Into<String>) -> Self {
        Self { name, state: CheckState::Skipped, detail: detail.into(), way_out: None }
    }
}
