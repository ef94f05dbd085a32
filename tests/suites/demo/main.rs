//! The demo leaves nothing behind, however it ends.
//!
//! Plain `cargo test` runs these; the programs are those in `ENCLII_BIN`.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking, its helpers too")]

use std::os::unix::process::ExitStatusExt as _;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use contract::layout::DATA_LINK;
use e2e::process::{Process, children, is_running, program};
use e2e::wait;
use rustix::process::Signal;
use tempfile::TempDir;

/// For debug builds on a busy machine.
const STEP_TIMEOUT: Duration = Duration::from_secs(120);

/// A running demo whose temporary folders are in a folder of the test's own.
struct Demo {
    process: Process,
    temporary: TempDir,
}

impl Demo {
    fn start(arguments: &[&str]) -> Self {
        let temporary = tempfile::tempdir().unwrap();
        let mut command = Command::new(program("enclii-demo").unwrap());
        // Few requests, since these tests are about the end and the machine may be busy.
        command.args(["--rate", "20"]).args(arguments).env("TMPDIR", temporary.path());
        let process = Process::start("demo", &mut command, temporary.path()).unwrap();
        Self { process, temporary }
    }

    /// The folders that it made. Their names hold its process id.
    fn folders(&self) -> Vec<PathBuf> {
        let name = format!("enclii-demo-{}-", self.process.id());
        [self.temporary.path().to_owned(), PathBuf::from("/dev/shm")]
            .iter()
            .filter_map(|parent| std::fs::read_dir(parent).ok())
            .flat_map(|entries| entries.flatten().map(|entry| entry.path()))
            .filter(|path| path.file_name().is_some_and(|it| it.to_string_lossy().contains(&name)))
            .collect()
    }

    fn wait_until(&mut self, what: &str, done: impl Fn(&Self) -> bool) {
        wait::until(what, STEP_TIMEOUT, || {
            self.process.check()?;
            Ok(done(self).then_some(()))
        })
        .unwrap_or_else(|error| panic!("{error}; it printed:\n{}", self.process.tail()));
    }

    /// Waits until the agent has written values.
    fn wait_for_values(&mut self) {
        self.wait_until("values in memory", |demo| {
            let links = demo.folders().into_iter().map(|it| it.join("secrets").join(DATA_LINK));
            links.into_iter().any(|link| link.symlink_metadata().is_ok())
        });
    }

    /// Sends the signal and checks that no process and no folder of the demo is left. Returns the
    /// exit status.
    fn end_by(mut self, signal: Signal) -> std::process::ExitStatus {
        let programs = children(self.process.id()).unwrap();
        assert!(programs.len() >= 4, "a shell, two servers and the agent: {programs:?}");
        assert_eq!(self.folders().len(), 2);
        self.process.signal(signal).unwrap();
        let status = self.process.finish(Duration::from_secs(30)).unwrap();
        wait::until("every program and folder to be gone", Duration::from_secs(30), || {
            let left = programs.iter().any(|id| is_running(*id)) || !self.folders().is_empty();
            Ok((!left).then_some(()))
        })
        .unwrap_or_else(|error| panic!("{error}: {:?}", self.folders()));
        status
    }
}

#[test]
fn a_signal_ends_every_program_and_removes_every_value() {
    for (signal, code) in [(Signal::INT, 130), (Signal::TERM, 143), (Signal::HUP, 129)] {
        let mut demo = Demo::start(&[]);
        demo.wait_for_values();
        assert_eq!(demo.end_by(signal).code(), Some(code), "{signal:?}");
    }
}

#[test]
fn a_killed_demo_leaves_no_program_and_no_value() {
    let mut demo = Demo::start(&[]);
    demo.wait_for_values();
    assert_eq!(demo.end_by(Signal::KILL).signal(), Some(Signal::KILL.as_raw()));
}

#[test]
fn a_demo_that_keeps_running_is_ended_by_a_signal() {
    for (signal, code) in [(Signal::INT, 130), (Signal::TERM, 143)] {
        let mut demo = Demo::start(&["--keep"]);
        demo.wait_until("the end of the steps", |demo| {
            demo.process.log().contains("all files are in ")
        });
        assert_eq!(demo.end_by(signal).code(), Some(code), "{signal:?}");
    }
}

#[test]
fn a_finished_demo_ends_with_a_verdict_and_leaves_nothing() {
    let mut demo = Demo::start(&[]);
    let status = demo.process.finish(STEP_TIMEOUT).unwrap();
    let log = demo.process.log();
    assert!(status.success() && log.contains("\nPASSED in "), "{status}: {log}");
    assert!(log.contains("Try next:") && log.contains("[6/6] "), "{log}");
    assert_eq!(demo.folders(), Vec::<PathBuf>::new());
}
