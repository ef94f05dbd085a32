//! The life of the command. Pure: events and the time in, effects out.
//!
//! ```text
//! Running ──swapped, SIGTERM──▶ Terminating ──it ends──▶ Clearing ──nothing is left──▶ Running
//!    │                               │ a stop was asked for   │ a stop is asked for
//!    └──it ends──▶ finished ◀────────┴────────────────────────┘
//! ```

use std::time::{Duration, Instant};

use rustix::process::Signal;

use super::process::Ending;

/// What happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Event {
    /// A signal arrived that is to be passed on.
    Signal(Signal),
    /// The command ended.
    Ended(Ending),
    /// There are new values, and the command is to start again.
    Swapped,
    /// Time has passed, or another process has ended. `children` says whether this process has
    /// any, ended ones aside.
    Tick {
        /// Whether there are any.
        children: bool,
    },
}

/// What to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Effect {
    /// Send the command a signal.
    Signal(Signal),
    /// Send each child a signal, a SIGTERM once only.
    SignalChildren(Signal),
    /// Start the command.
    Start,
    /// End as the command did.
    Finish(Ending),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Running,
    /// The command was told to end. At `kill_at` it is killed, once.
    Terminating {
        kill_at: Option<Instant>,
        /// When whatever it leaves behind is killed.
        deadline: Instant,
    },
    /// The command has ended. Its other processes have the rest of the grace to end: two
    /// applications must not run at once.
    Clearing {
        deadline: Instant,
        ending: Ending,
    },
}

/// The command's state.
#[derive(Debug)]
pub(super) struct Supervision {
    phase: Phase,
    grace: Duration,
    /// The container is to stop, so nothing starts again.
    stopping: bool,
}

impl Supervision {
    /// A command that runs. `grace` is the time that it has to end before it starts again.
    pub(super) fn new(grace: Duration) -> Self {
        Self { phase: Phase::Running, grace, stopping: false }
    }

    /// When a [`Event::Tick`] is due at the latest.
    pub(super) fn deadline(&self) -> Option<Instant> {
        match self.phase {
            Phase::Running => None,
            Phase::Terminating { kill_at, .. } => kill_at,
            // After the deadline each kill leads to a SIGCHLD.
            Phase::Clearing { deadline, .. } => Some(deadline).filter(|at| *at > Instant::now()),
        }
    }

    pub(super) fn on(&mut self, event: Event, now: Instant) -> Vec<Effect> {
        match event {
            Event::Signal(signal) => self.on_signal(signal),
            Event::Ended(ending) => self.on_end(ending),
            Event::Swapped if self.phase == Phase::Running && !self.stopping => {
                let deadline = now + self.grace;
                self.phase = Phase::Terminating { kill_at: Some(deadline), deadline };
                // A stopped process takes a SIGTERM only when it goes on.
                vec![Effect::Signal(Signal::TERM), Effect::Signal(Signal::CONT)]
            }
            // The start that is to come reads the newest values.
            Event::Swapped => Vec::new(),
            Event::Tick { children } => self.on_tick(children, now),
        }
    }

    fn on_signal(&mut self, signal: Signal) -> Vec<Effect> {
        let restarting = self.phase != Phase::Running;
        // Kubernetes stops with SIGTERM, and a few images with one of the others, which mean
        // something else to an application that runs.
        self.stopping |= signal == Signal::TERM
            || (restarting && (signal == Signal::INT || signal == Signal::QUIT));
        match self.phase {
            Phase::Clearing { ending, .. } if self.stopping => vec![Effect::Finish(ending)],
            Phase::Clearing { .. } => Vec::new(),
            _ => vec![Effect::Signal(signal)],
        }
    }

    fn on_end(&mut self, ending: Ending) -> Vec<Effect> {
        match self.phase {
            Phase::Terminating { deadline, .. } if !self.stopping => {
                self.phase = Phase::Clearing { deadline, ending };
                Vec::new()
            }
            _ => vec![Effect::Finish(ending)],
        }
    }

