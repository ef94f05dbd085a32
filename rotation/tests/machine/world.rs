//! A target, pods and a leader.

use std::time::Duration;

use contract::Generation;
use rotation::judge::{Missing, Verdict};
use rotation::machine::{
    Checks, Command, Effect, Event, Observations, Outcome, PodView, Request, Row, Sessions, State,
    Step, StepResult, transition,
};
use rotation::policy::{Policy, Urgency, Validity};

pub(crate) const FROM: Generation = Generation(7);
pub(crate) const TO: Generation = Generation(8);

/// What was done at the target, and how often.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Target {
    pub(crate) created: u32,
    pub(crate) set: u32,
    pub(crate) finished: u32,
    pub(crate) revoked: u32,
    pub(crate) discarded: u32,
}

/// A pod, with what it really holds. What it says of that is in its view.
#[derive(Clone, Debug)]
pub(crate) struct Pod {
    pub(crate) view: PodView,
    pub(crate) holds: Generation,
}

/// What becomes of an external effect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    /// It is done, and the leader hears of it.
    Done,
    /// It is done, and no answer comes.
    AnswerLost,
    /// It is not done, and the leader hears so.
    NotDone,
    /// The target refuses it.
    Refused,
    /// The leader dies before it is done.
    DiesBefore,
    /// The leader dies after it is done.
    DiesAfter,
}

pub(crate) struct World {
    pub(crate) row: Row,
    pub(crate) now: Duration,
    pub(crate) fence: u64,
    pub(crate) target: Target,
    pub(crate) pods: Vec<Pod>,
    pub(crate) requests: Verdict,
    pub(crate) sessions: Sessions,
    pub(crate) newer: Option<Generation>,
    /// What the leader is to do, and whether it only asks.
    pub(crate) in_flight: Option<(Step, u32, bool)>,
    outcome: Option<Outcome>,
    pub(crate) events: Vec<Event>,
    /// Whether a person asked for the old credential's end, whoever uses it.
    pub(crate) is_overridden: bool,
}

impl World {
    pub(crate) fn new(pods: usize, validity: Validity) -> Self {
        let policy = Policy::default();
        let urgency = Urgency::Usual;
        let request = Request { id: 1, from: FROM, to: TO, policy, validity, urgency };
        let mut world = Self {
            row: Row::new(request, Duration::ZERO),
            now: Duration::ZERO,
            fence: 1,
            target: Target::default(),
            pods: Vec::new(),
            requests: Verdict::Undecided(Missing::Requests),
            sessions: Sessions::Open(0),
            newer: None,
            in_flight: None,
            outcome: None,
            events: Vec::new(),
            is_overridden: false,
        };
        (0..pods).for_each(|_| world.add_pod());
        world
    }

    pub(crate) fn add_pod(&mut self) {
        let name = format!("api-{}-{}", self.pods.len(), self.now.as_millis());
        let holds = self.row.stable();
        let view = PodView {
            uid: name.clone(),
            name,
            first_seen: self.now,
            holds: Some(holds),
            is_connected: true,
            checks: Checks::Unknown,
            restarts: 0,
        };
        self.pods.push(Pod { view, holds });
    }

    fn observations(&self) -> Observations {
        Observations {
            fence: self.fence,
            is_next: true,
            outcome: self.outcome.clone(),
            pods: Some(self.pods.iter().map(|it| it.view.clone()).collect()),
            requests: self.requests.clone(),
            sessions: self.sessions,
            newer: self.newer,
            command: None,
        }
    }

    /// Asks the machine. A command that it refuses changes nothing.
    pub(crate) fn tick(&mut self, command: Option<Command>) {
        let ends = matches!(command, Some(Command::EndSessions(_)));
        let seen = Observations { command, ..self.observations() };
        self.outcome = None;
        let Ok((row, effects)) = transition(&self.row, &seen, self.now) else {
            // The caller passes the outcome without the command then.
            self.outcome = seen.outcome;
            return;
        };
        self.is_overridden |= ends;
        // Asked again with what it has already taken in, it asks for nothing outside.
        let again = Observations { command: None, outcome: None, ..seen };
        let Ok((_, more)) = transition(&row, &again, self.now) else { panic!("{row:?}") };
        if effects.iter().any(is_external) {
            assert!(!more.iter().any(is_external), "{effects:?}, then {more:?}");
        }
        self.row = row;
        for effect in effects {
            match effect {
                Effect::Run(step, attempt) => self.begin(step, attempt, false),
                Effect::Ask(step, attempt) => self.begin(step, attempt, true),
                Effect::Record(event) => self.events.push(event),
                Effect::Tell | Effect::Judge(_) => {}
            }
        }
    }

    fn begin(&mut self, step: Step, attempt: u32, asks: bool) {
        assert_eq!(self.in_flight, None, "{step:?} beside another step");
        let open = self.row.open.map(|it| (it.step, it.attempt));
        assert_eq!(open, Some((step, attempt)), "the row says what was begun");
        self.in_flight = Some((step, attempt, asks));
    }

