//! Real processes: which ones get the signal, and which ones do not.
//!
//! Most tests run with paused time, which advances only when the runtime is idle, so that giving up
//! takes no time.

#![expect(clippy::unwrap_used, reason = "in a test a panic is the report")]

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

use agent::app::{Application, PROC, ReloadError, SignalError};
use agent::plan::FileContents;
use contract::agent_config::{Files, Source};
use contract::annotations::FileMode;
use contract::layout::{CONTAINER_VARIABLE, POD_UID_VARIABLE};
use contract::stream::ReloadOutcome;
use contract::{AgentConfig, Reload};

/// An agent that signals the container `app`, with its secrets in `directory`.
fn config(directory: &str) -> AgentConfig {
    let (address, ca, token_file) = Default::default();
    let source = Source::Switchyard { address, ca, token_file };
    let files = Files::new(directory.to_owned(), FileMode::OWNER);
    let reload = Reload::Signal { signal: "SIGHUP".parse().unwrap(), container: "app".to_owned() };
    AgentConfig { reload, ..AgentConfig::new(source, Vec::new(), files) }
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
        command.args(["-c", script]);
        self.start(command.env(CONTAINER_VARIABLE, "app").env(POD_UID_VARIABLE, &self.pod_uid))
    }

    fn start(&mut self, command: &mut Command) -> (u32, BufReader<ChildStdout>) {
        let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
        let mut output = BufReader::new(child.stdout.take().unwrap());
        let id = child.id();
        self.children.push(child);
        assert_eq!(line(&mut output), "ready");
        (id, output)
    }

    async fn reload(&self) -> Result<ReloadOutcome, ReloadError> {
        self.reload_in("/nowhere").await
    }

    /// Likewise, with the secrets in this directory.
    async fn reload_in(&self, directory: &str) -> Result<ReloadOutcome, ReloadError> {
        let pod_uid = Some(self.pod_uid.clone());
        let application = Application::new(&config(directory), pod_uid, PROC.into()).unwrap();
        let told = application.reload(&FileContents::new()).await?;
        application.watch(&told).await?;
        Ok(told.outcome)
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
        Application::new(&config("/nowhere"), Some("nobody".to_owned()), temp.path().into());
    let told = application.unwrap().reload(&FileContents::new()).await.unwrap();
    assert_eq!(told.outcome, ReloadOutcome::NotNeeded);
}

#[tokio::test]
async fn an_application_that_ends_of_the_signal_is_named() {
    let mut container = Container::new();
    // As the runtimes of Java, Go and Ruby do for a program that does not handle the signal.
    let (id, _output) = container.run(&CATCHES.replace("echo hup", "exit 129"));
    let error = container.reload().await.unwrap_err();
    let ReloadError::Signal(SignalError::Fatal { pid, .. }) = &error else { panic!("{error}") };
    assert_eq!(u32::try_from(*pid), Ok(id));
    assert!(error.is_fatal_signal());
    assert!(error.to_string().contains("ended right after it"), "{error}");
    assert_eq!(container.children[0].wait().unwrap().code(), Some(129));
}

#[tokio::test]
async fn an_application_that_hands_over_to_another_process_lives() {
    let temp = tempfile::tempdir().unwrap();
    let script = temp.path().join("app");
    // Its arguments are the process that it ends with, and whether it is the second.
    let text = r#"
        trap 'sh "$0" "$1" second & sleep 0.2; exit 0' HUP
        echo "${2:-ready}"
        while [ -d "/proc/$1" ]; do sleep 0.02; done
    "#;
    std::fs::File::create(&script).unwrap().write_all(text.as_bytes()).unwrap();
    let mut container = Container::new();
    let run =
        format!("sh {} $PPID; while [ -d /proc/$PPID ]; do sleep 0.02; done", script.display());
    let (_, mut output) = container.run(&run);
    assert_eq!(container.reload().await.unwrap(), ReloadOutcome::Signalled);
    assert_eq!(line(&mut output), "second");
}

#[tokio::test]
async fn a_process_that_waits_for_the_signal_gets_it() {
    let mut container = Container::new();
    // It blocks the signal and looks whether it is pending, as one in sigwait does.
    let script = "use POSIX; $| = 1; my $set = POSIX::SigSet->new(SIGHUP); \
        sigprocmask(SIG_BLOCK, $set); print \"ready\n\"; my $got = POSIX::SigSet->new(); \
        while (-d \"/proc/$ARGV[0]\") { sigpending($got); if ($got->ismember(SIGHUP)) { \
        print \"hup\n\"; exit } select(undef, undef, undef, 0.02) }";
    let mut command = Command::new("perl");
    command.args(["-e", script, &std::process::id().to_string()]);
    let pod_uid = container.pod_uid.clone();
    let command = command.env(CONTAINER_VARIABLE, "app").env(POD_UID_VARIABLE, pod_uid);
    let (_, mut output) = container.start(command);
    let application =
        Application::new(&config("/nowhere"), Some(container.pod_uid.clone()), PROC.into());
    let told = application.unwrap().reload(&FileContents::new()).await.unwrap();
    assert_eq!(told.outcome, ReloadOutcome::Signalled);
    assert_eq!(line(&mut output), "hup");
}

/// Needs root and a mount namespace of its own (tests/stores/test.sh).
#[tokio::test]
#[ignore = "mounts file systems"]
async fn a_process_is_found_by_its_mounts() {
    let temp = tempfile::tempdir().unwrap();
    let volume = temp.path().to_str().unwrap();
    let mounted = Command::new("mount").args(["-t", "tmpfs", "none", volume]).status().unwrap();
    assert!(mounted.success());
    let (own, other) = (temp.path().join(".container/app"), temp.path().join(".container/other"));
    for directory in [&own, &other] {
        std::fs::create_dir_all(directory).unwrap();
    }
    let mut container = Container::new();
    // Neither has a variable that tells its container: nginx lays its title over them.
    let mut start = |directory: &std::path::Path, said: &str| {
        let mut command = Command::new("unshare");
        let script = format!("mount --bind {} /mnt && {CATCHES}", directory.display());
        command.args(["--mount", "sh", "-c", &script.replace("hup", said)]);
        container.start(command.env_remove(CONTAINER_VARIABLE)).1
    };
    let (mut first, mut second) = (start(&other, "never"), start(&own, "hup"));
    assert_eq!(container.reload_in(volume).await.unwrap(), ReloadOutcome::Signalled);
    assert_eq!(line(&mut second), "hup");
    container.children[0].kill().unwrap();
    assert_eq!(line(&mut first), "");
    let unmounted = Command::new("umount").arg(volume).status().unwrap();
    assert!(unmounted.success());
}
