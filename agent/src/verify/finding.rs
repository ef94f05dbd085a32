//! What one attempt of a check has found.

use contract::login_check::ConnectionMark;

/// A check that is not true, so far.
#[derive(Debug)]
pub(super) struct CheckFailure {
    /// What was seen; never a value.
    pub(super) detail: String,
    pub(super) kind: FailureKind,
}

/// What a check says that is not true.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum FailureKind {
    /// The new value is wrong, and stays so.
    Wrong,
    /// It may become true.
    NotYet,
    /// It cannot be looked at from here.
    CannotTell,
}

/// What a check that is true has seen.
#[derive(Debug)]
pub(super) struct Seen {
    pub(super) detail: String,
    pub(super) in_use: Option<bool>,
    /// The check's own connection to a server that numbers its connections.
    pub(super) mark: Option<ConnectionMark>,
}

impl From<String> for Seen {
    fn from(detail: String) -> Self {
        Self { detail, in_use: None, mark: None }
    }
}

impl From<String> for CheckFailure {
    fn from(detail: String) -> Self {
        Self { detail, kind: FailureKind::NotYet }
    }
}

/// A failure that stays, since it is in the files.
pub(super) fn wrong(detail: String) -> CheckFailure {
    CheckFailure { detail, kind: FailureKind::Wrong }
}