    /// Decides what becomes of what is in flight.
    pub(crate) fn resolve(&mut self, fate: Fate) {
        let Some((step, attempt, asks)) = self.in_flight.take() else { return };
        let is_done = matches!(fate, Fate::Done | Fate::AnswerLost | Fate::DiesAfter);
        if is_done && !asks {
            self.apply(step);
        }
        let answer = |result| Some(Outcome { step, attempt, result });
        self.outcome = match fate {
            Fate::Done if asks && !self.was_done(step) => answer(StepResult::NotDone),
            Fate::Done => answer(StepResult::Done),
            Fate::NotDone if !asks => answer(StepResult::NotDone),
            Fate::Refused if !asks => answer(StepResult::Refused("no".to_owned())),
            Fate::AnswerLost | Fate::NotDone | Fate::Refused => answer(StepResult::Unclear),
            Fate::DiesBefore | Fate::DiesAfter => {
                self.fence += 1;
                None
            }
        };
    }

    fn was_done(&self, step: Step) -> bool {
        let Target { created, set, finished, revoked, discarded } = self.target;
        0 < match step {
            Step::Create => created,
            Step::Set => set,
            Step::Test => 0,
            Step::Finish => finished,
            Step::Revoke | Step::RevokeWithSessions => revoked,
            Step::Discard => discarded,
        }
    }

    /// The target does it, and nobody may be hurt.
    fn apply(&mut self, step: Step) {
        let holding = |it: Generation| self.pods.iter().any(|pod| pod.holds == it);
        let is_dual = self.row.validity == Validity::Both;
        match step {
            Step::Test => return,
            Step::Revoke | Step::RevokeWithSessions => {
                assert!(is_dual, "setting the new one ended the old one");
                assert_eq!(self.target.discarded, 0, "no credential is left");
                let is_unused = !holding(FROM) && self.sessions == Sessions::Open(0);
                assert!(is_unused || self.is_overridden, "a credential in use is revoked");
                assert!(step == Step::Revoke || self.is_overridden);
            }
            Step::Discard => {
                assert_eq!(self.target.revoked, 0, "no credential is left");
                let is_unused = !holding(TO) && self.sessions == Sessions::Open(0);
                let was_told = is_dual && self.row.was_told;
                assert!(is_unused || !was_told, "a credential in use is taken back");
            }
            Step::Create | Step::Set | Step::Finish => assert_eq!(self.target.discarded, 0),
        }
        let Target { created, set, finished, revoked, discarded } = &mut self.target;
        let count = match step {
            Step::Create | Step::Test => created,
            Step::Set => set,
            Step::Finish => finished,
            Step::Revoke | Step::RevokeWithSessions => revoked,
            Step::Discard => discarded,
        };
        *count += 1;
        assert_eq!(*count, 1, "{step:?} is done twice");
    }

    /// The pod takes what it is told, and says so if it can.
    pub(crate) fn apply_told(&mut self, pod: usize, says_so: bool) {
        let Some(pod) = self.pods.get_mut(pod) else { return };
        if !pod.view.is_connected {
            return;
        }
        pod.holds = self.row.generation_for(&pod.view.uid, pod.view.first_seen);
        if says_so {
            pod.view.holds = Some(pod.holds);
        } else {
            pod.view.is_connected = false;
        }
    }

    /// A while in which all goes well.
    pub(crate) fn fair_turn(&mut self) {
        self.resolve(Fate::Done);
        for pod in 0..self.pods.len() {
            self.pods[pod].view.is_connected = true;
            self.apply_told(pod, true);
            let view = &mut self.pods[pod].view;
            if view.checks == Checks::Unknown && view.holds == Some(TO) {
                view.checks = Checks::Passed;
            }
        }
        self.now += Duration::from_secs(5);
        self.tick(None);
    }

    /// Lets all go well until the end, or until a state.
    pub(crate) fn until(&mut self, is_there: impl Fn(&Self) -> bool) {
        for _ in 0..5_000 {
            if is_there(self) || self.row.state.is_end() {
                return;
            }
            self.fair_turn();
        }
        panic!("no end: {:?}", self.row);
    }

    pub(crate) fn states(&self) -> Vec<State> {
        let entered = self.events.iter().filter_map(|it| match it {
            Event::Entered(state) => Some(*state),
            _ => None,
        });
        entered.collect()
    }

    /// What must be true at the end.
    pub(crate) fn check_end(&self) {
        let Target { created, set, revoked, discarded, .. } = self.target;
        let is_left = self.events.iter().any(|it| matches!(it, Event::NewCredentialLeft(_)));
        let told = |it: &Pod| self.row.generation_for(&it.view.uid, it.view.first_seen);
        let expected = if self.row.state == State::Revoked { TO } else { FROM };
        assert!(self.pods.iter().all(|it| told(it) == expected), "{:?}", self.row);
        if self.row.state == State::Revoked {
            assert_eq!((created, set, discarded), (1, 1, 0));
            assert_eq!(revoked, u32::from(self.row.validity == Validity::Both));
        } else {
            assert_eq!(revoked, 0);
            assert!(discarded == 1 || created + set == 0 || is_left, "{:?}", self.target);
        }
    }
}

fn is_external(effect: &Effect) -> bool {
    matches!(effect, Effect::Run(..) | Effect::Ask(..))
}
