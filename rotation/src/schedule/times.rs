//! The times of a cron expression in a time zone.
//!
//! The expression is read as a clock on the wall: in UTC, then each of its times is looked up in
//! the zone. A time that the spring change leaves out is taken after the gap, since a rotation must
//! not be left out with it; one that the autumn change has twice is taken the first time.

use std::time::Duration;

use cronexpr::{Crontab, FallbackTimezoneOption, MakeTimestamp, ParseOptions};
use jiff::tz::{TimeZone, TimeZoneDatabase};
use jiff::{Timestamp, civil};

use super::{MAX_WINDOW, MIN_WINDOW};

/// The shortest time between two times of a schedule. A rotation takes a while, and pods reload for
/// each one.
const MIN_PERIOD: Duration = Duration::from_secs(60 * 60);

/// How many times of a schedule are compared with [`MIN_PERIOD`].
const COMPARED: usize = 64;

/// Where the comparison begins, and the last year that is looked at.
const BEGIN: civil::Date = civil::date(2026, 1, 1);
const LAST_YEAR: i16 = 9000;

/// By how much a change of a zone's offset may move a time.
const MAX_SHIFT: Duration = Duration::from_secs(3 * 60 * 60);

/// How many times of the wall are looked up for the next one: an hour or more apart, those that
/// [`MAX_SHIFT`] may have moved, and some.
const MAX_LOOKED_UP: usize = 10;

/// Why a text is no schedule.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ScheduleError {
    /// Not five fields.
    #[error("read schedule {0:?}: must have five fields, and names its time zone beside them")]
    Fields(String),
    /// Fields that cron does not know.
    #[error("read schedule {0:?}: {1}")]
    Cron(String, String),
    /// A time zone that IANA does not know.
    #[error("find time zone {0:?}")]
    Zone(String),
    /// Times that come too often.
    #[error("read schedule {0:?}: must leave an hour between two rotations")]
    TooOften(String),
    /// No time at all, as on 30 February.
    #[error("read schedule {0:?}: has no time")]
    Never(String),
    /// A window that is too short or too long.
    #[error("read window {0:?}: must be {MIN_WINDOW:?} to {MAX_WINDOW:?}")]
    Window(Duration),
}

/// The times of a schedule.
#[derive(Clone, Debug)]
pub struct Times {
    crontab: Crontab,
    zone: TimeZone,
}

impl Times {
    /// Reads an expression and a zone's name; UTC where there is none.
    ///
    /// # Errors
    /// When either is none, or the times come too often.
    pub fn read(cron: &str, zone: Option<&str>) -> Result<Self, ScheduleError> {
        let text = || cron.chars().take(100).collect::<String>();
        if cron.split_whitespace().count() != 5 {
            return Err(ScheduleError::Fields(text()));
        }
        let mut options = ParseOptions::default();
        options.fallback_timezone_option = FallbackTimezoneOption::UTC;
        let crontab = cronexpr::parse_crontab_with(cron, options).map_err(|error| {
            // The last line says what is wrong; the others draw where.
            let why = error.to_string().lines().last().unwrap_or_default().trim().to_owned();
            ScheduleError::Cron(text(), why.trim_start_matches('^').trim().to_owned())
        })?;
        let zone = match zone {
            None => TimeZone::UTC,
            Some(name) => TimeZoneDatabase::bundled()
                .get(name)
                .map_err(|_| ScheduleError::Zone(name.chars().take(100).collect()))?,
        };
        let times = Self { crontab, zone };
        let begin = times.next_on_the_wall(BEGIN.at(0, 0, 0, 0));
        let some = std::iter::successors(begin, |it| times.next_on_the_wall(*it));
        let some: Vec<civil::DateTime> = some.take(COMPARED).collect();
        if some.is_empty() {
            return Err(ScheduleError::Never(text()));
        }
        let is_too_close = |two: &[civil::DateTime]| match two {
            [one, other] => one.duration_until(*other).unsigned_abs() < MIN_PERIOD,
            _ => false,
        };
        if some.windows(2).any(is_too_close) {
            return Err(ScheduleError::TooOften(text()));
        }
        Ok(times)
    }

    /// The first time after this one.
    #[must_use]
    pub fn next_after(&self, after: Timestamp) -> Option<Timestamp> {
        let time = |wall| self.zone.to_ambiguous_timestamp(wall).compatible().ok();
        if self.zone == TimeZone::UTC {
            return time(self.next_on_the_wall(self.zone.to_datetime(after))?);
        }
        let before = after.checked_sub(MAX_SHIFT).ok()?;
        let begin = self.next_on_the_wall(self.zone.to_datetime(before))?;
        let walls = std::iter::successors(Some(begin), |wall| self.next_on_the_wall(*wall));
        let times = walls.take(MAX_LOOKED_UP).filter_map(time);
        // What a gap has moved may come after the time that follows it.
        times.filter(|time| *time > after).take(2).min()
    }

    fn next_on_the_wall(&self, wall: civil::DateTime) -> Option<civil::DateTime> {
        if wall.year() > LAST_YEAR {
            return None;
        }
        let as_utc = TimeZone::UTC.to_timestamp(wall).ok()?;
        Some(self.crontab.find_next(MakeTimestamp(as_utc)).ok()?.datetime())
    }
}
