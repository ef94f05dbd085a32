//! `enclii run --watch`: a new generation reaches a running program.

use std::io::{BufRead, BufReader, Read};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

use crate::harness::CliHarness;

/// Far longer than anything here takes.
const LINE_TIMEOUT: Duration = Duration::from_secs(60);

/// A running `enclii run` and its output. Dropping it ends the program too.
struct WatchedProgram {
    child: Child,
    stdout: Receiver<String>,
    stderr: Receiver<String>,
}

impl WatchedProgram {
    fn start(harness: &CliHarness, words: &[&str], script: &str) -> Self {
        let words = [
            ["run", "--watch", "--interval", "1"].as_slice(),
            words,
            &["--", "bash", "-c", script],
        ]
        .concat();
        Self::spawn(harness.enclii(&words))
    }

    fn spawn(mut command: Command) -> Self {
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let (stdout, stderr) =
            (lines(child.stdout.take().unwrap()), lines(child.stderr.take().unwrap()));
        Self { child, stdout, stderr }
    }

    fn line(&self) -> String {
        self.stdout.recv_timeout(LINE_TIMEOUT).unwrap()
    }

    fn stderr_line(&self) -> String {
        self.stderr.recv_timeout(LINE_TIMEOUT).unwrap()
    }

    fn end(mut self) -> (Option<i32>, String) {
        let status =
            e2e::wait::until("the program to end", LINE_TIMEOUT, || Ok(self.child.try_wait()?))
                .unwrap();
        (status.code(), self.stderr.iter().collect::<Vec<_>>().join("\n"))
    }
}

impl Drop for WatchedProgram {
    fn drop(&mut self) {
        if let (Ok(None), Some(pid)) =
            (self.child.try_wait(), i32::try_from(self.child.id()).ok().and_then(Pid::from_raw))
        {
            // SIGTERM is forwarded to the program; SIGKILL would leave it running.
            let _ = kill_process(pid, Signal::TERM);
            let _ = self.child.wait();
        }
    }
}

fn lines(from: impl Read + Send + 'static) -> Receiver<String> {
    let (sender, lines) = channel();
    std::thread::spawn(move || {
        BufReader::new(from).lines().map_while(Result::ok).try_for_each(|line| sender.send(line))
    });
    lines
}

#[test]
fn files_are_replaced_and_the_program_is_signalled() {
    let harness = CliHarness::start();
    harness.set("A", b"one");
    harness.set("GONE", b"x");
    let script = "trap 'cat $A_FILE $ENCLII_SECRETS_DIR/NEW 2>&1; echo; \
                        ls $ENCLII_SECRETS_DIR | tr \"\\n\" \" \"; echo; \
                        n=$((n+1)); [ $n = 2 ] && exit 5' HUP
        cat $A_FILE; echo; while :; do sleep 0.05; done";
    let program = WatchedProgram::start(&harness, &["--signal", "SIGHUP"], script);
    assert_eq!(program.line(), "one");
    harness.ok(&["secrets", "set", "A=two", "NEW=!"], b"");
    assert_eq!((program.line().as_str(), program.line().as_str()), ("two!", "A GONE NEW "));
    harness.ok(&["secrets", "delete", "GONE", "--yes"], b"");
    assert_eq!((program.line().as_str(), program.line().as_str()), ("two!", "A NEW "));
    assert_eq!(program.end().0, Some(5));
}

#[test]
fn a_program_that_does_not_handle_the_signal_is_not_ended_by_it() {
    let harness = CliHarness::start();
    harness.set("A", b"one");
    let flag = harness.directory.path().join("go");
    let script = "echo ready; while [ ! -e \"$FLAG\" ]; do sleep 0.05; done; cat $A_FILE; exit 6";
    let words =
        ["run", "--watch", "--interval", "1", "--signal", "HUP", "--", "bash", "-c", script];
    let mut command = harness.enclii(&words);
    command.env("FLAG", &flag);
    let program = WatchedProgram::spawn(command);
    assert_eq!(program.line(), "ready");
    harness.set("A", b"two");
    let note = program.stderr_line();
    assert!(note.contains("SIGHUP was not sent"), "{note}");
    std::fs::File::create(&flag).unwrap();
    assert_eq!(program.line(), "two");
    assert_eq!(program.end().0, Some(6));
}

#[test]
fn an_outage_leaves_the_files_unchanged() {
    let mut harness = CliHarness::start();
    harness.set("A", b"one");
    let script = "echo ready; while [ ! -e \"$0\" ]; do sleep 0.05; done; cat $A_FILE; echo";
    let flag = harness.directory.path().join("go");
    let words =
        ["run", "--watch", "--interval", "1", "--", "bash", "-c", script, flag.to_str().unwrap()];
    let program = WatchedProgram::spawn(harness.enclii(&words));
    assert_eq!(program.line(), "ready");
    harness.system.switchyard.signal(Signal::KILL).unwrap();
    harness.system.switchyard.finish(LINE_TIMEOUT).unwrap();
    // A note reports the first failed poll.
    let printed = program.stderr_line();
    assert!(printed.contains("the files are unchanged"), "{printed}");
    std::fs::File::create(&flag).unwrap();
    assert_eq!(program.line(), "one");
    assert_eq!(program.end().0, Some(0));
}

/// The number of the new generation is that of the one that the program has.
#[test]
fn a_generation_after_a_restore_is_another_one() {
    let mut harness = CliHarness::start();
    let backup = harness.directory.path().join("backup.db");
    harness.set("A", b"one");
    let copy = |from: std::path::PathBuf, to: std::path::PathBuf| {
        std::fs::copy(from, to)?;
        Ok(())
    };
    harness
        .system
        .restart_switchyard(|data| copy(data.join("switchyard.db"), backup.clone()))
        .unwrap();
    harness.set("A", b"two");
    let script = "trap 'cat $A_FILE; echo' HUP; cat $A_FILE; echo; while :; do sleep 0.05; done";
    let program = WatchedProgram::start(&harness, &["--signal", "SIGHUP"], script);
    assert_eq!(program.line(), "two");
    // It does not look while the numbers differ.
    let pid = Pid::from_child(&program.child);
    kill_process(pid, Signal::STOP).unwrap();
    harness
        .system
        .restart_switchyard(|data| copy(backup.clone(), data.join("switchyard.db")))
        .unwrap();
    harness.set("A", b"three");
    kill_process(pid, Signal::CONT).unwrap();
    assert_eq!(program.line(), "three");
}

#[test]
fn variables_cannot_be_watched() {
    let harness = CliHarness::start();
    harness.set("A", b"one");
    assert!(harness.fails(2, &["run", "--watch", "--as-env", "--", "true"]).contains("--as-env"));
    assert!(harness.fails(2, &["run", "--signal", "SIGHUP", "--", "true"]).contains("--watch"));
    assert!(
        harness
            .fails(2, &["run", "--watch", "--signal", "SIGKILL", "--", "true"])
            .contains("SIGKILL")
    );
}
