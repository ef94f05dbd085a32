//! As process 1 of a namespace, as in a container.

use std::process::Command;

use crate::container::{ExecContainer, Running, until};

/// Runs a command of ours as the first process of a process namespace.
fn contained(container: &ExecContainer, variables: &[&str], script: &str) -> Command {
    let ours = container.command(variables, &["sh", "-c", script]);
    let mut command = Command::new("unshare");
    command.args(["--user", "--map-root-user", "--pid", "--fork", "--mount-proc", "--kill-child"]);
    command.arg(ours.get_program()).args(ours.get_args());
    command.env_clear().envs(ours.get_envs().filter_map(|(name, value)| Some((name, value?))));
    command
}

#[test]
fn orphans_are_reaped() {
    let container = ExecContainer::new(&[("A", b"value")]);
    // Each subshell leaves an orphan behind, as a daemon does that forks twice. The first process
    // has reaped them when no process is a zombie.
    let script = "i=0; while [ $i -lt 1000 ]; do (true &); i=$((i+1)); done; sleep 0.5; \
                  echo parent $PPID; grep -l '^State:.Z' /proc/[0-9]*/status | wc -l; \
                  (setsid sleep 1000 & echo daemon); echo \"$A\"; read line";
    let mut command = contained(&container, &["A"], script);
    command.stdin(std::process::Stdio::piped());
    let mut running = Running::start(command);
    let lines: Vec<_> = (0..4).map(|_| running.line()).collect();
    assert_eq!(lines, ["parent 1", "0", "daemon", "value"]);
}

#[test]
fn the_status_says_the_signal_and_the_rest_ends() {
    let container = ExecContainer::new(&[]);
    let marker = container.path("alive");
    let script = format!(
        "(while :; do date >> {}; sleep 0.05; done) & sleep 0.3; kill -TERM $$",
        marker.display()
    );
    let status = contained(&container, &[], &script).status().unwrap();
    assert_eq!(status.code(), Some(143), "{status:?}");
    let size = || std::fs::metadata(&marker).unwrap().len();
    let before = size();
    assert!(before > 0);
    std::thread::sleep(std::time::Duration::from_millis(300));
    assert_eq!(size(), before);
}

#[test]
fn a_stop_from_outside_reaches_the_command() {
    let container = ExecContainer::new(&[]);
    let script = "trap 'echo stopped; exit 3' TERM; echo ready; while :; do sleep 0.02; done";
    let mut running = Running::start(contained(&container, &[], script));
    assert_eq!(running.line(), "ready");
    // `unshare` does not pass signals on, so its child gets one as kubelet's runtime sends it.
    let first = crate::container::children(running.id())[0];
    until("the signal is sent", || {
        let pid = rustix::process::Pid::from_raw(first).unwrap();
        rustix::process::kill_process(pid, rustix::process::Signal::TERM).is_ok()
    });
    assert_eq!(running.line(), "stopped");
    assert_eq!(running.end().code(), Some(3));
}
