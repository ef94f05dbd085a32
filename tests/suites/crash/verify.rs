//! Checks one scope after an epoch.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Instant;

use e2e::linearizable::{self, Action, Answer};
use e2e::switchyard::Switchyard;

use crate::audit_log::ExpectedEvents;
use crate::client::{Client, RecordedCall};
use crate::workload::{NAMES, PAIR};

/// Reads every version and compares it with the recorded calls. Returns the number of calls and the
/// number of calls with an unknown outcome.
pub(crate) fn check(
    switchyard: &Switchyard,
    scope: &str,
    mut seen: Vec<RecordedCall>,
    clock: Instant,
    expected: &mut ExpectedEvents,
) -> (usize, usize) {
    let client = Client::new(switchyard, scope, clock);
    let mut values: BTreeMap<&str, Vec<u64>> = BTreeMap::new();
    for name in NAMES.into_iter().chain(PAIR) {
        // A deleted secret cannot be read, so it is undeleted first.
        seen.extend(client.act(name, Action::Undelete));
        seen.extend(client.act(name, Action::Read));
        let read = (1..).map(|version| {
            client
                .act(name, Action::ReadVersion(version))
                .expect("an answer from a running switchyard")
        });
        for it in read {
            let value = match it.call.answer {
                Answer::Value { value, .. } => Some(value),
                _ => None,
            };
            seen.push(it);
            match value {
                Some(value) => values.entry(name).or_default().push(value),
                None => break,
            }
        }
    }
    readable(&seen, &values);
    assert_eq!(values.get(PAIR[0]), values.get(PAIR[1]), "a write of two secrets is there by half");
    one_generation_each(&seen);
    for name in NAMES.into_iter().chain(PAIR) {
        let calls: Vec<_> =
            seen.iter().filter(|it| it.name == name).map(|it| it.call.clone()).collect();
        if let Err(refused) = linearizable::check(&calls) {
            panic!("{scope}/{name}: {refused}\n{}", history(&seen, name));
        }
    }
    expected.extend(scope, &seen);
    let unknown = seen.iter().filter(|it| it.call.answer == Answer::Unknown).count();
    (seen.len(), unknown)
}

/// Checks that every acknowledged version has its value.
fn readable(seen: &[RecordedCall], values: &BTreeMap<&str, Vec<u64>>) {
    for it in seen {
        if let (Action::Write { value, .. }, Answer::Done(version)) =
            (&it.call.action, &it.call.answer)
        {
            let there = values
                .get(it.name.as_str())
                .and_then(|values| values.get(usize::try_from(*version).unwrap() - 1));
            assert_eq!(there, Some(value), "{} version {version} was acknowledged", it.name);
        }
    }
}

/// Checks that every write made a generation of its own, and a write of two secrets made one.
fn one_generation_each(seen: &[RecordedCall]) {
    let mut generations = BTreeSet::new();
    for it in seen.iter().filter(|it| it.name != PAIR[1]) {
        if let (Action::Write { .. }, Some(generation)) = (&it.call.action, it.generation) {
            assert!(generations.insert(generation), "generation {generation} was made twice");
        }
    }
    let of = |name: &str| -> Vec<_> {
        seen.iter().filter(|it| it.name == name).filter_map(|it| it.generation).collect()
    };
    assert_eq!(of(PAIR[0]), of(PAIR[1]));
}

/// The history of a secret, for the message of a failed test.
fn history(seen: &[RecordedCall], name: &str) -> String {
    let mut calls: Vec<_> = seen.iter().filter(|it| it.name == name).collect();
    calls.sort_by_key(|it| it.call.from);
    let lines = calls.iter().map(|it| {
        format!(
            "{:>14} {:>14} {:?} -> {:?}",
            it.call.from, it.call.until, it.call.action, it.call.answer
        )
    });
    lines.collect::<Vec<_>>().join("\n")
}
