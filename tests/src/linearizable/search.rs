//! The search for an order: Wing and Gong's, with Lowe's memory of what was tried already.
//!
//! A call is a candidate for the next place while no other call that is not placed yet had its
//! answer before this one began. The search places candidates one by one and takes the last one
//! back where nothing fits any more.

use std::collections::{BTreeMap, HashSet};

use super::history::{Action, Answer, Call};
use super::register::Register;

/// A history that needs more than this is too tangled to be told about; the test must make shorter
/// ones.
const MAX_STATES: usize = 200_000;

/// The value of writes that nobody has seen. No test writes it.
const ANONYMOUS_VALUE: u64 = u64::MAX;

/// Why a history was refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotLinearizable {
    /// One version was seen with two values. Versions never change.
    #[error("version {version} had the value {one} and the value {other}")]
    ConflictingValues {
        /// The version.
        version: u64,
        /// A value.
        one: u64,
        /// Another one.
        other: u64,
    },
    /// There is no order in which all the answers follow.
    #[error(
        "no order explains {call:?}; {placed} calls could be placed, the secret was then {state}"
    )]
    NoValidOrder {
        /// The call at which the furthest attempt failed.
        call: Box<Call>,
        /// How many it had placed.
        placed: usize,
        /// The secret at that event.
        state: String,
    },
    /// The search was given up.
    #[error("gave up after {MAX_STATES} states")]
    TooManyStates,
}

/// Checks the history of one secret that begins without a version.
///
/// # Errors
/// Why it cannot have come from a secret that does one thing at a time.
pub fn check(history: &[Call]) -> Result<(), NotLinearizable> {
    let known = ObservedVersions::of(history)?;
    let history: Vec<Call> = history.iter().map(|call| known.anonymized(call)).collect();
    Search::new(&history, known).run()
}

/// Which events there are: each call begins, and those with an answer end.
#[derive(Clone, Copy)]
enum Event {
    Invocation(usize),
    Response(usize),
}

struct Search<'a> {
    history: &'a [Call],
    events: Vec<Event>,
    // A list through the events of the calls that are not placed: the one after each, the one
    // before each, and where a call's two events are. The last place is the list's head.
    after: Vec<usize>,
    before: Vec<usize>,
    ends: Vec<(usize, Option<usize>)>,
    // What is known of versions from anywhere in the history: a call without an answer that wrote
    // another value cannot have made them.
    known: ObservedVersions,
    twins: Vec<Option<usize>>,
    placed: Vec<bool>,
    seen: HashSet<(Vec<u64>, Register)>,
}

impl<'a> Search<'a> {
    fn new(history: &'a [Call], known: ObservedVersions) -> Self {
        let mut timed = Vec::new();
        for (number, call) in history.iter().enumerate() {
            // What begins at the event at which another ends could have been at the same time.
            timed.push((call.from, 0, Event::Invocation(number)));
            if call.answer != Answer::Unknown {
                timed.push((call.until, 1, Event::Response(number)));
            }
        }
        timed.sort_by_key(|(time, kind, _)| (*time, *kind));
        let events: Vec<Event> = timed.into_iter().map(|(_, _, event)| event).collect();
        let mut ends = vec![(0, None); history.len()];
        for (place, event) in events.iter().enumerate() {
            match event {
                Event::Invocation(call) => ends[*call].0 = place,
                Event::Response(call) => ends[*call].1 = Some(place),
            }
        }
        let head = events.len();
        let after = (0..=head).map(|place| if place == head { 0 } else { place + 1 }).collect();
        let before = (0..=head).map(|place| if place == 0 { head } else { place - 1 }).collect();
        let (placed, twins) = (vec![false; history.len()], twins(history));
        Self { history, events, after, before, ends, known, twins, placed, seen: HashSet::new() }
    }

    fn run(mut self) -> Result<(), NotLinearizable> {
        let head = self.events.len();
        let mut answered =
            self.history.iter().filter(|call| call.answer != Answer::Unknown).count();
        let mut state = Register::default();
        let mut order: Vec<(usize, Register)> = Vec::new();
        let mut furthest: Option<(usize, usize, Register)> = None;
        let mut place = self.after[head];
        // Calls without an answer come last: most of them never happened, and none is needed before
        // nothing else goes on.
        let mut unanswered = false;
        while answered > 0 {
            let event = self.events.get(place).copied();
            if let Some(Event::Invocation(call)) = event {
                if unanswered != (self.history[call].answer == Answer::Unknown) {
                    place = self.after[place];
                    continue;
                }
                place = match self.step(call, &state) {
                    Some(next) => {
                        order.push((call, std::mem::replace(&mut state, next)));
                        self.take(call);
                        answered -= usize::from(!unanswered);
                        unanswered = false;
                        self.after[head]
                    }
                    None => self.after[place],
                };
                continue;
            }
            if !unanswered {
                (unanswered, place) = (true, self.after[head]);
                continue;
            }
            if let Some(Event::Response(call)) = event
                && furthest.as_ref().is_none_or(|(placed, ..)| *placed < order.len())
            {
                furthest = Some((order.len(), call, state.clone()));
            }
            let Some((call, previous)) = order.pop() else { return Err(self.failure(furthest)) };
            state = previous;
            self.put_back(call);
            unanswered = self.history[call].answer == Answer::Unknown;
            answered += usize::from(!unanswered);
            if self.seen.len() > MAX_STATES {
                return Err(NotLinearizable::TooManyStates);
            }
            place = self.after[self.ends[call].0];
        }
        Ok(())
    }

