//! What became of a generation in a pod, as an agent reports it.

use serde::{Deserialize, Serialize};

/// The outcome of a reload.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ReloadOutcome {
    /// No file changed, or the pod asked for no reload, or no application was there yet.
    NotNeeded,
    /// The signal was sent to a process that catches it.
    Signalled,
    /// The application has taken it: it answered the POST with 2xx, or, told over an interface of
    /// its own, that it has read its files again.
    Accepted,
    /// The files changed, and the application could not be notified.
    Failed,
}

/// Where putting a generation into effect failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FailedStep {
    /// It cannot become files: two bundles with one name, too much, a template that fails.
    Plan,
    /// The files could not be rendered or written, which may go well later.
    Write,
    /// The application could not be notified.
    Reload,
    /// A check failed. The files hold what they held before.
    Check,
    /// A step that this build does not know; only ever received.
    #[serde(other)]
    Unknown,
}

/// When a generation is checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum CheckStage {
    /// Before its files are written.
    Before,
    /// After the application was told of it.
    After,
    /// After it was restored, because a later one failed.
    Restored,
    /// One that this build does not know; only ever received.
    #[serde(other)]
    Unknown,
}

/// One check and its outcome.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CheckResult {
    /// The check, as the pod's annotation has it.
    pub check: String,
    /// Its outcome.
    pub outcome: CheckOutcome,
    /// Whether the application uses the new value, where the target can tell. A login that works
    /// proves the credential and not that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub in_use: Option<bool>,
    /// What was seen; never a value.
    pub detail: String,
}

/// The outcome of a check.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum CheckOutcome {
    /// It is true.
    Passed,
    /// It did not become true in time.
    Failed,
    /// It could not be looked at, which proves nothing.
    Skipped,
    /// One that this build does not know; only ever received.
    #[serde(other)]
    Unknown,
}
