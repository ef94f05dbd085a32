//! What becomes of a rotation, case by case.

use std::time::Duration;

use rotation::judge::{Baseline, Budget, Failure, Metric, Verdict};
use rotation::machine::{
    Checks, Command, Event, Observations, Reason, Row, Sessions, State, Step, TransitionError,
    baseline, transition,
};
use rotation::policy::{Urgency, Validity};

use crate::world::{FROM, Fate, TO, World};

fn person(command: fn(String) -> Command) -> Command {
    command("ada".to_owned())
}

fn in_wave(wave: usize) -> impl Fn(&World) -> bool {
    move |it| it.row.state == State::Baking(wave)
}

fn failing() -> Verdict {
    Verdict::Failing(Failure {
        metric: Metric::Failed,
        baseline: Baseline::Rest,
        evidence: 5_000.0,
        canary: Default::default(),
        rest: Default::default(),
        seconds: 3,
    })
}

/// How many pods are told to hold the target generation.
fn told(world: &World) -> usize {
    let pods = world.pods.iter().map(|it| &it.view);
    pods.filter(|it| world.row.generation_for(&it.uid, it.first_seen) == TO).count()
}

#[test]
fn a_rotation_goes_through_every_wave() {
    let mut world = World::new(20, Validity::Both);
    for (wave, pods) in [(0, 1), (1, 2), (2, 10), (3, 20)] {
        world.until(in_wave(wave));
        assert_eq!(told(&world), pods);
    }
    world.until(|_| false);
    world.check_end();
    let waves = (0..4).flat_map(|it| [State::Canary(it), State::Baking(it)]);
    let mut expected = vec![State::Creating, State::Testing];
    expected.extend(waves);
    expected.extend([State::Active, State::Draining, State::Revoked]);
    assert_eq!(world.states(), expected);
    assert!(world.now >= Duration::from_secs(4 * 60), "each wave bakes for a minute");
}

#[test]
fn a_row_is_the_same_after_it_was_stored() {
    let mut world = World::new(3, Validity::Both);
    world.until(|it| {
        let text = serde_json::to_string(&it.row).unwrap();
        assert_eq!(serde_json::from_str::<Row>(&text).unwrap(), it.row);
        false
    });
    world.check_end();
}

#[test]
fn a_wave_that_reaches_nobody_new_is_left_out() {
    let mut world = World::new(2, Validity::Both);
    world.until(|_| false);
    let canaries = world.states().into_iter().filter(|it| matches!(it, State::Canary(_)));
    assert_eq!(canaries.collect::<Vec<_>>(), [State::Canary(0), State::Canary(3)]);
}

#[test]
fn where_one_credential_is_valid_all_pods_change_at_once_after_the_test() {
    let mut world = World::new(20, Validity::One);
    world.until(|it| it.row.state == State::Testing);
    assert_eq!(told(&world), 0);
    world.until(in_wave(0));
    assert_eq!((told(&world), world.row.stable()), (20, TO), "new pods must not get the old one");
    world.until(|_| false);
    world.check_end();
    assert_eq!(world.row.state, State::Revoked);
}

#[test]
fn a_failure_on_the_canary_reaches_nobody_else() {
    for (name, fail) in [
        ("a check", (|it| it.pods.iter_mut().for_each(fail_check)) as fn(&mut World)),
        ("requests", |it| it.requests = failing()),
        ("restarts", |it| it.pods.iter_mut().for_each(|pod| pod.view.restarts = 2)),
    ] {
        let mut world = World::new(20, Validity::Both);
        world.until(in_wave(0));
        fail(&mut world);
        world.tick(None);
        assert_eq!((world.row.state, told(&world)), (State::RollingBack, 0), "{name}");
        world.until(|_| false);
        world.check_end();
        assert_eq!(world.row.state, State::RolledBack, "{name}");
        assert!(!world.states().contains(&State::Canary(1)));
    }
}

fn fail_check(pod: &mut crate::world::Pod) {
    pod.view.checks = Checks::Failed("login refused".to_owned());
}

#[test]
fn a_deadline_without_evidence_goes_back() {
    let mut world = World::new(20, Validity::Both);
    world.until(in_wave(0));
    let since = world.now;
    world.pods.iter_mut().for_each(|it| it.view.checks = Checks::Unknown);
    while world.row.state == State::Baking(0) {
        world.now += Duration::from_secs(5);
        world.tick(None);
    }
    assert_eq!(world.now - since, Duration::from_secs(11 * 60), "bake time and timeout");
    let Some(Reason::Timeout(missing)) = &world.row.reason else { panic!("{:?}", world.row) };
    assert!(missing.ends_with("no check passed; undecided: no requests were counted"), "{missing}");
}

