//! When a secret was last read.

use jiff::Timestamp;

/// The last read by each kind of reader, so far as the audit log is counted. `None` where there was
/// none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LastRead {
    /// In a delivery to a pod.
    pub by_pod: Option<Timestamp>,
    /// By a person.
    pub by_person: Option<Timestamp>,
    /// By a token, or by a job of a CI system.
    pub by_program: Option<Timestamp>,
}

impl LastRead {
    /// The later read of each kind.
    #[must_use]
    pub fn latest(self, other: Self) -> Self {
        Self {
            by_pod: self.by_pod.max(other.by_pod),
            by_person: self.by_person.max(other.by_person),
            by_program: self.by_program.max(other.by_program),
        }
    }

    /// Without what was read before `start`: of another secret with the same name.
    #[must_use]
    pub fn since(self, start: Timestamp) -> Self {
        let keep = |at: Option<Timestamp>| at.filter(|at| *at >= start);
        Self {
            by_pod: keep(self.by_pod),
            by_person: keep(self.by_person),
            by_program: keep(self.by_program),
        }
    }
}
