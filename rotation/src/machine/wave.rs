//! One wave after the other: its pods are told, then watched.

use std::time::Duration;

use super::back::go_back;
use super::effect::{Effect, Event, Observations};
use super::enter;
use super::pod::{Evidence, PodView, evidence, failure};
use super::state::{Reach, Reason, Row, State};
use crate::policy::Validity;

/// Begins with the first wave.
pub(super) fn begin_waves(
    row: &mut Row,
    pods: &[PodView],
    now: Duration,
    effects: &mut Vec<Effect>,
) {
    if pods.iter().any(|it| row.was_there(it.first_seen)) {
        next_wave(row, 0, pods, now, effects);
    } else {
        effects.push(Effect::Record(Event::NoPods));
        promote(row, now, effects);
    }
}

/// Tells the pods of the first wave from this number on that reaches more pods than now. After the
/// last one the target generation becomes everybody's.
fn next_wave(
    row: &mut Row,
    first: usize,
    pods: &[PodView],
    now: Duration,
    effects: &mut Vec<Effect>,
) {
    let reached = match row.reach {
        Reach::UpTo(place) => Some(place),
        Reach::Nobody | Reach::Everybody => None,
    };
    let uids = || pods.iter().filter(|it| row.was_there(it.first_seen)).map(|it| &*it.uid);
    let next = (first..row.policy.waves.count()).find_map(|number| {
        let place = row.policy.waves.reach(number, uids())?;
        (Some(place) > reached).then_some((number, place))
    });
    match next {
        Some((number, place)) => {
            // With the old credential dead, new pods must not get it either.
            row.reach = match row.validity {
                Validity::Both => Reach::UpTo(place),
                Validity::One => Reach::Everybody,
            };
            row.was_told = true;
            enter(row, State::Canary(number), now, effects);
            effects.extend([Effect::Judge(number), Effect::Tell]);
        }
        None => promote(row, now, effects),
    }
}

/// Makes the target generation everybody's.
pub(super) fn promote(row: &mut Row, now: Duration, effects: &mut Vec<Effect>) {
    row.reach = Reach::Everybody;
    row.was_told = true;
    enter(row, State::Active, now, effects);
    effects.push(Effect::Tell);
}

/// The wave's pods are told, until all of them hold the target generation.
pub(super) fn canary(
    row: &mut Row,
    wave: usize,
    seen: &Observations,
    now: Duration,
    effects: &mut Vec<Effect>,
) {
    let missing = match members(row, seen) {
        Err(reason) => return go_back(row, reason, now, effects),
        Ok(None) => "the pods are not known".to_owned(),
        Ok(Some(pods)) => match pods.iter().find(|it| it.holds != Some(row.to)) {
            None => return enter(row, State::Baking(wave), now, effects),
            Some(pod) => format!("{}: does not hold the new generation", pod.name),
        },
    };
    if now.saturating_sub(row.since) >= row.policy.timeouts.apply {
        go_back(row, Reason::Timeout(missing), now, effects);
    }
}

/// The wave's pods are watched, until there is evidence and the bake time is over.
pub(super) fn baking(
    row: &mut Row,
    wave: usize,
    seen: &Observations,
    now: Duration,
    effects: &mut Vec<Effect>,
) {
    let bake = row.policy.waves.wave(wave).map(|it| it.bake).unwrap_or_default();
    let baked = now.saturating_sub(row.since);
    let missing = match members(row, seen) {
        Err(reason) => return go_back(row, reason, now, effects),
        Ok(None) => "the pods are not known".to_owned(),
        Ok(Some(pods)) => match pods.iter().find(|it| it.holds != Some(row.to)) {
            Some(pod) => format!("{}: does not hold the new generation", pod.name),
            None => match evidence(&row.policy, &pods, &seen.requests) {
                Evidence::Fails(reason) => return go_back(row, reason, now, effects),
                Evidence::Missing(missing) => missing,
                Evidence::Works if baked < bake => return,
                Evidence::Works => {
                    let pods = seen.pods.as_deref().unwrap_or_default();
                    return next_wave(row, wave + 1, pods, now, effects);
                }
            },
        },
    };
    if baked >= bake.saturating_add(row.policy.timeouts.evidence) {
        go_back(row, Reason::Timeout(missing), now, effects);
    }
}

/// Nobody is told anything, and nothing is too late; what fails still goes back.
pub(super) fn paused(row: &mut Row, seen: &Observations, now: Duration, effects: &mut Vec<Effect>) {
    if let Err(reason) = members(row, seen) {
        go_back(row, reason, now, effects);
    }
}

/// The pods that are to hold the target generation. `None` while the pods are not known.
///
/// # Errors
/// If all of them vanished, or one of them shows that it does not work.
fn members<'s>(row: &Row, seen: &'s Observations) -> Result<Option<Vec<&'s PodView>>, Reason> {
    let Some(pods) = &seen.pods else { return Ok(None) };
    let members: Vec<&PodView> = pods.iter().filter(|it| it.is_reached(row)).collect();
    if members.is_empty() {
        return Err(Reason::CanaryVanished);
    }
    match failure(&members, &seen.requests) {
        Some(reason) => Err(reason),
        None => Ok(Some(members)),
    }
}
