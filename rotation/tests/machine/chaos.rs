//! Whatever happens in whatever order, nothing is done twice, no credential in use is ended, and
//! once things go well again the rotation ends.

use std::time::Duration;

use contract::Generation;
use proptest::prelude::*;
use rotation::judge::{Missing, Verdict};
use rotation::machine::{Checks, Command, Sessions, State};
use rotation::policy::Validity;

use crate::world::{Fate, World};

#[derive(Clone, Debug)]
enum Happening {
    Time(u64),
    Resolve(Fate),
    LeaderDies,
    PodApplies(usize),
    PodAppliesAndGoesAway(usize),
    PodComesBack(usize),
    PodFails(usize),
    PodVanishes(usize),
    PodComes,
    SessionsAre(Sessions),
    NewerWrite,
    Asked(Command),
    GoesWell,
}

fn happening() -> impl Strategy<Value = Happening> {
    use Happening::*;
    let fate = prop_oneof![
        5 => Just(Fate::Done),
        1 => Just(Fate::AnswerLost),
        1 => Just(Fate::NotDone),
        1 => Just(Fate::Refused),
        1 => Just(Fate::DiesBefore),
        1 => Just(Fate::DiesAfter),
    ];
    let sessions = prop_oneof![
        (0u64..3).prop_map(Sessions::Open),
        Just(Sessions::Unknown),
        Just(Sessions::Open(0)),
    ];
    let name = || "ada".to_owned();
    let command = prop_oneof![
        Just(Command::Pause),
        Just(Command::Resume),
        Just(Command::Promote(name())),
        Just(Command::RollBack(name())),
        Just(Command::EndSessions(name())),
    ];
    prop_oneof![
        4 => (1u64..90).prop_map(Time),
        6 => fate.prop_map(Resolve),
        1 => Just(LeaderDies),
        3 => (0usize..6).prop_map(PodApplies),
        1 => (0usize..6).prop_map(PodAppliesAndGoesAway),
        1 => (0usize..6).prop_map(PodComesBack),
        1 => (0usize..40).prop_map(PodFails),
        1 => (0usize..20).prop_map(PodVanishes),
        1 => Just(PodComes),
        1 => sessions.prop_map(SessionsAre),
        1 => (0u8..30).prop_map(|it| if it == 0 { NewerWrite } else { Time(1) }),
        1 => command.prop_map(Asked),
        8 => Just(GoesWell),
    ]
}

fn happen(world: &mut World, happening: Happening) {
    match happening {
        Happening::Time(seconds) => world.now += Duration::from_secs(seconds),
        Happening::Resolve(fate) => world.resolve(fate),
        Happening::LeaderDies => {
            world.in_flight = None;
            world.fence += 1;
        }
        Happening::PodApplies(pod) => world.apply_told(pod, true),
        Happening::PodAppliesAndGoesAway(pod) => world.apply_told(pod, false),
        Happening::PodComesBack(pod) => {
            if let Some(pod) = world.pods.get_mut(pod) {
                pod.view.is_connected = true;
                pod.view.holds = Some(pod.holds);
            }
        }
        Happening::PodFails(pod) => {
            if let Some(pod) = world.pods.get_mut(pod) {
                pod.view.checks = Checks::Failed("no".to_owned());
            }
        }
        Happening::PodVanishes(pod) => {
            if pod < world.pods.len() {
                world.pods.remove(pod);
            }
        }
        Happening::PodComes => world.add_pod(),
        // Between the decision to end a credential and its end the provider looks itself.
        Happening::SessionsAre(sessions) if world.in_flight.is_none() => world.sessions = sessions,
        Happening::SessionsAre(_) => {}
        Happening::NewerWrite => world.newer = Some(Generation(9)),
        Happening::Asked(command) => world.tick(Some(command)),
        Happening::GoesWell => world.fair_turn(),
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn nobody_is_hurt_and_it_ends(
        is_dual: bool,
        pods in 0usize..6,
        well in 0usize..70,
        happenings in prop::collection::vec(happening(), 0..60),
    ) {
        let validity = if is_dual { Validity::Both } else { Validity::One };
        let mut world = World::new(pods, validity);
        world.tick(None);
        (0..well).for_each(|_| world.fair_turn());
        for happening in happenings {
            happen(&mut world, happening);
            world.tick(None);
        }
        world.sessions = Sessions::Open(0);
        world.requests = Verdict::Undecided(Missing::Requests);
        if let State::Paused(_) = world.row.state {
            world.tick(Some(Command::Resume));
        }
        world.until(|_| false);
        world.check_end();
    }
}
