//! `enclii run --watch`: a new generation reaches a running program.

use std::io::{BufRead, BufReader, Lines};
use std::process::{Child, ChildStdout, Stdio};

use crate::world::World;

struct Running {
    child: Child,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Running {
    fn start(world: &World, words: &[&str], script: &str) -> Self {
        let words = [["run", "--watch", "--interval", "1"].as_slice(), words, &["--", "bash", "-c", script]].concat();
        let mut child = world.enclii(&words).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        Self { child, lines }
    }

    fn line(&mut self) -> String {
        self.lines.next().unwrap().unwrap()
    }

    fn end(mut self) -> (Option<i32>, String) {
        for _ in self.lines.by_ref() {}
        let done = self.child.wait_with_output().unwrap();
        (done.status.code(), String::from_utf8(done.stderr).unwrap())
    }
}

#[test]
fn files_are_replaced_and_the_program_is_told() {
    let world = World::start();
    world.set("A", b"one");
    world.set("GONE", b"x");
    let script = "trap 'cat $A_FILE $ENCLII_SECRETS_DIR/NEW 2>&1; echo; ls $ENCLII_SECRETS_DIR | tr \"\\n\" \" \"; echo; n=$((n+1)); [ $n = 2 ] && exit 5' HUP
        cat $A_FILE; echo; while :; do sleep 0.05; done";
    let mut program = Running::start(&world, &["--signal", "SIGHUP"], script);
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
    let mut program = Running::start(
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
    let words = ["run", "--watch", "--interval", "1", "--", "bash", "-c", script, flag.to_str().unwrap()];
    let mut child = world.enclii(&words).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    assert_eq!(lines.next().unwrap().unwrap(), "ready");
    world.system.switchyard.signal(rustix::process::Signal::KILL).unwrap();
    world.system.switchyard.finish(std::time::Duration::from_secs(10)).unwrap();
    // It says so once it has looked in vain.
    let mut said = String::new();
    BufReader::new(child.stderr.as_mut().unwrap()).read_line(&mut said).unwrap();
    assert!(said.contains("the files stay as they are"), "{said}");
    std::fs::File::create(&flag).unwrap();
    assert_eq!(lines.next().unwrap().unwrap(), "one");
    assert_eq!(child.wait().unwrap().code(), Some(0));
}

#[test]
fn variables_cannot_change() {
    let world = World::start();
    world.set("A", b"one");
    assert!(world.fails(2, &["run", "--watch", "--as-env", "--", "true"]).contains("--as-env"));
    assert!(world.fails(2, &["run", "--signal", "SIGHUP", "--", "true"]).contains("--watch"));
    assert!(world.fails(2, &["run", "--watch", "--signal", "SIGKILL", "--", "true"]).contains("SIGKILL"));
}
