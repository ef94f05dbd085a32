//! Real processes: who gets the signal, and who is spared.
//!
//! Time stands still and leaps where nothing else is to do, so that giving up takes no time.

#![expect(clippy::unwrap_used, reason = "in a test a panic is the report")]

use std::io::{BufRead, BufReader};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

use agent::app::{Application, PROC, SignalFailure, TellError};
use contract::layout::{CONTAINER_VARIABLE, POD_UID_VARIABLE};
use contract::stream::Outcome;

/// A container of a pod of its own.
struct Container {
    pod_uid: String,
    children: Vec<Child>,
}

impl Container {
    fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let pod_uid =
            format!("test-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        Self { pod_uid, children: Vec::new() }
    }

    /// Starts a shell script in the container and waits for its first line, so that its traps are
    /// set.
    fn run(&mut self, script: &str) -> (u32, BufReader<ChildStdout>) {
        let mut command = Command::new("sh");
        command
            .args(["-c", script])
            .env(CONTAINER_VARIABLE, "app")
            .env(POD_UID_VARIABLE, &self.pod_uid);
        let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
        let mut output = BufReader::new(child.stdout.take().unwrap());
        let id = child.id();
        self.children.push(child);
        assert_eq!(line(&mut output), "ready");
        (id, output)
    }

    async fn tell(&self) -> Result<Outcome, TellError> {
        let signal = "signal=SIGHUP".parse().unwrap();
        let application = Application::new(
            signal,
            Some("app".to_owned()),
            Some(self.pod_uid.clone()),
            PROC.into(),
        );
        application.unwrap().tell().await
    }

    fn lives(&mut self, at: usize) -> bool {
        self.children[at].try_wait().unwrap().is_none()
    }
}

impl Drop for Container {
    fn drop(&mut self) {
        for child in &mut self.children {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

fn line(output: &mut BufReader<ChildStdout>) -> String {
    let mut line = String::new();
    output.read_line(&mut line).unwrap();
    line.trim().to_owned()
}

// A shell runs a trap when the program that it waits for has ended, so that one must be short. It
// ends by itself with the test, which is its parent.
const CATCHES: &str =
    "trap 'echo hup' HUP; echo ready; while [ -d /proc/$PPID ]; do sleep 0.02; done";
const DOES_NOT: &str = "echo ready; while [ -d /proc/$PPID ]; do sleep 0.02; done";

#[tokio::test(start_paused = true)]
async fn a_process_that_catches_the_signal_gets_it() {
    let mut container = Container::new();
    let (_, mut output) = container.run(CATCHES);
    assert_eq!(container.tell().await.unwrap(), Outcome::Signalled);
    assert_eq!(line(&mut output), "hup");
    assert!(container.lives(0));
}

#[tokio::test(start_paused = true)]
async fn a_process_that_does_not_catch_it_is_spared_and_named() {
    let mut container = Container::new();
    let (id, _output) = container.run(DOES_NOT);
    let error = container.tell().await.unwrap_err();
    assert!(
        matches!(error, TellError::Signal(SignalFailure::NotCaught { pid, .. }) if u32::try_from(pid) == Ok(id)),
        "{error}"
    );
    assert!(error.to_string().contains("do not catch it, so it was not sent"), "{error}");
    assert!(container.lives(0));
}

#[tokio::test(start_paused = true)]
async fn behind_a_shell_that_does_not_pass_it_on_the_child_gets_it() {
    let mut container = Container::new();
    let script = format!("sh -c \"{CATCHES}\"; exit 0").replace('$', "\\$");
    let (_, mut output) = container.run(&script);
    assert_eq!(container.tell().await.unwrap(), Outcome::Signalled);
    assert_eq!(line(&mut output), "hup");
    assert!(container.lives(0));
}

#[tokio::test(start_paused = true)]
async fn what_is_started_later_in_the_container_does_not_get_it() {
    let mut container = Container::new();
    let (_, mut first) = container.run(CATCHES);
    // The age of a process is known to a hundredth of a second.
    std::thread::sleep(std::time::Duration::from_millis(30));
    let (_, mut second) =
        container.run(&CATCHES.replace("hup", "never").replace("while", "echo on; while"));
    assert_eq!(line(&mut second), "on");
    assert_eq!(container.tell().await.unwrap(), Outcome::Signalled);
    assert_eq!(line(&mut first), "hup");
    let second_child = container.children.pop().unwrap();
    drop(container);
    let mut second_child = second_child;
    second_child.kill().unwrap();
    second_child.wait().unwrap();
    assert_eq!(line(&mut second), "");
}

#[tokio::test]
async fn an_application_that_is_still_starting_is_waited_for() {
    let mut container = Container::new();
    let (_, mut output) = container.run(
        &CATCHES
            .replace("trap", "echo ready; sleep 0.3; trap")
            .replace("echo ready; while", "while"),
    );
    assert_eq!(container.tell().await.unwrap(), Outcome::Signalled);
    assert_eq!(line(&mut output), "hup");
}

#[tokio::test]
async fn the_pod_next_door_is_left_alone() {
    let (mut ours, mut theirs) = (Container::new(), Container::new());
    let (_, mut output) = ours.run(CATCHES);
    let (_, mut other) = theirs.run(&CATCHES.replace("hup", "never"));
    assert_eq!(ours.tell().await.unwrap(), Outcome::Signalled);
    assert_eq!(line(&mut output), "hup");
    theirs.children[0].kill().unwrap();
    theirs.children[0].wait().unwrap();
    assert_eq!(line(&mut other), "");
}

#[tokio::test(start_paused = true)]
async fn no_process_at_all_means_that_the_application_has_not_started() {
    // A table of this test's own: the machine's has processes of other users.
    let temp = tempfile::tempdir().unwrap();
    let signal = "signal=SIGHUP".parse().unwrap();
    let application = Application::new(
        signal,
        Some("app".to_owned()),
        Some("nobody".to_owned()),
        temp.path().into(),
    )
    .unwrap();
    assert_eq!(application.tell().await.unwrap(), Outcome::NotNeeded);
}
