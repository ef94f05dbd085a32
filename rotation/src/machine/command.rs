//! What people ask for.

use std::time::Duration;

use super::back::go_back;
use super::effect::{Command, Effect, Event, TransitionError};
use super::enter;
use super::state::{Reason, Row, State, Step};
use super::wave::promote;
use crate::policy::Validity;

/// Does what a person asks for.
///
/// # Errors
/// When the command does not fit the state.
pub(super) fn obey(
    row: &mut Row,
    command: &Command,
    now: Duration,
    effects: &mut Vec<Effect>,
) -> Result<(), TransitionError> {
    match (command, row.state) {
        (Command::Pause, State::Canary(wave) | State::Baking(wave)) => {
            enter(row, State::Paused(wave), now, effects);
        }
        (Command::Resume, State::Paused(wave)) => {
            enter(row, State::Canary(wave), now, effects);
            effects.push(Effect::Judge(wave));
        }
        (Command::Promote(name), State::Canary(_) | State::Baking(_) | State::Paused(_)) => {
            effects.push(Effect::Record(Event::Promoted(name.clone())));
            promote(row, now, effects);
        }
        (Command::RollBack(name), state) if can_go_back(row, state) => {
            go_back(row, Reason::Person(name.clone()), now, effects);
        }
        (Command::EndSessions(name), State::Draining) if row.validity == Validity::Both => {
            row.ends_sessions = true;
            effects.push(Effect::Record(Event::EndsSessions(name.clone())));
        }
        (_, state) => {
            return Err(TransitionError::Command { command: command.name(), state });
        }
    }
    Ok(())
}

/// As long as the old credential is valid for certain: once its end was begun there is no way back.
fn can_go_back(row: &Row, state: State) -> bool {
    let is_ending = |step| matches!(step, Step::Revoke | Step::RevokeWithSessions);
    !state.is_end()
        && state != State::RollingBack
        && !row.open.is_some_and(|open| is_ending(open.step))
}
