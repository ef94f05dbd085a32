//! The secret that does one thing at a time.

use super::history::{Action, Answer, Condition};

/// Everything that is to be known of a secret. Versions count from one without a gap, through
/// deletes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct Register {
    values: Vec<u64>,
    // Zero where it was never written.
    current: u64,
    deleted: bool,
}

impl Register {
    /// What it answers, and what it is afterwards.
    pub(super) fn apply(&self, action: &Action) -> (Answer, Self) {
        let same = || self.clone();
        match action {
            Action::Read => {
                (self.active().map_or(Answer::Missing, |version| self.version(version)), same())
            }
            Action::ReadVersion(version) if self.active().is_some() => {
                (self.version(*version), same())
            }
            Action::ReadVersion(_) => (Answer::Missing, same()),
            Action::Write { value, condition } => match self.refusal(*condition) {
                Some(refusal) => (refusal, same()),
                None => {
                    let mut next = self.clone();
                    next.values.push(*value);
                    next.activate(self.next_version())
                }
            },
            Action::Rollback(version) if self.active().is_some() && self.has(*version) => {
                self.clone().activate(*version)
            }
            Action::Rollback(_) => (Answer::Missing, same()),
            Action::Delete(condition) => match (self.active(), self.refusal(*condition)) {
                (None, _) => (Answer::Missing, same()),
                (_, Some(refusal)) => (refusal, same()),
                (Some(_), None) => (Answer::Done(0), Self { deleted: true, ..same() }),
            },
            Action::Undelete if self.deleted => self.clone().activate(self.current),
            Action::Undelete => {
                (if self.current == 0 { Answer::Missing } else { Answer::Refused }, same())
            }
        }
    }

    /// The version that the next write makes.
    pub(super) fn next_version(&self) -> u64 {
        self.values.len() as u64 + 1
    }

    fn active(&self) -> Option<u64> {
        (self.current > 0 && !self.deleted).then_some(self.current)
    }

    fn has(&self, version: u64) -> bool {
        version > 0 && version < self.next_version()
    }

    fn version(&self, version: u64) -> Answer {
        let at = usize::try_from(version).ok().and_then(|number| number.checked_sub(1));
        at.and_then(|at| self.values.get(at))
            .map_or(Answer::Missing, |value| Answer::Value { version, value: *value })
    }

    fn refusal(&self, condition: Condition) -> Option<Answer> {
        let holds = match condition {
            Condition::Any => true,
            Condition::Absent => self.active().is_none(),
            // Who asks for a secret that must be there asks for one that is not.
            Condition::Present if self.active().is_none() => return Some(Answer::Missing),
            Condition::Present => true,
            Condition::Version(version) => self.active() == Some(version),
        };
        (!holds).then_some(Answer::Refused)
    }

    fn activate(mut self, version: u64) -> (Answer, Self) {
        self.current = version;
        self.deleted = false;
        (Answer::Done(version), self)
    }
}
