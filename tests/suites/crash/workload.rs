//! The random workload of one client.

use std::sync::atomic::Ordering;
use std::time::Duration;

use e2e::linearizable::{Action, Answer, Condition};
use e2e::random::SeededRng;

use crate::client::{Client, RecordedCall};
use crate::coordination::Coordination;

/// Secrets for every action.
pub(crate) const NAMES: [&str; 3] = ["A", "B", "C"];

/// Secrets that are only written together, with one value.
pub(crate) const PAIR: [&str; 2] = ["LEFT", "RIGHT"];

/// Makes one random call after another until the epoch stops.
pub(crate) fn run(
    client: &Client,
    mut random: SeededRng,
    coordination: &Coordination,
) -> Vec<RecordedCall> {
    let mut seen = Vec::new();
    while !coordination.stop.load(Ordering::SeqCst) {
        if !coordination.up.load(Ordering::SeqCst) {
            std::thread::sleep(Duration::from_millis(1));
            continue;
        }
        let new = once(client, &mut random, coordination, &seen);
        let changes = new.iter().any(|it| matches!(it.call.answer, Answer::Done(_)));
        coordination.acknowledged.fetch_add(u64::from(changes), Ordering::SeqCst);
        // Waits a moment after a failure.
        if new.iter().all(|it| it.call.answer == Answer::Unknown) {
            std::thread::sleep(Duration::from_millis(20));
        }
        seen.extend(new);
    }
    seen
}

fn once(
    client: &Client,
    random: &mut SeededRng,
    coordination: &Coordination,
    seen: &[RecordedCall],
) -> Vec<RecordedCall> {
    let fresh = || coordination.values.fetch_add(1, Ordering::SeqCst) + 1;
    let which = random.below(100);
    if which < 20 {
        let condition = condition(random, latest(seen, PAIR[0]));
        return client.write_pair(PAIR, fresh(), condition);
    }
    let name = NAMES[usize::try_from(random.below(3)).unwrap_or_default()];
    let latest = latest(seen, name);
    let action = match which {
        20..50 => Action::Write { value: fresh(), condition: condition(random, latest) },
        50..58 => Action::Write { value: fresh(), condition: Condition::Present },
        58..64 => Action::Rollback(1 + random.below(latest.max(1))),
        64..68 => Action::Delete(Condition::Any),
        68..74 => Action::Undelete,
        74..78 => {
            return client
                .act(PAIR[usize::from(which.is_multiple_of(2))], Action::Read)
                .into_iter()
                .collect();
        }
        _ => Action::Read,
    };
    client.act(name, action).into_iter().collect()
}

/// Mostly a condition that holds as far as the client knows, sometimes one that does not.
fn condition(random: &mut SeededRng, latest: u64) -> Condition {
    match random.below(10) {
        0..4 => Condition::Any,
        4 => Condition::Absent,
        5 => Condition::Version(latest + 1),
        _ if latest == 0 => Condition::Absent,
        _ => Condition::Version(latest),
    }
}

/// The last version of a secret that this client has recorded.
fn latest(seen: &[RecordedCall], name: &str) -> u64 {
    let of = |it: &RecordedCall| match it.call.answer {
        Answer::Value { version, .. } | Answer::Done(version) if it.name == name => Some(version),
        _ => None,
    };
    seen.iter().rev().find_map(of).unwrap_or(0)
}
