//! Lived time: a clock that counts only while switchyard runs.

use std::time::Duration;

use jiff::SignedDuration;

/// Milliseconds that switchyard has run with this ledger. Setting the system's clock does not move
/// it, and it stands still while no replica runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct LivedTime(pub(super) i64);

impl LivedTime {
    /// The most that the stored lived time lags behind: it is advanced at least this often, and
    /// never by more at once.
    pub const MAX_STEP: Duration = Duration::from_secs(30);

    /// The latest lived time that is surely `age` ago.
    #[must_use]
    pub fn before(self, age: SignedDuration) -> Self {
        let age = i64::try_from(age.as_millis()).unwrap_or(i64::MAX);
        Self(self.0.saturating_sub(age).saturating_sub(MAX_STEP_MILLIS))
    }
}

/// [`LivedTime::MAX_STEP`] in milliseconds.
pub(super) const MAX_STEP_MILLIS: i64 = 30_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_age_includes_the_lag_of_the_stored_time() {
        assert_eq!(i128::from(MAX_STEP_MILLIS), LivedTime::MAX_STEP.as_millis().cast_signed());
        let hour = SignedDuration::from_hours(1);
        assert_eq!(LivedTime(3_600_000 + MAX_STEP_MILLIS).before(hour), LivedTime(0));
        assert_eq!(LivedTime(i64::MIN).before(SignedDuration::MAX), LivedTime(i64::MIN));
    }
}
