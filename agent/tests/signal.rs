//! Real processes: which ones get the signal, and which ones do not.
//!
//! Most tests run with paused time, which advances only when the runtime is idle, so that giving up
//! takes no time.

#![expect(clippy::unwrap_used, reason = "in a test a panic is the report")]

use std::io::{BufRead, BufReader};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

use agent::app::{Application, PROC, ReloadError, SignalError};
use contract::Reload;
use contract::layout::{CONTAINER_VARIABLE, POD_UID_VARIABLE};
use contract::stream::ReloadOutcome;

fn reload() -> Reload {
    Reload::Signal { signal: "SIGHUP".parse().unwrap(), container: "app".to_owned() }
}

/// A container of its own pod.
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

    /// Starts a shell script in the container and waits for its first line, after which its traps
    /// are set.
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

    async fn reload(&self) -> Result<ReloadOutcome, ReloadError> {
        let application = Application::new(reload(), Some(self.pod_uid.clone()), PROC.into());
        application.unwrap().reload().await
    }

    fn is_running(&mut self, at: usize) -> bool {
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

// A shell runs a trap only after the current command ends, so that command is short. The script
// ends by itself when the test, its parent, ends.
const CATCHES: &str =
    "trap 'echo hup' HUP; echo ready; while [ -d /proc/$PPID ]; do sleep 0.02; done";
const DOES_NOT_CATCH: &str = "echo ready; while [ -d /proc/$PPID ]; do sleep 0.02; done";

#[tokio::test(start_paused = true)]
async fn a_process_that_catches_the_signal_gets_it() {
    let mut container = Container::new();
    let (_, mut output) = container.run(CATCHES);
    assert_eq!(container.reload().await.unwrap(), ReloadOutcome::Signalled);
    assert_eq!(line(&mut output), "hup");
    assert!(container.is_running(0));
}

#[tokio::test(start_paused = true)]
async fn a_process_that_does_not_catch_the_signal_is_named_and_gets_none() {
    let mut container = Container::new();
    let (id, _output) = container.run(DOES_NOT_CATCH);
    let error = container.reload().await.unwrap_err();
    let ReloadError::Signal(SignalError::NotCaught { pid, .. }) = error else { panic!("{error}") };
    assert_eq!(u32::try_from(pid), Ok(id));
    assert!(error.to_string().contains("catch it, so it was not sent"), "{error}");
    assert!(container.is_running(0));
}

#[tokio::test(start_paused = true)]
async fn the_child_of_a_shell_gets_the_signal() {
    let mut container = Container::new();
    let script = format!("sh -c \"{CATCHES}\"; exit 0").replace('$', "\\$");
    let (_, mut output) = container.run(&script);
    assert_eq!(container.reload().await.unwrap(), ReloadOutcome::Signalled);
    assert_eq!(line(&mut output), "hup");
    assert!(container.is_running(0));
}

#[tokio::test(start_paused = true)]
async fn a_process_started_later_in_the_container_gets_no_signal() {
    let mut container = Container::new();
    let (_, mut first) = container.run(CATCHES);
    // The start time of a process has a resolution of 10 ms.
    std::thread::sleep(std::time::Duration::from_millis(30));
    let (_, mut second) =
        container.run(&CATCHES.replace("hup", "never").replace("while", "echo on; while"));
    assert_eq!(line(&mut second), "on");
    assert_eq!(container.reload().await.unwrap(), ReloadOutcome::Signalled);
    assert_eq!(line(&mut first), "hup");
    let second_child = container.children.pop().unwrap();
    drop(container);
    let mut second_child = second_child;
    second_child.kill().unwrap();
    second_child.wait().unwrap();
    assert_eq!(line(&mut second), "");
}

#[tokio::test]
async fn an_application_that_is_still_starting_gets_the_signal_later() {
    let mut container = Container::new();
    let (_, mut output) = container.run(
        &CATCHES
            .replace("trap", "echo ready; sleep 0.3; trap")
            .replace("echo ready; while", "while"),
    );
    assert_eq!(container.reload().await.unwrap(), ReloadOutcome::Signalled);
    assert_eq!(line(&mut output), "hup");
}

#[tokio::test]
async fn another_pod_gets_no_signal() {
    let (mut own, mut other) = (Container::new(), Container::new());
    let (_, mut output) = own.run(CATCHES);
    let (_, mut other_output) = other.run(&CATCHES.replace("hup", "never"));
    assert_eq!(own.reload().await.unwrap(), ReloadOutcome::Signalled);
    assert_eq!(line(&mut output), "hup");
    other.children[0].kill().unwrap();
    other.children[0].wait().unwrap();
    assert_eq!(line(&mut other_output), "");
}

#[tokio::test(start_paused = true)]
async fn without_a_process_the_application_counts_as_not_started() {
    // An empty process table: the machine's has processes of other users.
    let temp = tempfile::tempdir().unwrap();
    let application =
        Application::new(reload(), Some("nobody".to_owned()), temp.path().into()).unwrap();
    assert_eq!(application.reload().await.unwrap(), ReloadOutcome::NotNeeded);
}
