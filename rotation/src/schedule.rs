//! When a secret is rotated by itself: a cron expression and a window after each of its times.
//!
//! A rotation begins once within the window, at a moment that follows from the secret's name, so
//! that many secrets with one schedule do not change at once. Nothing but a window begins one: what
//! is first seen, changed or started counts from now on, and a window that was missed waits for the
//! next one and is [`Status::Overdue`] meanwhile.

mod times;

use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::waves::Place;

pub use times::{ScheduleError, Times};

/// The window where none is named.
pub const DEFAULT_WINDOW: Duration = Duration::from_secs(60 * 60);

/// The shortest window: switchyard looks several times within it.
pub const MIN_WINDOW: Duration = Duration::from_secs(60);

/// The longest window.
pub const MAX_WINDOW: Duration = Duration::from_secs(7 * 24 * 60 * 60);

/// A schedule as people write it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ScheduleText {
    /// Five fields: minute, hour, day of the month, month, day of the week.
    pub cron: String,
    /// The time zone by its IANA name; UTC where none is named.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub zone: Option<String>,
    /// How long after each of its times a rotation may begin; cut where the next one comes sooner.
    #[serde(default = "default_window")]
    pub window: Duration,
}

/// A schedule.
#[derive(Clone, Debug)]
pub struct Schedule {
    text: ScheduleText,
    times: Times,
}

/// What is known of a secret's schedule from before. It is stored.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ScheduleState {
    /// The schedule that this belongs to. With another one it counts from the start again.
    schedule: ScheduleText,
    /// Times after this one count: the last rotation, or when the schedule was first seen.
    after: Timestamp,
    /// The time whose window was tried, whatever came of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    tried: Option<Timestamp>,
}

/// What a schedule asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// Nothing, before this time.
    Waiting(Timestamp),
    /// A rotation now.
    Due {
        /// The schedule's time, for [`ScheduleState::tried`].
        of: Timestamp,
        /// The end of the window. After it, it is too late.
        until: Timestamp,
    },
    /// A window passed without a rotation that worked.
    Overdue {
        /// The schedule's first time that was missed.
        since: Timestamp,
        /// When it is tried next.
        next: Timestamp,
    },
}

impl Schedule {
    /// Reads a schedule.
    ///
    /// # Errors
    /// When the expression, the zone or the window is none.
    pub fn read(text: ScheduleText) -> Result<Self, ScheduleError> {
        if !(MIN_WINDOW..=MAX_WINDOW).contains(&text.window) {
            return Err(ScheduleError::Window(text.window));
        }
        let times = Times::read(&text.cron, text.zone.as_deref())?;
        Ok(Self { text, times })
    }

    /// What the schedule asks for, of the secret with this name. `state` is brought up to date:
    /// it must be stored where it has changed.
    ///
    /// A clock that was set forward may begin a rotation early, and once. After one that was set
    /// back by more than a window, the times count from the earlier time on.
    pub fn status(&self, secret: &str, state: &mut ScheduleState, now: Timestamp) -> Status {
        if state.schedule != self.text {
            *state = ScheduleState::new(self, now);
        }
        // Set back a little, what was done stays done; set back far, time begins again.
        let soon = now.checked_add(self.text.window).unwrap_or(Timestamp::MAX);
        if state.after > soon {
            state.after = now;
        }
        state.tried = state.tried.filter(|it| *it <= soon);
        let Some(first) = self.times.next_after(state.after) else {
            return Status::Waiting(Timestamp::MAX);
        };
        if first > now {
            return Status::Waiting(self.moment(secret, first));
        }
        let last = self.window_at(state.after, now).filter(|it| state.tried != Some(it.0));
        match last {
            Some((of, until)) if now >= self.moment(secret, of) => Status::Due { of, until },
            Some((of, _)) if of == first => Status::Waiting(self.moment(secret, of)),
            Some((of, _)) => Status::Overdue { since: first, next: self.moment(secret, of) },
            None => {
                let next = self.times.next_after(now).unwrap_or(Timestamp::MAX);
                Status::Overdue { since: first, next: self.moment(secret, next) }
            }
        }
    }

    /// The newest time after `after` whose window is open now, with the window's end.
    fn window_at(&self, after: Timestamp, now: Timestamp) -> Option<(Timestamp, Timestamp)> {
        let earliest = now.checked_sub(self.text.window).unwrap_or(Timestamp::MIN);
        let mut last = None;
        let mut at = self.times.next_after(after.max(earliest));
        while let Some(time) = at.filter(|it| *it <= now) {
            last = Some(time);
            at = self.times.next_after(time);
        }
        let end = |of| (of, self.window_end(of));
        last.map(end).filter(|(_, until)| now < *until)
    }

    fn window_end(&self, of: Timestamp) -> Timestamp {
        let end = of.checked_add(self.text.window).unwrap_or(Timestamp::MAX);
        self.times.next_after(of).map_or(end, |next| next.min(end))
    }

    /// When the secret is rotated in the window of this time.
    fn moment(&self, secret: &str, of: Timestamp) -> Timestamp {
        let window = of.duration_until(self.window_end(of)).as_millis();
        let offset = Place::of(secret).below(u64::try_from(window).unwrap_or_default());
        of.checked_add(Duration::from_millis(offset)).unwrap_or(Timestamp::MAX)
    }
}

impl ScheduleState {
    /// A secret whose schedule is seen for the first time. Nothing is due before its next time.
    #[must_use]
    pub fn new(schedule: &Schedule, now: Timestamp) -> Self {
        Self { schedule: schedule.text.clone(), after: now, tried: None }
    }

    /// Notes that the secret was rotated, by this schedule or by anybody.
    pub fn rotated(&mut self, now: Timestamp) {
        self.after = now;
    }

    /// Notes that a rotation was begun in the window of this time: one for each window.
    pub fn tried(&mut self, of: Timestamp) {
        self.tried = Some(of);
    }
}

fn default_window() -> Duration {
    DEFAULT_WINDOW
}

#[cfg(test)]
mod tests;
