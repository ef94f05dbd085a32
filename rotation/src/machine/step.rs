//! One external effect: begun, done, asked about, tried again.
//!
//! The row says that a step is running before anybody does it. Whoever takes over such a row asks
//! the target what is true, and repeats the step only if the target says that it was not done.

use std::time::Duration;

use super::effect::{Effect, Observations, Outcome, StepResult};
use super::state::{Open, Progress, Row, Step};
use crate::waves::Place;

/// The longest delay between two attempts.
pub(super) const MAX_DELAY: Duration = Duration::from_secs(60);

/// What came of driving a step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Driven {
    /// It is not known yet.
    Waiting,
    /// It was done.
    Done,
    /// The target refused it; why.
    Refused(String),
}

impl Open {
    fn is_in_flight(self) -> bool {
        matches!(self.progress, Progress::Running | Progress::Asking)
    }

    /// Whether it was certainly not done.
    pub(super) fn is_undone(&self) -> bool {
        matches!(self.progress, Progress::RunAt(_))
    }
}

/// Notes that another replica acts from now on. Whoever did a step may have died before or after
/// the target had it, so the target is asked.
pub(super) fn take_over(row: &mut Row, fence: u64, now: Duration) {
    if fence > row.fence {
        row.fence = fence;
        if let Some(open) = row.open.as_mut().filter(|it| it.is_in_flight()) {
            open.progress = Progress::AskAt(now);
        }
    }
}

/// Begins the step, or goes on with the one that is open.
pub(super) fn drive(
    row: &mut Row,
    step: Step,
    seen: &Observations,
    now: Duration,
    effects: &mut Vec<Effect>,
) -> Driven {
    if row.open.is_none() {
        run(row, step, 0, effects);
        return Driven::Waiting;
    }
    settle(row, seen, now, effects)
}

/// Goes on with the step that is open, whichever it is. With none there is nothing to wait for.
pub(super) fn settle(
    row: &mut Row,
    seen: &Observations,
    now: Duration,
    effects: &mut Vec<Effect>,
) -> Driven {
    let Some(open) = row.open else { return Driven::Done };
    let is_about = |it: &&Outcome| it.step == open.step && it.attempt == open.attempt;
    if let Some(outcome) = seen.outcome.as_ref().filter(is_about).filter(|_| open.is_in_flight()) {
        row.open = None;
        let tries = open.tries.saturating_add(1);
        let at = now.saturating_add(delay(row.id, tries));
        let progress = match &outcome.result {
            StepResult::Done => return Driven::Done,
            StepResult::Refused(why) => return Driven::Refused(why.clone()),
            StepResult::NotDone => Progress::RunAt(at),
            StepResult::Unclear => Progress::AskAt(at),
        };
        row.open = Some(Open { progress, tries, ..open });
        return Driven::Waiting;
    }
    match open.progress {
        Progress::AskAt(at) if now >= at => {
            row.open = Some(Open { progress: Progress::Asking, ..open });
            effects.push(Effect::Ask(open.step, open.attempt));
        }
        Progress::RunAt(at) if now >= at => run(row, open.step, open.tries, effects),
        _ => {}
    }
    Driven::Waiting
}

/// Drops a step that was certainly not done. Returns whether none is open now.
pub(super) fn drop_undone(row: &mut Row) -> bool {
    row.open = row.open.filter(|it| !it.is_undone());
    row.open.is_none()
}

fn run(row: &mut Row, step: Step, tries: u32, effects: &mut Vec<Effect>) {
    row.attempts = row.attempts.saturating_add(1);
    let attempt = row.attempts;
    row.is_set |= matches!(step, Step::Create | Step::Set);
    row.open = Some(Open { step, attempt, tries, progress: Progress::Running });
    effects.push(Effect::Run(step, attempt));
}

/// How long to wait after so many tries: twice as long each time, and up to a quarter less, so that
/// many rotations which failed together do not come back together.
fn delay(id: u64, tries: u32) -> Duration {
    let whole = Duration::from_secs(1 << tries.saturating_sub(1).min(6)).min(MAX_DELAY);
    let less = Place::of(&format!("{id}/{tries}")).below(250);
    whole.saturating_sub(whole.mul_f64(f64::from(u32::try_from(less).unwrap_or(0)) / 1000.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delays_grow_to_a_minute() {
        for (tries, longest) in [(0, 1), (1, 1), (2, 2), (4, 8), (7, 60), (u32::MAX, 60)] {
            for id in 0..50 {
                let longest = Duration::from_secs(longest);
                let delay = delay(id, tries);
                assert!(delay <= longest && delay >= longest.mul_f64(0.75), "{tries} {delay:?}");
            }
        }
    }
}
