//! `enclii run --watch`: a new generation reaches a running program.

use std::io::{BufRead, BufReader, Read};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

use crate::world::World;

/// For what has to happen: far longer than it takes.
const PATIENCE: Duration = Duration::from_secs(60);

/// `enclii run`, whose lines are waited for in turn. Dropping it ends the program too.
struct Running {
    child: Child,
    said: Receiver<String>,
    complained: Receiver<String>,
}

impl Running {
    fn start(world: &World, words: &[&str], script: &str) -> Self {
        let words = [
            ["run", "--watch", "--interval", "1"].as_slice(),
            words,
            &["--", "bash", "-c", script],
        ]
        .concat();
        Self::spawn(world.enclii(&words))
    }

    fn spawn(mut command: Command) -> Self {
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let (said, complained) =
            (lines(child.stdout.take().unwrap()), lines(child.stderr.take().unwrap()));
        Self { child, said, complained }
    }

    fn line(&self) -> String {
        self.said.recv_timeout(PATIENCE).unwrap()
    }

    fn complaint(&self) -> String {
        self.complained.recv_timeout(PATIENCE).unwrap()
    }

    fn end(mut self) -> (Option<i32>, String) {
        let status =
            e2e::wait::until("the program to end", PATIENCE, || Ok(self.child.try_wait()?))
                .unwrap();
        (status.code(), self.complained.iter().collect::<Vec<_>>().join("\n"))
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if let (Ok(None), Some(pid)) =
            (self.child.try_wait(), i32::try_from(self.child.id()).ok().and_then(Pid::from_raw))
        {
            // It passes this on to the program, which a kill would leave behind.
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
fn files_are_replaced_and_the_program_is_told() {
    let world = World::start();
    world.set("A", b"one");
    world.set("GONE", b"x");
    let script = "trap 'cat $A_FILE $ENCLII_SECRETS_DIR/NEW 2>&1; echo; ls $ENCLII_SECRETS_DIR | tr \"\\n\" \" \"; echo; n=$((n+1)); [ $n = 2 ] && exit 5' HUP
        cat $A_FILE; echo; while :; do sleep 0.05; done";
    let program = Running::start(&world, &["--signal", "SIGHUP"], script);
    assert_eq!(program.line(), "one");
    world.ok(&["secrets", "set", "A=two", "NEW=!"], b"");
    assert_eq!((program.line().as_str(), program.line().as_str()), ("two!", "A GONE NEW "));
    world.ok(&["secrets", "delete", "GONE", "--yes"], b"");
    assert_eq!((program.line().as_str(), program.line().as_str()), ("two!", "A NEW "));
    assert_eq!(program.end().0, Some(5));
}

#[test]
fn a_program_that_does_not_catch_the_signal_lives_on() {
    let world = World::start();
    world.set("A", b"one");
    let program = Running::start(
        &world,
        &["--signal", "HUP"],
        "echo ready; until [ \"$(cat $A_FILE)\" = two ]; do sleep 0.05; done; sleep 0.5; exit 6",
    );
    assert_eq!(program.line(), "ready");
    world.set("A", b"two");
    let (code, said) = program.end();
    assert!(code == Some(6) && said.contains("does not catch SIGHUP"), "{code:?} {said}");
}

#[test]
fn an_outage_leaves_the_files_as_they_are() {
    let mut world = World::start();
    world.set("A", b"one");
    let script = "echo ready; while [ ! -e \"$0\" ]; do sleep 0.05; done; cat $A_FILE; echo";
    let flag = world.directory.path().join("go");
    let words =
        ["run", "--watch", "--interval", "1", "--", "bash", "-c", script, flag.to_str().unwrap()];
    let program = Running::spawn(world.enclii(&words));
    assert_eq!(program.line(), "ready");
    world.system.switchyard.signal(Signal::KILL).unwrap();
    world.system.switchyard.finish(PATIENCE).unwrap();
    // It says so once it has looked in vain.
    let said = program.complaint();
    assert!(said.contains("the files stay as they are"), "{said}");
    std::fs::File::create(&flag).unwrap();
    assert_eq!(program.line(), "one");
    assert_eq!(program.end().0, Some(0));
}

#[test]
fn variables_cannot_change() {
    let world = World::start();
    world.set("A", b"one");
    assert!(world.fails(2, &["run", "--watch", "--as-env", "--", "true"]).contains("--as-env"));
    assert!(world.fails(2, &["run", "--signal", "SIGHUP", "--", "true"]).contains("--watch"));
    assert!(
        world
            .fails(2, &["run", "--watch", "--signal", "SIGKILL", "--", "true"])
            .contains("SIGKILL")
    );
}
