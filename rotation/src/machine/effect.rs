//! What a transition is shown, and what it asks for.

use std::fmt;

use contract::Generation;

use crate::judge::Verdict;

use super::pod::PodView;
use super::state::{Reason, State, Step};

/// What is so now. Everything is a level, not a change: a transition may be asked as often as one
/// likes.
#[derive(Clone, Debug, PartialEq)]
pub struct Observations {
    /// The fence of the lease under which this replica acts. A process that starts takes a new one.
    pub fence: u64,
    /// Whether no other rollout of the bundle comes first.
    pub is_next: bool,
    /// What came of the external effect, where somebody did it or asked: once for each
    /// [`Effect::Run`] and [`Effect::Ask`], also when no answer came in time.
    pub outcome: Option<Outcome>,
    /// The pods of the bundle. `None` while they are not known, as after a start.
    pub pods: Option<Vec<PodView>>,
    /// What the requests say since the last [`Effect::Judge`].
    pub requests: Verdict,
    /// The sessions of the credential that is to end.
    pub sessions: Sessions,
    /// A newer generation of the bundle.
    pub newer: Option<Generation>,
    /// What a person asks for.
    pub command: Option<Command>,
}

/// What came of a [`Step`], from doing it or from asking the target.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// The step.
    pub step: Step,
    /// The attempt that it is about.
    pub attempt: u32,
    /// The result.
    pub result: StepResult,
}

/// The result of a [`Step`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StepResult {
    /// It was done, now or before.
    Done,
    /// It was certainly not done, and may be tried again.
    NotDone,
    /// It may have been done: no answer came.
    Unclear,
    /// It was not done, and trying again does not help; why, without a value.
    Refused(String),
}

/// The sessions that use a credential, at its target.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sessions {
    /// So many.
    Open(u64),
    /// The target can never tell.
    NotTold,
    /// The target did not answer.
    Unknown,
}

/// What a person asks for. The name is the person's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// Stop at this wave.
    Pause,
    /// Go on, with this wave from its beginning.
    Resume,
    /// Do not wait for the evidence of this wave and the later ones.
    Promote(String),
    /// Go back.
    RollBack(String),
    /// End the old credential though it is in use, and its sessions with it.
    EndSessions(String),
}

/// What a transition asks for. The row is written first, in one transaction with the records.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Do it. The row says that it was begun.
    Run(Step, u32),
    /// Ask the target whether this attempt was done.
    Ask(Step, u32),
    /// Tell every pod what it is to hold: for some it has changed.
    Tell,
    /// Begin to judge this wave's requests.
    Judge(usize),
    /// Write it to the audit log, and tell people.
    Record(Event),
}

/// What people are told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// The state changed.
    Entered(State),
    /// It goes back.
    GoesBack(Reason),
    /// A person did not wait for evidence.
    Promoted(String),
    /// There were no pods to try it on: the login of the test is all there is.
    NoPods,
    /// Both credentials stay valid, since somebody may still use the old one; what is missing.
    OverlapOpen(String),
    /// The target did not take a step after which nothing depends on it; why.
    StepRefused(Step, String),
    /// The new credential is left at the target.
    NewCredentialLeft(String),
    /// A person asked for the sessions of the old credential to be ended.
    EndsSessions(String),
}

/// Why there is no transition.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TransitionError {
    /// Another replica has taken over.
    #[error("move rotation: fence {seen} is older than fence {row}")]
    StaleFence {
        /// This replica's.
        seen: u64,
        /// The row's.
        row: u64,
    },
    /// The command does not fit the state.
    #[error("{command} rotation: it is {state}")]
    Command {
        /// What was asked for.
        command: &'static str,
        /// Where the rotation is.
        state: State,
    },
}

impl Command {
    pub(super) fn name(&self) -> &'static str {
        match self {
            Self::Pause => "pause",
            Self::Resume => "resume",
            Self::Promote(_) => "promote",
            Self::RollBack(_) => "roll back",
            Self::EndSessions(_) => "end sessions of",
        }
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Pending => f.write_str("pending"),
            Self::Creating => f.write_str("creating"),
            Self::Testing => f.write_str("testing"),
            Self::Canary(wave) => write!(f, "canary, wave {}", wave + 1),
            Self::Baking(wave) => write!(f, "baking, wave {}", wave + 1),
            Self::Paused(wave) => write!(f, "paused, wave {}", wave + 1),
            Self::Active => f.write_str("active"),
            Self::Draining => f.write_str("draining"),
            Self::Revoked => f.write_str("revoked"),
            Self::RollingBack => f.write_str("rolling back"),
            Self::RolledBack => f.write_str("rolled back"),
            Self::Failed => f.write_str("failed"),
            Self::Superseded => f.write_str("superseded"),
        }
    }
}