    /// The state after this call, where it may come next and that was not tried yet.
    fn step(&mut self, call: usize, state: &Register) -> Option<Register> {
        let Call { action, answer, .. } = &self.history[call];
        let (said, next) = state.apply(action);
        let fits = match answer {
            // A call that changes nothing may as well never have happened.
            Answer::Unknown => {
                next != *state
                    && self.twins[call].is_none_or(|twin| self.placed[twin])
                    && self.known.allows(action, state.next_version())
            }
            answer => said == *answer,
        };
        if !fits {
            return None;
        }
        self.placed[call] = true;
        let new = self.seen.insert((bits(&self.placed), next.clone()));
        self.placed[call] = false;
        new.then_some(next)
    }

    fn take(&mut self, call: usize) {
        self.placed[call] = true;
        let (begin, end) = self.ends[call];
        for place in [Some(begin), end].into_iter().flatten() {
            let (before, after) = (self.before[place], self.after[place]);
            self.after[before] = after;
            self.before[after] = before;
        }
    }

    fn put_back(&mut self, call: usize) {
        self.placed[call] = false;
        let (begin, end) = self.ends[call];
        // In the opposite order, so that each finds its neighbours as it left them.
        for place in [end, Some(begin)].into_iter().flatten() {
            let (before, after) = (self.before[place], self.after[place]);
            self.after[before] = place;
            self.before[after] = place;
        }
    }

    fn failure(&self, furthest: Option<(usize, usize, Register)>) -> NotLinearizable {
        // A history with an answer has an end to fail at.
        let (placed, call, state) = furthest.unwrap_or_default();
        NotLinearizable::NoValidOrder {
            call: Box::new(self.history[call].clone()),
            placed,
            state: format!("{state:?}"),
        }
    }
}

/// Which value each version has, as far as any answer tells.
#[derive(Default)]
struct ObservedVersions {
    values: BTreeMap<u64, u64>,
    versions: BTreeMap<u64, u64>,
}

impl ObservedVersions {
    fn of(history: &[Call]) -> Result<Self, NotLinearizable> {
        let mut known = Self::default();
        for Call { action, answer, .. } in history {
            let (version, value) = match (action, answer) {
                (_, Answer::Value { version, value })
                | (Action::Write { value, .. }, Answer::Done(version)) => (*version, *value),
                _ => continue,
            };
            let one = *known.values.entry(version).or_insert(value);
            if one != value {
                return Err(NotLinearizable::ConflictingValues { version, one, other: value });
            }
            known.versions.insert(value, version);
        }
        Ok(known)
    }

    /// A write without an answer, of a value that no answer tells of: which value it was makes no
    /// difference to any order, so such writes are all the same. With a name each, the search would
    /// try them in every order.
    fn anonymized(&self, call: &Call) -> Call {
        let mut call = call.clone();
        if let (Action::Write { value, .. }, Answer::Unknown) = (&mut call.action, &call.answer)
            && !self.versions.contains_key(value)
        {
            *value = ANONYMOUS_VALUE;
        }
        call
    }

    /// Whether that action may make that version.
    fn allows(&self, action: &Action, version: u64) -> bool {
        let Action::Write { value, .. } = action else { return true };
        self.values.get(&version).is_none_or(|known| known == value)
            && self.versions.get(value).is_none_or(|known| *known == version)
    }
}

/// For each call without an answer the one before it that asked for the same. One is as good as the
/// other, so the earlier comes first.
fn twins(history: &[Call]) -> Vec<Option<usize>> {
    let mut order: Vec<usize> =
        (0..history.len()).filter(|call| history[*call].answer == Answer::Unknown).collect();
    order.sort_by_key(|call| history[*call].from);
    let mut latest = BTreeMap::new();
    let mut twins = vec![None; history.len()];
    for call in order {
        twins[call] = latest.insert(format!("{:?}", history[call].action), call);
    }
    twins
}

fn bits(placed: &[bool]) -> Vec<u64> {
    placed
        .chunks(64)
        .map(|chunk| {
            chunk.iter().enumerate().fold(0, |word, (at, set)| word | (u64::from(*set) << at))
        })
        .collect()
}
