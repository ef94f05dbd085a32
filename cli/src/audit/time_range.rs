//! A range of times, each absolute or relative to now.

use std::time::Duration;

use clap::Args;
use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;

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
            when.map_or_else(String::new, |when| format!("&{name}={}", when.at(now)))
        };
        part("since", &self.since) + &part("until", &self.until)
    }
}

/// An absolute time, or a duration before now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum TimeBound {
    At(Timestamp),
    Ago(Duration),
}

impl TimeBound {
    fn at(self, now: Timestamp) -> Timestamp {
        match self {
            Self::At(at) => at,
            Self::Ago(ago) => now.checked_sub(ago).unwrap_or(Timestamp::MIN),
        }
    }
}

impl std::str::FromStr for TimeBound {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if let Ok(at) = text.parse() {
            return Ok(Self::At(at));
        }
        // A date, or a time without an offset, is in UTC like every time of the audit log.
        if let Ok(at) = text.parse::<DateTime>()
            && let Ok(at) = at.to_zoned(TimeZone::UTC)
        {
            return Ok(Self::At(at.timestamp()));
        }
        let invalid = || {
            "must be a date such as 2026-01-31, a time such as 2026-01-31T12:00:00Z, or how long \
             ago: 30m, 2h or 7d"
                .to_owned()
        };
        let unit = text.chars().last().ok_or_else(invalid)?;
        let seconds: u64 = match unit {
            's' => 1,
            'm' => 60,
            'h' => 3600,
            'd' => 86_400,
            'w' => 604_800,
            _ => return Err(invalid()),
        };
        let count: u64 = text[..text.len() - 1].parse().map_err(|_| invalid())?;
        count
            .checked_mul(seconds)
            .map(|seconds| Self::Ago(Duration::from_secs(seconds)))
            .ok_or_else(invalid)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn absolute_and_relative_times_are_parsed() {
        let now: Timestamp = "2026-01-31T12:00:00Z".parse().unwrap();
        for (text, at) in [
            ("2h", "2026-01-31T10:00:00Z"),
            ("7d", "2026-01-24T12:00:00Z"),
            ("2026-01-30T00:00:00+01:00", "2026-01-29T23:00:00Z"),
            ("2026-01-30", "2026-01-30T00:00:00Z"),
            ("2026-01-30T12:30", "2026-01-30T12:30:00Z"),
            ("2026-01-30T12:30:15", "2026-01-30T12:30:15Z"),
        ] {
            assert_eq!(text.parse::<TimeBound>().unwrap().at(now).to_string(), at);
        }
        for text in [
            "",
            "h",
            "2x",
            "-2h",
            "2h3m",
            "yesterday",
            "2026-13-01",
            "2026-02-30",
            "2026",
            "30.01.2026",
            "12:00",
            "99999999999999999999d",
            "18446744073709551615w",
            "2\u{e4}",
        ] {
            assert!(text.parse::<TimeBound>().is_err(), "{text}");
        }
        let span = TimeRange { since: Some(TimeBound::Ago(Duration::from_secs(60))), until: None };
        assert_eq!(span.query(now), "&since=2026-01-31T11:59:00Z");
        assert_eq!(TimeBound::Ago(Duration::MAX).at(now), Timestamp::MIN);
    }
}
