//! The flags of what history is kept.

use std::num::NonZeroU32;

use clap::Args as Group;
use jiff::SignedDuration;

use crate::secrets::HistoryPolicy;

/// The flags of how much history is kept.
#[derive(Clone, Copy, Debug, Group)]
pub struct PruningArgs {
    /// How many of the newest generations of a bundle are kept in any case
    #[arg(long, env = "ENCLII_KEEP_GENERATIONS", default_value = "100", value_name = "NUMBER")]
    pub keep_generations: NonZeroU32,
    /// How long everything is kept that was replaced, and what a pod held that was not seen since;
    /// for example 90d or 8760h
    #[arg(long, env = "ENCLII_KEEP_HISTORY", default_value = "90d", value_name = "DURATION",
        value_parser = history)]
    pub keep_history: SignedDuration,
    /// Destroy archived versions of secrets that were replaced longer than that ago, are in no
    /// generation that is kept, and are not among so many of the newest; without it, none is
    /// destroyed
    #[arg(long, env = "ENCLII_DESTROY_OLD_VERSIONS", value_name = "NUMBER")]
    pub destroy_old_versions: Option<NonZeroU32>,
}

impl PruningArgs {
    /// The policy.
    #[must_use]
    pub(crate) fn policy(self) -> HistoryPolicy {
        let Self { keep_generations, keep_history, destroy_old_versions } = self;
        HistoryPolicy {
            generations: keep_generations.get().into(),
            age: keep_history,
            versions: destroy_old_versions.map(|it| it.get().into()),
        }
    }
}

/// At least a day: whether a pod is there is known to half a day.
fn history(text: &str) -> Result<SignedDuration, String> {
    let age = runtime::args::duration(text).map_err(|error| error.to_string())?;
    if age >= SignedDuration::from_hours(24) {
        Ok(age)
    } else {
        Err("must be at least 1d".to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn history_is_kept_for_a_day_at_least() {
        assert_eq!(history("90d"), Ok(SignedDuration::from_hours(90 * 24)));
        assert_eq!(history("24h"), Ok(SignedDuration::from_hours(24)));
        for text in ["23h", "0s", "-90d", "", "soon"] {
            assert!(history(text).is_err(), "{text}");
        }
    }
}
