//! After the promotion: the old credential ends when nobody uses it.

use std::time::Duration;

use super::effect::{Effect, Event, Observations, Sessions};
use super::enter;
use super::state::{Open, Progress, Row, State, Step};
use super::step::{Driven, MAX_DELAY, drive};
use crate::policy::Validity;

/// Everybody is told to hold the target generation; the target is told which one is current.
pub(super) fn active(row: &mut Row, seen: &Observations, now: Duration, effects: &mut Vec<Effect>) {
    match drive(row, Step::Finish, seen, now, effects) {
        Driven::Waiting => return,
        Driven::Done => {}
        // The pods have the new credential, whatever the target calls it.
        Driven::Refused(why) => {
            effects.push(Effect::Record(Event::StepRefused(Step::Finish, why)));
        }
    }
    enter(row, State::Draining, now, effects);
}

/// The old credential stays valid until nobody uses it, or a person ends it all the same.
pub(super) fn draining(
    row: &mut Row,
    seen: &Observations,
    now: Duration,
    effects: &mut Vec<Effect>,
) {
    let step = if row.ends_sessions { Step::RevokeWithSessions } else { Step::Revoke };
    if row.open.is_some_and(|it| it.is_undone() && it.step != step) {
        row.open = None;
    }
    // What is not under way is decided anew each time: a pod may have come back.
    if row.open.is_none_or(|it| it.is_undone()) {
        if let Some(missing) = in_use(row, seen, now).filter(|_| !row.ends_sessions) {
            row.open = None;
            if passed(row, now) >= row.policy.timeouts.drain {
                say_overlap(row, missing, effects);
            }
            return;
        }
        // Setting the new one has ended the old one.
        if row.validity == Validity::One {
            return enter(row, State::Revoked, now, effects);
        }
    }
    match drive(row, step, seen, now, effects) {
        Driven::Waiting => {}
        Driven::Done => enter(row, State::Revoked, now, effects),
        // Nothing else ends it. So it is said, and tried again: a person may mend the target.
        Driven::Refused(why) => {
            let attempt = row.attempts;
            let progress = Progress::RunAt(now.saturating_add(MAX_DELAY));
            row.open = Some(Open { step, attempt, tries: u32::MAX, progress });
            say_overlap(row, format!("the target does not end it: {why}"), effects);
        }
    }
}

fn say_overlap(row: &mut Row, missing: String, effects: &mut Vec<Effect>) {
    if !row.is_overdue {
        row.is_overdue = true;
        effects.push(Effect::Record(Event::OverlapOpen(missing)));
    }
}

/// Who may still use the old credential. `None` if nobody does.
fn in_use(row: &Row, seen: &Observations, now: Duration) -> Option<String> {
    let Some(pods) = &seen.pods else { return Some("the pods are not known".to_owned()) };
    if let Some(pod) = pods.iter().find(|it| it.holds != Some(row.to)) {
        return Some(format!("{}: does not hold the new generation", pod.name));
    }
    if row.validity == Validity::One {
        return None;
    }
    match seen.sessions {
        Sessions::Open(0) => None,
        Sessions::Open(count) => Some(format!("{count} sessions use the old credential")),
        Sessions::Unknown => Some("the target does not say who uses the old credential".to_owned()),
        Sessions::NotTold if passed(row, now) >= row.policy.timeouts.overlap => None,
        Sessions::NotTold => Some("the target cannot say who uses the old credential".to_owned()),
    }
}

fn passed(row: &Row, now: Duration) -> Duration {
    now.saturating_sub(row.since)
}
