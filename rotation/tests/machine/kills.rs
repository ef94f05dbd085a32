//! Every external effect of every way through the machine, with a leader that dies before it or
//! after it, once and again.

use rotation::machine::{Checks, Command, State, Step};
use rotation::policy::Validity;

use crate::world::{Fate, Pod, World};

/// What happens in a way, at which state.
type Turn = (State, fn(&mut World));

fn ways() -> Vec<(&'static str, Option<Turn>)> {
    let fail = |it: &mut World| {
        let broken = |pod: &mut Pod| pod.view.checks = Checks::Failed("no".to_owned());
        it.pods.iter_mut().for_each(broken);
    };
    let back = |it: &mut World| it.tick(Some(Command::RollBack("ada".to_owned())));
    let newer = |it: &mut World| it.newer = Some(contract::Generation(9));
    let mut ways: Vec<(&str, Option<Turn>)> = vec![("all is well", None)];
    for state in [State::Canary(0), State::Baking(0), State::Baking(1), State::Baking(2)] {
        ways.push(("the canary fails", Some((state, fail))));
    }
    for state in [
        State::Creating,
        State::Testing,
        State::Canary(0),
        State::Baking(1),
        State::Active,
        State::Draining,
    ] {
        ways.push(("a person goes back", Some((state, back))));
        ways.push(("a newer write", Some((state, newer))));
    }
    ways
}

/// Goes the way, and kills the leader at its effect number `at`, so many times in a row.
fn go(way: &Option<Turn>, validity: Validity, at: usize, fates: &[Fate]) -> (World, Vec<Step>) {
    let mut world = World::new(5, validity);
    let (mut steps, mut fates) = (Vec::new(), fates.iter());
    let mut turn = *way;
    for _ in 0..2_000 {
        if world.row.state.is_end() {
            return (world, steps);
        }
        if let Some((_, act)) = turn.filter(|(state, _)| *state == world.row.state) {
            act(&mut world);
            turn = None;
        }
        if let Some((step, _, asks)) = world.in_flight {
            if !asks {
                steps.push(step);
            }
            if steps.len() > at {
                world.resolve(fates.next().copied().unwrap_or(Fate::Done));
            }
        }
        world.fair_turn();
    }
    panic!("no end: {:?}", world.row);
}

#[test]
fn whoever_dies_when_and_how_often_nothing_is_done_twice_and_it_ends() {
    let mut runs = 0;
    for validity in [Validity::Both, Validity::One] {
        for (name, way) in ways() {
            let (whole, steps) = go(&way, validity, usize::MAX, &[]);
            whole.check_end();
            for at in 0..steps.len() {
                for first in [Fate::DiesBefore, Fate::DiesAfter, Fate::AnswerLost, Fate::NotDone] {
                    for more in [0, 1, 3] {
                        let fates = [&[first][..], &vec![Fate::DiesBefore; more]].concat();
                        let (world, again) = go(&way, validity, at, &fates);
                        world.check_end();
                        // A login may be tried twice. Time passes meanwhile, so a way may end
                        // before its turn, and no way ends anywhere else.
                        let ends = [whole.row.state, State::Failed, State::RolledBack];
                        assert!(ends.contains(&world.row.state), "{name} {fates:?} {again:?}");
                        runs += 1;
                    }
                }
            }
        }
    }
    assert!(runs > 1_000, "{runs}");
}
