//! Histories that a person can look over.

use crate::linearizable::Action::{Delete, Read, ReadVersion, Rollback, Undelete, Write};
use crate::linearizable::Answer::{Done, Missing, Refused as No, Unknown};
use crate::linearizable::Condition::{Absent, Any, Present, Version};
use crate::linearizable::{Action, Answer, Call, NotLinearizable, check};

fn call(from: u64, until: u64, action: Action, answer: Answer) -> Call {
    Call { from, until, action, answer }
}

fn write(value: u64) -> Action {
    Write { value, condition: Any }
}

fn on(version: u64, value: u64) -> Action {
    Write { value, condition: Version(version) }
}

fn value(version: u64, value: u64) -> Answer {
    Answer::Value { version, value }
}

#[test]
fn good_histories() {
    for (what, history) in [
        ("nothing", vec![]),
        (
            "one after the other",
            vec![
                call(0, 1, write(7), Done(1)),
                call(2, 3, Read, value(1, 7)),
                call(4, 5, on(1, 8), Done(2)),
            ],
        ),
        (
            "a read beside a write sees the old",
            vec![
                call(0, 1, write(7), Done(1)),
                call(2, 9, write(8), Done(2)),
                call(3, 4, Read, value(1, 7)),
                call(5, 6, Read, value(2, 8)),
            ],
        ),
        (
            "two conditions at once, one holds",
            vec![
                call(0, 1, write(7), Done(1)),
                call(2, 9, on(1, 8), Done(2)),
                call(2, 9, on(1, 9), No),
            ],
        ),
        (
            "answers in another order than the calls",
            vec![call(0, 9, write(7), Done(2)), call(1, 8, write(8), Done(1))],
        ),
        (
            "an unknown write never happened",
            vec![
                call(0, 1, write(7), Done(1)),
                call(2, 3, write(8), Unknown),
                call(4, 5, Read, value(1, 7)),
                call(6, 7, write(9), Done(2)),
            ],
        ),
        (
            "an unknown write took effect later",
            vec![
                call(0, 1, write(7), Done(1)),
                call(2, 3, write(8), Unknown),
                call(4, 5, Read, value(1, 7)),
                call(6, 7, Read, value(2, 8)),
                call(8, 9, on(2, 9), Done(3)),
            ],
        ),
        (
            "an unknown write that only its number shows",
            vec![
                call(0, 1, write(7), Done(1)),
                call(2, 3, write(8), Unknown),
                call(4, 5, write(9), Done(3)),
            ],
        ),
        (
            "an unknown condition took effect before a refusal",
            vec![
                call(0, 1, write(7), Done(1)),
                call(2, 3, on(1, 8), Unknown),
                call(4, 5, on(1, 9), No),
            ],
        ),
        (
            "back, gone, and here again",
            vec![
                call(0, 1, write(7), Done(1)),
                call(2, 3, write(8), Done(2)),
                call(4, 5, Rollback(1), Done(1)),
                call(6, 7, Read, value(1, 7)),
                call(8, 9, Delete(Version(1)), Done(0)),
                call(10, 11, Read, Missing),
                call(12, 13, Undelete, Done(1)),
                call(14, 15, ReadVersion(2), value(2, 8)),
                call(16, 17, Undelete, No),
                call(18, 19, write(9), Done(3)),
            ],
        ),
        (
            "an unknown delete, seen later",
            vec![
                call(0, 1, write(7), Done(1)),
                call(2, 3, Delete(Any), Unknown),
                call(4, 5, Read, value(1, 7)),
                call(6, 7, Read, Missing),
                call(8, 9, Write { value: 8, condition: Absent }, Done(2)),
            ],
        ),
        (
            "a rotation of what is not there",
            vec![
                call(0, 1, Write { value: 7, condition: Present }, Missing),
                call(2, 3, Rollback(1), Missing),
            ],
        ),
        (
            "at one and the same moment",
            vec![call(0, 1, write(7), Done(1)), call(1, 2, Read, Missing)],
        ),
    ] {
        check(&history).unwrap_or_else(|refused| panic!("{what}: {refused}"));
    }
}

