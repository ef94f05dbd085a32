//! A rotation starts the command again, if that is asked for.

use std::process::Stdio;
use std::time::{Duration, Instant};

use rustix::process::Signal;

use crate::container::{ExecContainer, Running, children};

const GRACEFUL: &str = "trap 'echo stopping; exit 9' TERM; echo \"start $A\"; \
                        while :; do sleep 0.02; done";

#[test]
fn a_swap_restarts_the_command_with_the_new_values() {
    let container = ExecContainer::new(&[("A", b"one")]);
    let command = container.command_with(&["A"], Some(10), &["sh", "-c", GRACEFUL]);
    let mut running = Running::start(command);
    assert_eq!(running.line(), "start one");
    for (generation, value) in [(2, "two"), (3, "three")] {
        container.swap(generation, &[("A", value.as_bytes())]);
        assert_eq!(running.line(), "stopping");
        assert_eq!(running.line(), format!("start {value}"));
    }
    running.signal(Signal::TERM);
    assert_eq!(running.line(), "stopping");
    assert_eq!(running.end().code(), Some(9));
}

#[test]
fn several_swaps_are_one_restart_and_without_the_request_there_is_none() {
    let container = ExecContainer::new(&[("A", b"1")]);
    let command = container.command_with(&["A"], Some(10), &["sh", "-c", GRACEFUL]);
    let mut running = Running::start(command);
    let mut other = Running::start(container.command(&["A"], &["sh", "-c", GRACEFUL]));
    assert_eq!((running.line(), other.line()), ("start 1".to_owned(), "start 1".to_owned()));
    for generation in 2..=20 {
        container.swap(generation, &[("A", generation.to_string().as_bytes())]);
        std::thread::sleep(Duration::from_millis(5));
    }
    assert_eq!(running.line(), "stopping");
    assert_eq!(running.line(), "start 20");
    std::thread::sleep(Duration::from_millis(1500));
    running.signal(Signal::TERM);
    other.signal(Signal::TERM);
    assert_eq!((running.line(), running.line()), ("stopping".to_owned(), String::new()));
    assert_eq!((other.line(), other.line()), ("stopping".to_owned(), String::new()));
}

#[test]
fn what_ignores_the_stop_is_killed_after_the_grace() {
    let container = ExecContainer::new(&[("A", b"one")]);
    let script = "trap '' TERM; echo \"start $A\"; while :; do sleep 0.02; done";
    let command = container.command_with(&["A"], Some(1), &["sh", "-c", script]);
    let mut running = Running::start(command);
    assert_eq!(running.line(), "start one");
    let started = Instant::now();
    container.swap(2, &[("A", b"two")]);
    assert_eq!(running.line(), "start two");
    assert!(started.elapsed() >= Duration::from_secs(2), "{:?}", started.elapsed());
}

#[test]
fn what_a_command_leaves_behind_ends_before_the_next_one_starts() {
    let container = ExecContainer::new(&[("A", b"one")]);
    let log = container.path("log");
    // The shell does not pass the signal on, and its server holds on to the old value.
    let script = format!(
        "sh -c 'trap \"echo end $A >> {0}; exit\" TERM; echo serve $A >> {0}; echo ready; \
         while :; do sleep 0.02; done'; true",
        log.display()
    );
    let command = container.command_with(&["A"], Some(10), &["sh", "-c", &script]);
    let mut running = Running::start(command);
    assert_eq!(running.line(), "ready");
    container.swap(2, &[("A", b"two")]);
    assert_eq!(running.line(), "ready");
    let found = std::fs::read_to_string(&log).unwrap();
    assert_eq!(found, "serve one\nend one\nserve two\n");
}

#[test]
fn a_stop_while_restarting_starts_nothing() {
    let container = ExecContainer::new(&[("A", b"one")]);
    let script = "trap 'echo stopping; sleep 1; exit 9' TERM; echo \"start $A\"; \
                  while :; do sleep 0.02; done";
    let command = container.command_with(&["A"], Some(10), &["sh", "-c", script]);
    let mut running = Running::start(command);
    assert_eq!(running.line(), "start one");
    container.swap(2, &[("A", b"two")]);
    assert_eq!(running.line(), "stopping");
    running.signal(Signal::TERM);
    assert_eq!(running.end().code(), Some(9));
    let rest = running.line();
    assert!(rest.is_empty() || rest == "stopping", "{rest}");
}

#[test]
fn values_that_cannot_be_set_leave_the_command_running() {
    let container = ExecContainer::new(&[("A", b"one")]);
    let mut command = container.command_with(&["A"], Some(10), &["sh", "-c", GRACEFUL]);
    command.stderr(Stdio::piped());
    let mut running = Running::start(command);
    assert_eq!(running.line(), "start one");
    let before = children(running.id());
    container.swap(2, &[("A", b"hunter2\0")]);
    std::thread::sleep(Duration::from_millis(1500));
    assert_eq!(children(running.id()), before);
    container.swap(3, &[("A", b"three")]);
    assert_eq!(running.line(), "stopping");
    assert_eq!(running.line(), "start three");
}

#[test]
fn a_command_that_ends_by_itself_is_not_started_again() {
    let container = ExecContainer::new(&[("A", b"one")]);
    let words = ["sh", "-c", "echo ready; read line; exit 4"];
    let mut command = container.command_with(&["A"], Some(10), &words);
    command.stdin(Stdio::null());
    let mut running = Running::start(command);
    assert_eq!(running.line(), "ready");
    container.swap(2, &[("A", b"two")]);
    assert_eq!(running.end().code(), Some(4));
}
