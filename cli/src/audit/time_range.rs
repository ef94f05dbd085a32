//! A range of times, each absolute or relative to now.

use clap::Args;
use jiff::Timestamp;

use crate::common_args::TimeOrSpan;

/// A range of times.
#[derive(Debug, Clone, Args)]
pub(crate) struct TimeRange {
    /// Only events from this time on: a date (2026-11-01, UTC), RFC 3339, or how long ago (30m, 2h,
    /// 7d).
    #[arg(long, value_name = "TIME")]
    since: Option<TimeBound>,
    /// Only events before this time; a date is its beginning.
    #[arg(long, value_name = "TIME")]
    until: Option<TimeBound>,
}

impl TimeRange {
    /// The query parameters, `&since=…&until=…`.
    pub(crate) fn query(&self, now: Timestamp) -> String {
        let part = |name: &str, when: &Option<TimeBound>| {
            when.map_or_else(String::new, |TimeBound(when)| format!("&{name}={}", when.before(now)))
        };
        part("since", &self.since) + &part("until", &self.until)
    }
}

/// An absolute time, or how long ago.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct TimeBound(TimeOrSpan);

impl std::str::FromStr for TimeBound {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        TimeOrSpan::parse(text).map(Self).ok_or_else(|| {
            "must be a date such as 2026-01-31, a time such as 2026-01-31T12:00:00Z, or how long \
             ago: 30m, 2h or 7d"
                .to_owned()
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bounds_are_times_in_the_past() {
        let now: Timestamp = "2026-01-31T12:00:00Z".parse().unwrap();
        let span = TimeRange { since: Some("1m".parse().unwrap()), until: None };
        assert_eq!(span.query(now), "&since=2026-01-31T11:59:00Z");
        let error = "yesterday".parse::<TimeBound>().unwrap_err();
        assert!(error.contains("how long ago"), "{error}");
    }
}
