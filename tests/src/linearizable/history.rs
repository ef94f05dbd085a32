//! What is recorded: calls, with what was asked, when, and what came back.

/// One call of one client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Call {
    /// When it was sent.
    pub from: u64,
    /// When its answer was there. Of a call without an answer it means nothing.
    pub until: u64,
    /// What was asked.
    pub action: Action,
    /// What was answered.
    pub answer: Answer,
}

/// What can be asked of one secret. Every value that is ever written is another one.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Action {
    /// Its active value.
    Read,
    /// The value of one version.
    ReadVersion(u64),
    /// A new version, active from then on.
    Write {
        /// The value.
        value: u64,
        /// What must hold.
        condition: Condition,
    },
    /// An older version becomes active again.
    Rollback(u64),
    /// It is gone until it is written or brought back.
    Delete(Condition),
    /// What was deleted is active again.
    Undelete,
}

/// What must hold of the active version.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Condition {
    /// Nothing.
    Any,
    /// There is none.
    Absent,
    /// There is one.
    Present,
    /// It is this one.
    Version(u64),
}

/// What can come back.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Answer {
    /// A value and its version.
    Value {
        /// The version.
        version: u64,
        /// The value.
        value: u64,
    },
    /// It was done, and this version is active now; zero after a delete.
    Done(u64),
    /// There is no such secret, or no such version.
    Missing,
    /// The condition does not hold, or there was nothing to bring back.
    Refused,
    /// Nobody knows: a crash, a timeout, a server's error.
    Unknown,
}
