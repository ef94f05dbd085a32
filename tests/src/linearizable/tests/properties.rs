//! Histories that nobody thought of: made from a run in order, made wrong, and compared with the
//! plain search through every order.

use proptest::prelude::*;

use crate::linearizable::register::Register;
use crate::linearizable::{Action, Answer, Call, Condition, check};

/// An action; a write gets a value of its own later.
fn action() -> impl Strategy<Value = Action> {
    let condition = || {
        prop_oneof![
            3 => Just(Condition::Any),
            1 => Just(Condition::Absent),
            1 => Just(Condition::Present),
            3 => (1..6_u64).prop_map(Condition::Version),
        ]
    };
    prop_oneof![
        3 => Just(Action::Read),
        1 => (1..6_u64).prop_map(Action::ReadVersion),
        5 => condition().prop_map(|condition| Action::Write { value: 0, condition }),
        1 => (1..6_u64).prop_map(Action::Rollback),
        1 => condition().prop_map(Action::Delete),
        1 => Just(Action::Undelete),
    ]
}

/// A call as it is made: what it does, how far it reaches to both sides of its moment, and whether
/// its answer got lost, before or after it happened.
type Made = (Action, u64, u64, u8);

fn calls(most: usize) -> impl Strategy<Value = Vec<Made>> {
    proptest::collection::vec((action(), 0..60_u64, 0..60_u64, 0..12_u8), 0..most)
}

/// The history of a secret that does one thing at a time.
fn run(made: &[Made]) -> Vec<Call> {
    let mut state = Register::default();
    let mut history = Vec::new();
    for (at, (action, early, late, loss)) in (0..).zip(made) {
        let moment = 100 + at * 20;
        let action = match action.clone() {
            Action::Write { condition, .. } => Action::Write { value: 100 + at, condition },
            other => other,
        };
        let (answer, next) = state.apply(&action);
        let lost = *loss < 2;
        // Of the first kind it never came to pass.
        if *loss != 0 {
            state = next;
        }
        let answer = if lost { Answer::Unknown } else { answer };
        history.push(Call { from: moment - early, until: moment + late, action, answer });
    }
    history
}

/// Every order of every choice of the calls without an answer.
fn plainly(history: &[Call], placed: &mut Vec<bool>, state: &Register) -> bool {
    let open =
        |call: usize, placed: &[bool]| !placed[call] && history[call].answer != Answer::Unknown;
    if (0..history.len()).all(|call| !open(call, placed)) {
        return true;
    }
    for call in 0..history.len() {
        let blocked = (0..history.len()).any(|other| {
            other != call && open(other, placed) && history[other].until < history[call].from
        });
        if placed[call] || blocked {
            continue;
        }
        let (said, next) = state.apply(&history[call].action);
        if history[call].answer == Answer::Unknown || said == history[call].answer {
            placed[call] = true;
            if plainly(history, placed, &next) {
                return true;
            }
            placed[call] = false;
        }
    }
    false
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn what_was_done_in_order_is_accepted(made in calls(60)) {
        let history = run(&made);
        prop_assert_eq!(check(&history), Ok(()), "{:#?}", history);
    }

    #[test]
    fn one_wrong_answer_is_found(
        made in calls(40), at in any::<prop::sample::Index>(), wrong in 0..5_u8
    ) {
        // Nothing overlaps and nothing got lost: there is one right answer to everything.
        let made: Vec<Made> = made.into_iter().map(|(action, ..)| (action, 0, 0, 9)).collect();
        let mut history = run(&made);
        prop_assume!(!history.is_empty());
        let call = &mut history[at.index(made.len())];
        let other = match (wrong, &call.answer) {
            (0, Answer::Value { version, value }) => {
                Answer::Value { version: version + 1, value: *value }
            }
            (1, Answer::Value { version, value }) => {
                Answer::Value { version: *version, value: value + 1 }
            }
            (0 | 1, Answer::Done(version)) => Answer::Done(version + 1),
            (2, _) => Answer::Missing,
            (3, _) => Answer::Refused,
            _ => Answer::Done(3),
        };
        prop_assume!(other != call.answer);
        call.answer = other;
        prop_assert!(check(&history).is_err(), "{:#?}", history);
    }

    #[test]
    fn it_agrees_with_a_plain_search(
        made in calls(7),
        answers in proptest::collection::vec((0..4_u8, 1..5_u64, 0..7_u64), 7)
    ) {
        let mut history = run(&made);
        for (call, (kind, version, at)) in history.iter_mut().zip(answers) {
            // Half of the answers stay, so that it is a near thing.
            match (kind, &mut call.answer) {
                (0, Answer::Done(done)) => *done = version,
                (0, Answer::Value { version: read, .. }) => *read = version,
                (1, Answer::Value { value, .. }) => *value = 100 + at,
                _ => {}
            }
        }
        let plain = plainly(&history, &mut vec![false; history.len()], &Register::default());
        prop_assert_eq!(check(&history).is_ok(), plain, "{:?}", history);
    }
}