#[test]
fn an_agent_that_is_away_holds_the_wave_up_and_then_takes_it_back() {
    let mut world = World::new(20, Validity::Both);
    world.until(in_wave(1));
    let of_canary = |it: &&mut crate::world::Pod| it.holds == TO;
    world.pods.iter_mut().find(of_canary).unwrap().view.is_connected = false;
    for _ in 0..(11 * 12) {
        world.now += Duration::from_secs(5);
        world.tick(None);
    }
    assert_eq!(world.row.state, State::RollingBack);
    // Nobody knows what it holds, so the new credential stays, and that is said.
    for _ in 0..(10 * 12) {
        for pod in 0..20 {
            world.apply_told(pod, true);
        }
        world.now += Duration::from_secs(5);
        world.tick(None);
    }
    assert_eq!((world.row.state, world.target.discarded), (State::RolledBack, 0));
    assert!(world.events.iter().any(|it| matches!(it, Event::NewCredentialLeft(_))));
}

#[test]
fn pods_come_and_go() {
    let mut world = World::new(20, Validity::Both);
    world.until(in_wave(1));
    world.add_pod();
    let new = &world.pods[20].view;
    assert_eq!(world.row.generation_for(&new.uid, new.first_seen), FROM, "new pods stay stable");
    // One of the two canaries vanishes, which is no failure.
    let of_canary = |it: &crate::world::Pod| it.holds == TO;
    let one = world.pods.iter().position(of_canary).unwrap();
    world.pods.remove(one);
    world.until(in_wave(2));
    assert_eq!(told(&world), 10);
    world.pods.retain(|it| it.holds == FROM);
    world.tick(None);
    assert_eq!(world.row.reason, Some(Reason::CanaryVanished));
    world.until(|_| false);
    world.check_end();
}

#[test]
fn without_pods_the_login_of_the_test_is_enough() {
    let mut world = World::new(0, Validity::Both);
    world.until(|_| false);
    assert_eq!(world.row.state, State::Revoked);
    assert!(world.events.contains(&Event::NoPods));
}

#[test]
fn a_newer_write_returns_to_stable_first_and_later_ones_wait() {
    let expected = [
        (State::Pending, State::Superseded),
        (State::Creating, State::Superseded),
        (State::Testing, State::Superseded),
        (State::Canary(0), State::Superseded),
        (State::Baking(2), State::Superseded),
        (State::Draining, State::Revoked),
    ];
    for (at, end) in expected {
        let mut world = World::new(20, Validity::Both);
        world.until(|it| it.row.state == at);
        world.newer = Some(contract::Generation(9));
        world.until(|_| false);
        world.check_end();
        assert_eq!(world.row.state, end, "at {at}");
    }
}

#[test]
fn what_was_refused_before_any_pod_knew_has_failed() {
    for at in [State::Creating, State::Testing] {
        let mut world = World::new(20, Validity::Both);
        world.until(|it| it.row.state == at && it.in_flight.is_some());
        world.resolve(Fate::Refused);
        world.until(|_| false);
        world.check_end();
        assert_eq!(world.row.state, State::Failed, "{at}");
        assert_eq!(world.row.reason, Some(Reason::Provider("no".to_owned())));
    }
}

#[test]
fn people_pause_resume_promote_and_roll_back() {
    let mut world = World::new(20, Validity::Both);
    world.until(in_wave(1));
    world.tick(Some(Command::Pause));
    world.now += Duration::from_secs(86_400);
    world.tick(None);
    assert_eq!((world.row.state, told(&world)), (State::Paused(1), 2), "nothing is too late");
    world.tick(Some(Command::Resume));
    world.until(in_wave(1));
    world.tick(Some(person(Command::Promote)));
    assert_eq!(told(&world), 20);
    world.until(|it| it.row.state == State::Draining);
    world.sessions = Sessions::Open(1);
    world.tick(Some(person(Command::RollBack)));
    world.sessions = Sessions::Open(0);
    world.until(|_| false);
    world.check_end();
    assert_eq!(world.row.reason, Some(Reason::Person("ada".to_owned())));
    let mut paused = World::new(20, Validity::Both);
    paused.until(in_wave(0));
    paused.tick(Some(Command::Pause));
    paused.requests = failing();
    paused.tick(None);
    assert_eq!(paused.row.state, State::RollingBack, "a failure is not waited out");
}

#[test]
fn sessions_of_the_old_credential_are_ended_by_a_name_alone() {
    let mut world = World::new(20, Validity::Both);
    world.sessions = Sessions::Open(3);
    world.until(|it| it.now > Duration::from_secs(6 * 3600));
    assert_eq!((world.row.state, world.target.revoked), (State::Draining, 0));
    let overlap = |it: &&Event| matches!(it, Event::OverlapOpen(_));
    let said: Vec<_> = world.events.iter().filter(overlap).collect();
    assert_eq!(said, [&Event::OverlapOpen("3 sessions use the old credential".to_owned())]);
    world.tick(Some(person(Command::EndSessions)));
    world.until(|_| false);
    assert_eq!((world.row.state, world.target.revoked), (State::Revoked, 1));
    assert!(world.events.contains(&Event::EndsSessions("ada".to_owned())));
}

