//! The way back: pods hold the stable generation again, then the new credential is taken back.

use std::time::Duration;

use super::effect::{Effect, Event, Observations, Sessions};
use super::enter;
use super::pod::PodView;
use super::state::{Reach, Reason, Row, State, Step};
use super::step::{Driven, drive, drop_undone, settle};
use crate::policy::Validity;

/// Begins the way back.
pub(super) fn go_back(row: &mut Row, reason: Reason, now: Duration, effects: &mut Vec<Effect>) {
    effects.push(Effect::Record(Event::GoesBack(reason.clone())));
    row.reason = Some(reason);
    row.is_overdue = false;
    enter(row, State::RollingBack, now, effects);
    if row.reach != Reach::Nobody {
        row.reach = Reach::Nobody;
        effects.push(Effect::Tell);
    }
}

/// Goes on with it.
pub(super) fn rolling_back(
    row: &mut Row,
    seen: &Observations,
    now: Duration,
    effects: &mut Vec<Effect>,
) {
    let is_late = now.saturating_sub(row.since) >= row.policy.timeouts.roll_back;
    let discard = row.open.filter(|it| it.step == Step::Discard);
    let missing = if discard.is_some_and(|it| !it.is_undone()) {
        None
    } else if discard.is_some() {
        // It is decided anew each time: a pod may have come back.
        in_use(row, seen)
    } else if !drop_undone(row) && settle(row, seen, now, effects) == Driven::Waiting {
        // What was begun must have ended before it is taken back.
        Some("a step was begun, and the target does not say what came of it".to_owned())
    } else if !row.is_set {
        return end(row, None, now, effects);
    } else {
        in_use(row, seen)
    };
    let left = match missing {
        Some(missing) => missing,
        None => match drive(row, Step::Discard, seen, now, effects) {
            Driven::Done => return end(row, None, now, effects),
            Driven::Refused(why) => return end(row, Some(why), now, effects),
            Driven::Waiting => "the target did not confirm that it is taken back".to_owned(),
        },
    };
    if is_late {
        end(row, Some(left), now, effects);
    }
}

/// Who may still use the new credential. Where only one is valid, nobody waits: the old one must
/// become valid again before anybody can use it.
fn in_use(row: &Row, seen: &Observations) -> Option<String> {
    if row.validity == Validity::One || !row.was_told {
        return None;
    }
    let Some(pods) = &seen.pods else { return Some("the pods are not known".to_owned()) };
    // A pod that said nothing, or is away, may hold what it was told.
    let may_hold = |it: &&PodView| {
        it.holds.is_none_or(|it| it == row.to) || (!it.is_connected && row.was_there(it.first_seen))
    };
    if let Some(pod) = pods.iter().find(may_hold) {
        return Some(format!("{}: may hold the new generation", pod.name));
    }
    match seen.sessions {
        Sessions::Open(0) | Sessions::NotTold => None,
        Sessions::Open(count) => Some(format!("{count} sessions use the new credential")),
        Sessions::Unknown => Some("the target does not say who uses the new credential".to_owned()),
    }
}

fn end(row: &mut Row, left: Option<String>, now: Duration, effects: &mut Vec<Effect>) {
    // What is at the target may still land or stay. A person must know.
    effects.retain(|it| left.is_none() || !matches!(it, Effect::Run(..) | Effect::Ask(..)));
    row.open = None;
    if let Some(left) = left {
        effects.push(Effect::Record(Event::NewCredentialLeft(left)));
    }
    let state = match row.reason {
        Some(Reason::Superseded) => State::Superseded,
        _ if row.was_told => State::RolledBack,
        _ => State::Failed,
    };
    enter(row, state, now, effects);
}