    fn on_tick(&mut self, children: bool, now: Instant) -> Vec<Effect> {
        match &mut self.phase {
            Phase::Running => Vec::new(),
            Phase::Terminating { kill_at, .. } => match kill_at.take_if(|at| now >= *at) {
                Some(_) => vec![Effect::Signal(Signal::KILL)],
                None => Vec::new(),
            },
            Phase::Clearing { .. } if !children => {
                self.phase = Phase::Running;
                vec![Effect::Start]
            }
            Phase::Clearing { deadline, .. } if now >= *deadline => {
                vec![Effect::SignalChildren(Signal::KILL)]
            }
            Phase::Clearing { .. } => vec![Effect::SignalChildren(Signal::TERM)],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GRACE: Duration = Duration::from_secs(5);
    const ENDED: Event = Event::Ended(Ending::Exited(3));
    const FINISH: Effect = Effect::Finish(Ending::Exited(3));

    fn tick(children: bool) -> Event {
        Event::Tick { children }
    }

    /// Events at a second each, and what came of each.
    fn play(events: &[(u64, Event)]) -> Vec<Vec<Effect>> {
        let (mut supervision, start) = (Supervision::new(GRACE), Instant::now());
        let at = |seconds| start + Duration::from_secs(seconds);
        events.iter().map(|(seconds, event)| supervision.on(*event, at(*seconds))).collect()
    }

    const TERMINATE: [Effect; 2] = [Effect::Signal(Signal::TERM), Effect::Signal(Signal::CONT)];

    #[test]
    fn a_command_that_ends_is_the_end() {
        assert_eq!(play(&[(0, tick(true)), (1, ENDED)]), [vec![], vec![FINISH]]);
        let hangup = Event::Signal(Signal::HUP);
        assert_eq!(play(&[(0, hangup)]), [vec![Effect::Signal(Signal::HUP)]]);
    }

    #[test]
    fn several_swaps_are_one_restart() {
        let events =
            [(0, Event::Swapped), (1, Event::Swapped), (2, ENDED), (2, tick(false)), (3, ENDED)];
        let expected = [TERMINATE.to_vec(), vec![], vec![], vec![Effect::Start], vec![FINISH]];
        assert_eq!(play(&events), expected);
    }

    #[test]
    fn a_command_that_does_not_end_is_killed_once() {
        let events = [(0, Event::Swapped), (4, tick(true)), (5, tick(true)), (6, tick(true))];
        let expected = [TERMINATE.to_vec(), vec![], vec![Effect::Signal(Signal::KILL)], vec![]];
        assert_eq!(play(&events), expected);
    }

    #[test]
    fn what_a_command_leaves_behind_ends_before_the_next_start() {
        let events =
            [(0, Event::Swapped), (1, ENDED), (1, tick(true)), (5, tick(true)), (5, tick(false))];
        let expected = [
            TERMINATE.to_vec(),
            vec![],
            vec![Effect::SignalChildren(Signal::TERM)],
            vec![Effect::SignalChildren(Signal::KILL)],
            vec![Effect::Start],
        ];
        assert_eq!(play(&events), expected);
    }

    #[test]
    fn a_stop_while_restarting_starts_nothing() {
        for stop in [Signal::TERM, Signal::INT, Signal::QUIT] {
            let stop = Event::Signal(stop);
            let found = play(&[(0, Event::Swapped), (1, stop), (2, ENDED)]);
            assert_eq!(found[2], [FINISH]);
            let found = play(&[(0, Event::Swapped), (1, ENDED), (2, stop)]);
            assert_eq!(found[2], [FINISH]);
        }
    }

    #[test]
    fn nothing_restarts_what_is_stopping() {
        let term = Event::Signal(Signal::TERM);
        assert_eq!(
            play(&[(0, term), (1, Event::Swapped), (2, ENDED)])[1..],
            [vec![], vec![FINISH]]
        );
        // An interrupt means something else to an application that runs.
        let interrupt = Event::Signal(Signal::INT);
        assert_eq!(play(&[(0, interrupt), (1, Event::Swapped)])[1], TERMINATE);
    }
}
