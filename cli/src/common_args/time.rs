//! Times on the command line: absolute, or as a distance from now.

use std::time::Duration;

use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;

/// A time, or a distance from now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TimeOrSpan {
    /// A time.
    At(Timestamp),
    /// A distance from now, in whichever direction the argument means.
    Span(Duration),
}

impl TimeOrSpan {
    /// Parses a date (2026-01-31), a time, or a distance (30m, 2h, 7d, 2w). A date, and a time
    /// without an offset, is in UTC like every time that is printed.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        if let Ok(at) = text.parse() {
            return Some(Self::At(at));
        }
        if let Ok(at) = text.parse::<DateTime>()
            && let Ok(at) = at.to_zoned(TimeZone::UTC)
        {
            return Some(Self::At(at.timestamp()));
        }
        let unit = text.chars().last()?;
        let seconds: u64 = match unit {
            's' => 1,
            'm' => 60,
            'h' => 3600,
            'd' => 86_400,
            'w' => 604_800,
            _ => return None,
        };
        let count: u64 = text[..text.len() - 1].parse().ok()?;
        count.checked_mul(seconds).map(|seconds| Self::Span(Duration::from_secs(seconds)))
    }

    /// The time, where a distance is one after `now`.
    pub(crate) fn after(self, now: Timestamp) -> Timestamp {
        match self {
            Self::At(at) => at,
            Self::Span(span) => now.checked_add(span).unwrap_or(Timestamp::MAX),
        }
    }

    /// The time, where a distance is one before `now`.
    pub(crate) fn before(self, now: Timestamp) -> Timestamp {
        match self {
            Self::At(at) => at,
            Self::Span(span) => now.checked_sub(span).unwrap_or(Timestamp::MIN),
        }
    }
}

/// Parses a time that usually is in the future.
pub(crate) fn parse_future(text: &str) -> Result<TimeOrSpan, String> {
    TimeOrSpan::parse(text).ok_or_else(|| {
        "must be a date such as 2027-01-31, a time such as 2027-01-31T12:00:00Z, or how long from \
         now: 12h, 90d or 52w"
            .to_owned()
    })
}

/// Parses a time in the past.
pub(crate) fn parse_past(text: &str) -> Result<TimeOrSpan, String> {
    TimeOrSpan::parse(text).ok_or_else(|| {
        "must be a date such as 2026-01-31, a time such as 2026-01-31T12:00:00Z, or how long ago: \
         12h, 90d or 52w"
            .to_owned()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn absolute_and_relative_times_are_parsed() {
        let now: Timestamp = "2026-01-31T12:00:00Z".parse().unwrap();
        for (text, before, after) in [
            ("2h", "2026-01-31T10:00:00Z", "2026-01-31T14:00:00Z"),
            ("7d", "2026-01-24T12:00:00Z", "2026-02-07T12:00:00Z"),
            ("2026-01-30T00:00:00+01:00", "2026-01-29T23:00:00Z", "2026-01-29T23:00:00Z"),
            ("2026-01-30", "2026-01-30T00:00:00Z", "2026-01-30T00:00:00Z"),
            ("2026-01-30T12:30", "2026-01-30T12:30:00Z", "2026-01-30T12:30:00Z"),
            ("2026-01-30T12:30:15", "2026-01-30T12:30:15Z", "2026-01-30T12:30:15Z"),
        ] {
            let parsed = TimeOrSpan::parse(text).unwrap();
            assert_eq!(parsed.before(now).to_string(), before);
            assert_eq!(parsed.after(now).to_string(), after);
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
            assert_eq!(TimeOrSpan::parse(text), None, "{text}");
        }
        let longest = TimeOrSpan::Span(Duration::MAX);
        assert_eq!((longest.before(now), longest.after(now)), (Timestamp::MIN, Timestamp::MAX));
    }
}
