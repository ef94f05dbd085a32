//! Signals reach the command, and its end is the end.

use std::fs;
use std::os::unix::process::ExitStatusExt;

use rustix::process::Signal;

use crate::container::{ExecContainer, Running, children, until};

#[test]
fn every_signal_reaches_the_command() {
    let container = ExecContainer::new(&[]);
    let script = "for s in HUP INT QUIT ABRT USR1 USR2 ALRM TERM CONT TSTP TTIN TTOU URG XCPU \
                  XFSZ VTALRM PROF WINCH IO PWR STKFLT; do trap \"echo $s\" $s; done; echo ready; \
                  while :; do sleep 0.02; done";
    let mut running = Running::start(container.command(&[], &["bash", "-c", script]));
    assert_eq!(running.line(), "ready");
    for (name, number) in [
        ("HUP", 1),
        ("INT", 2),
        ("QUIT", 3),
        ("ABRT", 6),
        ("USR1", 10),
        ("USR2", 12),
        ("ALRM", 14),
        ("TERM", 15),
        ("STKFLT", 16),
        ("CONT", 18),
        ("TSTP", 20),
        ("TTIN", 21),
        ("TTOU", 22),
        ("URG", 23),
        ("XCPU", 24),
        ("XFSZ", 25),
        ("VTALRM", 26),
        ("PROF", 27),
        ("WINCH", 28),
        ("IO", 29),
        ("PWR", 30),
    ] {
        running.signal(Signal::from_named_raw(number).unwrap());
        assert_eq!(running.line(), name);
    }
}

#[test]
fn the_status_is_the_command_s() {
    let container = ExecContainer::new(&[]);
    for status in [0, 1, 42, 255] {
        let script = format!("exit {status}");
        let found = container.command(&[], &["sh", "-c", &script]).status().unwrap();
        assert_eq!(found.code(), Some(status));
    }
    for signal in [Signal::TERM, Signal::KILL, Signal::HUP, Signal::SEGV] {
        let script = format!("kill -{} $$", signal.as_raw());
        let found = container.command(&[], &["sh", "-c", &script]).status().unwrap();
        assert_eq!(found.signal(), Some(signal.as_raw()), "{found:?}");
        assert!(!found.core_dumped(), "the parent must not leave a core of its own");
    }
}

#[test]
fn a_stop_waits_for_a_command_that_takes_its_time() {
    let container = ExecContainer::new(&[]);
    let script =
        "trap 'sleep 0.5; echo done; exit 7' TERM; echo ready; while :; do sleep 0.02; done";
    let mut running = Running::start(container.command(&[], &["sh", "-c", script]));
    assert_eq!(running.line(), "ready");
    running.signal(Signal::TERM);
    assert_eq!(running.line(), "done");
    assert_eq!(running.end().code(), Some(7));
}

#[test]
fn a_command_that_ignores_a_stop_goes_on() {
    let container = ExecContainer::new(&[]);
    let script = "trap '' TERM; echo ready; read line; echo \"$line\"";
    let mut command = container.command(&[], &["sh", "-c", script]);
    command.stdin(std::process::Stdio::piped());
    let mut running = Running::start(command);
    assert_eq!(running.line(), "ready");
    running.signal(Signal::TERM);
    std::thread::sleep(std::time::Duration::from_millis(200));
    assert_eq!(children(running.id()).len(), 1);
}

#[test]
fn without_a_terminal_the_command_leads_its_group() {
    let container = ExecContainer::new(&[]);
    // `kill 0` reaches the group of the shell, and no process of the test.
    let script = "trap 'echo group' USR1; sleep 5 & kill -USR1 0; wait; echo end";
    let mut running = Running::start(container.command(&[], &["setsid", "-w", "sh", "-c", script]));
    assert_eq!(running.line(), "group");
    let script = "trap 'echo group' USR1; kill -USR1 -$$; echo end";
    let mut running = Running::start(container.command(&[], &["sh", "-c", script]));
    assert_eq!((running.line(), running.line()), ("group".to_owned(), "end".to_owned()));
}

#[test]
fn on_a_terminal_the_command_reads_and_an_interrupt_comes_once() {
    let container = ExecContainer::new(&[]);
    let output = container.path("out");
    let inner = format!(
        "exec >{}; trap 'echo int' INT; stty -echo; echo ready; read line; echo \"got $line\"; \
         sleep 0.5; echo end",
        output.display()
    );
    // `script` runs its command on a new terminal.
    let ours = container.command(&[], &["bash", "-c", &inner]);
    let mut words: Vec<String> = vec!["exec".to_owned()];
    words.extend(
        [ours.get_program()]
            .into_iter()
            .chain(ours.get_args())
            .map(|word| format!("'{}'", word.to_str().unwrap().replace('\'', "'\\''"))),
    );
    let mut command = std::process::Command::new("script");
    command.args(["-qec", &words.join(" "), "/dev/null"]);
    command.envs(ours.get_envs().filter_map(|(name, value)| Some((name, value?))));
    command.stdin(std::process::Stdio::piped()).stdout(std::process::Stdio::null());
    let mut child = command.spawn().unwrap();
    let read = || fs::read_to_string(&output).unwrap_or_default();
    until("the command is ready", || read().contains("ready"));
    let mut input = child.stdin.take().unwrap();
    let mut send = |text: &[u8]| std::io::Write::write_all(&mut input, text).unwrap();
    send(b"\x03");
    until("the interrupt arrives", || read().contains("int"));
    std::thread::sleep(std::time::Duration::from_millis(200));
    send(b"hello\n");
    until("the command ends", || read().contains("end"));
    assert_eq!(read(), "ready\nint\ngot hello\nend\n");
    let _ = child.kill();
    let _ = child.wait();
}
