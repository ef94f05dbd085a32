//! The words of outcomes, as messages, the audit log and people have them.

use super::{CheckOutcome, CheckStage, FailedStep, ReloadOutcome};

impl ReloadOutcome {
    /// The word, as messages have it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::NotNeeded => "not-needed",
            Self::Signalled => "signalled",
            Self::Accepted => "accepted",
            Self::Failed => "failed",
        }
    }
}

impl FailedStep {
    /// The word, as messages have it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Plan => "plan",
            Self::Write => "write",
            Self::Reload => "reload",
            Self::Check => "check",
            Self::Unknown => "unknown",
        }
    }
}

impl CheckStage {
    /// The word, as messages have it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Before => "before",
            Self::After => "after",
            Self::Restored => "restored",
            Self::Unknown => "unknown",
        }
    }
}

impl CheckOutcome {
    /// The word, as messages have it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Passed => "passed",
            Self::Failed => "failed",
            Self::Skipped => "skipped",
            Self::Unknown => "unknown",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_is_the_one_of_messages() {
        macro_rules! check {
            ($($word:expr),+ $(,)?) => { $(
                let json = serde_json::to_string(&$word).unwrap();
                assert_eq!(json, format!("\"{}\"", $word.as_str()));
            )+ };
        }
        check!(
            ReloadOutcome::NotNeeded,
            ReloadOutcome::Signalled,
            ReloadOutcome::Accepted,
            ReloadOutcome::Failed,
            FailedStep::Plan,
            FailedStep::Write,
            FailedStep::Reload,
            FailedStep::Check,
            CheckStage::Before,
            CheckStage::After,
            CheckStage::Restored,
            CheckOutcome::Passed,
            CheckOutcome::Failed,
            CheckOutcome::Skipped,
        );
    }
}