#[test]
fn whoever_comes_back_before_a_step_is_repeated_is_waited_for() {
    let mut world = World::new(5, Validity::Both);
    world.until(|it| it.in_flight.is_some_and(|(step, ..)| step == Step::Revoke));
    world.resolve(Fate::NotDone);
    world.tick(None);
    world.sessions = Sessions::Open(1);
    world.until(|it| it.now > Duration::from_secs(3 * 3600));
    assert_eq!((world.row.state, world.target.revoked), (State::Draining, 0));
    world.sessions = Sessions::Open(0);
    world.until(|_| false);
    assert_eq!(world.target.revoked, 1);

    let mut world = World::new(5, Validity::Both);
    world.until(in_wave(0));
    world.tick(Some(person(Command::RollBack)));
    world.until(|it| it.in_flight.is_some_and(|(step, ..)| step == Step::Discard));
    world.resolve(Fate::NotDone);
    world.tick(None);
    world.sessions = Sessions::Open(1);
    let since = world.now;
    world.until(|it| it.now > since + Duration::from_secs(60));
    assert_eq!((world.row.state, world.target.discarded), (State::RollingBack, 0));
    world.sessions = Sessions::Open(0);
    world.until(|_| false);
    assert_eq!(world.target.discarded, 1);
}

#[test]
fn a_pod_that_may_hold_the_new_credential_is_waited_for() {
    let mut world = World::new(5, Validity::Both);
    world.until(|it| it.row.state == State::Canary(0));
    let told = |it: &World, pod: usize| {
        let view = &it.pods[pod].view;
        it.row.generation_for(&view.uid, view.first_seen) == TO
    };
    let canary = (0..5).find(|pod| told(&world, *pod)).unwrap();
    world.apply_told(canary, false);
    assert_eq!(world.pods[canary].view.holds, Some(FROM), "it took it, and could not say so");
    world.tick(Some(person(Command::RollBack)));
    world.now += Duration::from_secs(60);
    world.tick(None);
    assert_eq!((world.row.state, world.in_flight), (State::RollingBack, None));
    world.until(|_| false);
    world.check_end();
    assert_eq!(world.target.discarded, 1);
}

#[test]
fn a_target_that_cannot_tell_has_an_overlap() {
    for (sessions, expected) in
        [(Sessions::NotTold, State::Revoked), (Sessions::Unknown, State::Draining)]
    {
        let mut world = World::new(2, Validity::Both);
        world.until(|it| it.row.state == State::Draining);
        world.sessions = sessions;
        let since = world.now;
        world.until(|it| it.now - since == Duration::from_secs(59 * 60));
        assert_eq!(world.row.state, State::Draining);
        world.is_overridden = true;
        world.until(|it| it.now - since > Duration::from_secs(70 * 60));
        assert_eq!(world.row.state, expected, "{sessions:?}");
    }
}

#[test]
fn a_command_that_does_not_fit_is_refused_with_the_state() {
    let seen = |command| Observations {
        fence: 1,
        is_next: false,
        outcome: None,
        pods: None,
        requests: failing(),
        sessions: Sessions::Unknown,
        newer: None,
        command: Some(command),
    };
    let world = World::new(1, Validity::Both);
    for (command, text) in [
        (Command::Pause, "pause rotation: it is pending"),
        (Command::Resume, "resume rotation: it is pending"),
        (person(Command::Promote), "promote rotation: it is pending"),
        (person(Command::EndSessions), "end sessions of rotation: it is pending"),
    ] {
        let error = transition(&world.row, &seen(command), world.now).unwrap_err();
        assert_eq!(error.to_string(), text);
    }
    let mut late = World::new(1, Validity::Both);
    late.until(|_| false);
    let error = transition(&late.row, &seen(person(Command::RollBack)), late.now).unwrap_err();
    assert_eq!(error.to_string(), "roll back rotation: it is revoked");
    let mut row = world.row.clone();
    row.fence = 2;
    let error = transition(&row, &seen(Command::Pause), world.now).unwrap_err();
    assert_eq!(error, TransitionError::StaleFence { seen: 1, row: 2 });
}

#[test]
fn an_emergency_is_held_against_the_budget() {
    let mut row = World::new(1, Validity::Both).row;
    for (works, expected) in
        [(Some(true), Baseline::Rest), (None, Baseline::Rest), (Some(false), Baseline::Budget)]
    {
        assert_eq!(baseline(&row, works), expected);
    }
    row.urgency = Urgency::Emergency;
    assert_eq!(baseline(&row, Some(true)), Baseline::Budget);
    assert_eq!(row.policy.budget, Budget::default());
}
