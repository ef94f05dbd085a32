//! The agent's own metrics, for a pod that asks for them: numbers about its bundles, and no name of
//! a secret. Without a port there is neither a listener nor a task.

mod answer;
mod exposition;
mod port;

use contract::agent_status::BundleStatus;
use contract::stream::{CheckOutcome, CheckStage, FailedStep, ReloadOutcome};

pub(crate) use port::{open, serve};

/// What a reload of this agent ends in.
const RELOAD_OUTCOMES: [ReloadOutcome; 4] = [
    ReloadOutcome::NotNeeded,
    ReloadOutcome::Signalled,
    ReloadOutcome::Accepted,
    ReloadOutcome::Failed,
];

/// When this agent checks.
const STAGES: [CheckStage; 3] = [CheckStage::Before, CheckStage::After, CheckStage::Restored];

/// What a check of this agent ends in.
const CHECK_OUTCOMES: [CheckOutcome; 3] =
    [CheckOutcome::Passed, CheckOutcome::Failed, CheckOutcome::Skipped];

/// Where a generation fails in this agent.
const STEPS: [FailedStep; 4] =
    [FailedStep::Plan, FailedStep::Write, FailedStep::Reload, FailedStep::Check];

/// What is true of the agent now.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct AgentMetrics {
    /// Whether the source of the secrets answers.
    pub(crate) is_connected: bool,
    /// What the files hold.
    pub(crate) bundles: Vec<BundleStatus>,
    /// How many generations that are newer than what the files hold failed a check.
    pub(crate) refused: usize,
    /// What happened since the agent started.
    pub(crate) counts: Counts,
}

/// What happened since the agent started. Every combination is there from the beginning, so that a
/// query sees the first one too.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    reloads: [u64; RELOAD_OUTCOMES.len()],
    checks: [[u64; CHECK_OUTCOMES.len()]; STAGES.len()],
    failed: [u64; STEPS.len()],
    restored: u64,
}

impl Counts {
    /// The application was told, or could not be.
    pub(crate) fn reloaded(&mut self, outcome: ReloadOutcome) {
        add_one(&mut self.reloads, &RELOAD_OUTCOMES, outcome);
    }

    /// A check has ended.
    pub(crate) fn checked(&mut self, stage: CheckStage, outcome: CheckOutcome) {
        if let Some(at) = STAGES.iter().position(|it| *it == stage)
            && let Some(counts) = self.checks.get_mut(at)
        {
            add_one(counts, &CHECK_OUTCOMES, outcome);
        }
    }

    /// A generation did not come into use.
    pub(crate) fn failed(&mut self, step: FailedStep) {
        add_one(&mut self.failed, &STEPS, step);
    }

    /// The files hold the generation before again.
    pub(crate) fn restored(&mut self) {
        self.restored += 1;
    }
}

fn add_one<T: PartialEq>(counts: &mut [u64], kinds: &[T], kind: T) {
    let count = kinds.iter().position(|it| *it == kind).and_then(|at| counts.get_mut(at));
    if let Some(count) = count {
        *count += 1;
    }
}
