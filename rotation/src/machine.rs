//! The states of a rotation and the transitions between them.
//!
//! [`transition`] takes a row, what is so now and the time, and returns the next row with what is
//! to be done. It may be called at any time and as often as one likes. Whoever calls it writes the
//! row first, and only then does what was asked for:
//!
//! ```text
//! pending → creating → testing → canary ⇄ baking → active → draining → revoked
//!                  └────────┴───────┴── paused ─────┴───────┘
//!                          rolling back → rolled back, failed, superseded
//! ```
//!
//! After a crash the next replica finds a step that was begun, and asks the target what is true
//! before it repeats it. Times are lived time, in which a clock that is set changes nothing and in
//! which nothing passes while switchyard does not run.

mod back;
mod command;
mod drain;
mod effect;
mod pod;
mod state;
mod step;
mod wave;

use std::time::Duration;

use crate::judge::Baseline;
use crate::policy::Urgency;

use back::{go_back, rolling_back};
use drain::{active, draining};
use step::{Driven, drive, take_over};
use wave::{baking, begin_waves, canary, paused};

pub use effect::{
    Command, Effect, Event, Observations, Outcome, Sessions, StepResult, TransitionError,
};
pub use pod::{Checks, PodView};
pub use state::{Open, Progress, Reach, Reason, Request, Row, State, Step};

/// The next row, and what is to be done once it is written. Nothing changes where both are as
/// before.
///
/// # Errors
/// When another replica has taken over, and for a command that does not fit the state.
pub fn transition(
    row: &Row,
    seen: &Observations,
    now: Duration,
) -> Result<(Row, Vec<Effect>), TransitionError> {
    if seen.fence < row.fence {
        return Err(TransitionError::StaleFence { seen: seen.fence, row: row.fence });
    }
    let (mut row, mut effects) = (row.clone(), Vec::new());
    if let Some(command) = &seen.command {
        command::obey(&mut row, command, now, &mut effects)?;
    }
    if row.state.is_end() {
        return Ok((row, effects));
    }
    take_over(&mut row, seen.fence, now);
    if seen.newer.is_some_and(|newer| newer > row.to) && can_be_superseded(row.state) {
        go_back(&mut row, Reason::Superseded, now, &mut effects);
    }
    match row.state {
        State::Pending => pending(&mut row, seen, now, &mut effects),
        State::Creating => creating(&mut row, seen, now, &mut effects),
        State::Testing => testing(&mut row, seen, now, &mut effects),
        State::Canary(wave) => canary(&mut row, wave, seen, now, &mut effects),
        State::Baking(wave) => baking(&mut row, wave, seen, now, &mut effects),
        State::Paused(_) => paused(&mut row, seen, now, &mut effects),
        State::Active => active(&mut row, seen, now, &mut effects),
        State::Draining => draining(&mut row, seen, now, &mut effects),
        State::RollingBack => rolling_back(&mut row, seen, now, &mut effects),
        State::Revoked | State::RolledBack | State::Failed | State::Superseded => {}
    }
    Ok((row, effects))
}

/// What a wave's requests are held against. While the stable credential does not work, the pods
/// that have it are no measure, and whoever repairs it must get through.
#[must_use]
pub fn baseline(row: &Row, stable_works: Option<bool>) -> Baseline {
    if row.urgency == Urgency::Emergency || stable_works == Some(false) {
        Baseline::Budget
    } else {
        Baseline::Rest
    }
}

/// Once everybody is to have it, the newer one waits for its turn.
fn can_be_superseded(state: State) -> bool {
    matches!(
        state,
        State::Pending
            | State::Creating
            | State::Testing
            | State::Canary(_)
            | State::Baking(_)
            | State::Paused(_)
    )
}

fn pending(row: &mut Row, seen: &Observations, now: Duration, effects: &mut Vec<Effect>) {
    if seen.is_next {
        row.started = Some(now);
        enter(row, State::Creating, now, effects);
        creating(row, seen, now, effects);
    }
}

fn creating(row: &mut Row, seen: &Observations, now: Duration, effects: &mut Vec<Effect>) {
    // Between two steps none is open, and the one that was done says which comes next.
    let step = row.open.map_or(Step::Create, |it| it.step);
    match (drive(row, step, seen, now, effects), step) {
        (Driven::Done, Step::Create) => _ = drive(row, Step::Set, seen, now, effects),
        (Driven::Done, _) => enter(row, State::Testing, now, effects),
        (Driven::Refused(why), _) => return go_back(row, Reason::Provider(why), now, effects),
        (Driven::Waiting, _) => {}
    }
    if is_late(row, row.policy.timeouts.create, now) && row.state == State::Creating {
        let missing = "the credential is not set at its target".to_owned();
        go_back(row, Reason::Timeout(missing), now, effects);
    }
}

fn testing(row: &mut Row, seen: &Observations, now: Duration, effects: &mut Vec<Effect>) {
    // Whom the first wave reaches must be known when the login works; else somebody logs in again.
    if seen.pods.is_some() || row.open.is_some() {
        match (drive(row, Step::Test, seen, now, effects), &seen.pods) {
            (Driven::Done, Some(pods)) => return begin_waves(row, pods, now, effects),
            (Driven::Refused(why), _) => return go_back(row, Reason::Provider(why), now, effects),
            (Driven::Done, None) | (Driven::Waiting, _) => {}
        }
    }
    if is_late(row, row.policy.timeouts.test, now) {
        let missing = "no login with the new credential".to_owned();
        go_back(row, Reason::Timeout(missing), now, effects);
    }
}

fn is_late(row: &Row, timeout: Duration, now: Duration) -> bool {
    now.saturating_sub(row.since) >= timeout
}

fn enter(row: &mut Row, state: State, now: Duration, effects: &mut Vec<Effect>) {
    row.state = state;
    row.since = now;
    effects.push(Effect::Record(Event::Entered(state)));
}