#[test]
fn bad_histories() {
    for (what, history) in [
        (
            "an acknowledged write is lost",
            vec![call(0, 1, write(7), Done(1)), call(2, 3, Read, Missing)],
        ),
        (
            "a stale read",
            vec![
                call(0, 1, write(7), Done(1)),
                call(2, 3, write(8), Done(2)),
                call(4, 5, Read, value(1, 7)),
            ],
        ),
        (
            "a condition held twice",
            vec![
                call(0, 1, write(7), Done(1)),
                call(2, 9, on(1, 8), Done(2)),
                call(2, 9, on(1, 9), Done(3)),
            ],
        ),
        (
            "two writes of one number",
            vec![call(0, 9, write(7), Done(1)), call(0, 9, write(8), Done(1))],
        ),
        (
            "a number that was left out",
            vec![call(0, 1, write(7), Done(1)), call(2, 3, write(8), Done(3))],
        ),
        (
            "a value that came back by itself",
            vec![
                call(0, 1, write(7), Done(1)),
                call(2, 3, Delete(Any), Done(0)),
                call(4, 5, Read, value(1, 7)),
            ],
        ),
        (
            "seen, and then not yet",
            vec![
                call(0, 1, write(7), Done(1)),
                call(2, 9, write(8), Done(2)),
                call(3, 4, Read, value(2, 8)),
                call(5, 6, Read, value(1, 7)),
            ],
        ),
        (
            "an unknown write that happened twice",
            vec![
                call(0, 1, write(7), Done(1)),
                call(2, 3, write(8), Unknown),
                call(4, 5, Read, value(2, 8)),
                call(6, 7, write(9), Done(4)),
            ],
        ),
        (
            "an unknown write before it was asked for",
            vec![
                call(0, 1, write(7), Done(1)),
                call(2, 3, Read, value(2, 8)),
                call(4, 5, write(8), Unknown),
            ],
        ),
        (
            "an unknown write that was undone",
            vec![
                call(0, 1, write(7), Done(1)),
                call(2, 3, write(8), Unknown),
                call(4, 5, Read, value(2, 8)),
                call(6, 7, Read, value(1, 7)),
            ],
        ),
        (
            "a refusal without a reason",
            vec![call(0, 1, write(7), Done(1)), call(2, 3, on(1, 8), No)],
        ),
        (
            "a rollback that nobody sees",
            vec![
                call(0, 1, write(7), Done(1)),
                call(2, 3, write(8), Done(2)),
                call(4, 5, Rollback(1), Done(1)),
                call(6, 7, on(2, 9), Done(3)),
            ],
        ),
        (
            "a value that nobody wrote",
            vec![
                call(0, 1, write(7), Done(1)),
                call(2, 9, write(8), Unknown),
                call(3, 4, Read, value(2, 9)),
            ],
        ),
    ] {
        assert!(check(&history).is_err(), "{what}");
    }
}

#[test]
fn a_refusal_says_where() {
    let history = [call(0, 1, write(7), Done(1)), call(2, 3, Read, Missing)];
    match check(&history).unwrap_err() {
        NotLinearizable::NoValidOrder { call, placed, .. } => {
            assert_eq!((*call, placed), (history[1].clone(), 1))
        }
        other => panic!("{other}"),
    }
    let changed = [call(0, 1, write(7), Done(1)), call(0, 9, Read, value(1, 8))];
    assert_eq!(
        check(&changed).unwrap_err(),
        NotLinearizable::ConflictingValues { version: 1, one: 7, other: 8 }
    );
}

/// What a crash test makes of one secret: many calls, some without an answer, of which a few
/// happened.
#[test]
fn a_long_history_with_many_unknown_calls_is_no_work() {
    let mut history = Vec::new();
    let (mut version, mut time) = (0, 0);
    for round in 0..400 {
        time += 10;
        let unknown = match round % 8 {
            3 => Some(write(10_000 + round)),
            5 => Some(Delete(Version(999_999))),
            7 => Some(on(version, 20_000 + round)),
            _ => None,
        };
        history.extend(unknown.map(|action| call(time, time + 1, action, Unknown)));
        version += 1 + u64::from(round % 8 == 3);
        history.push(call(time + 2, time + 5, write(round), Done(version)));
        history.push(call(time + 3, time + 7, Read, value(version, round)));
    }
    check(&history).unwrap();
}

/// As a crash leaves them: none of these writes has a value that anybody saw, and the first try at
/// the last read is wrong.
#[test]
fn many_unknown_writes_that_nobody_saw_are_no_work() {
    let mut history = vec![call(0, 1, write(1), Done(1))];
    history.extend((0..40).map(|at| call(2 + at, 100, write(100 + at), Unknown)));
    history.extend([
        call(200, 220, write(2), Done(2)),
        call(210, 215, Read, value(1, 1)),
        call(230, 231, Read, value(2, 2)),
    ]);
    assert_eq!(check(&history), Ok(()));
    // Nor is it hard to say that there is no order.
    history.push(call(240, 241, Read, value(1, 1)));
    assert!(matches!(check(&history), Err(NotLinearizable::NoValidOrder { .. })));
}
