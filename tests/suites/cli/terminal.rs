//! What happens only at a terminal: values typed without echo, confirmation and colour.

use std::io::{Read, Write};
use std::process::{Command, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use crate::harness::CliHarness;

/// Runs a program on its own terminal and answers its prompts in order.
fn at_terminal(command: &Command, answers: &[(&str, &str)]) -> (Option<i32>, String) {
    let quote = |it: &std::ffi::OsStr| format!("'{}'", it.to_str().unwrap());
    let line = std::iter::once(command.get_program())
        .chain(command.get_args())
        .map(quote)
        .collect::<Vec<_>>()
        .join(" ");
    let mut script = Command::new("script");
    // Without `exec`, some shells stay in between, and their own reaction to Ctrl-C is returned.
    let line = format!("exec {line}");
    script.args(["--quiet", "--return", "--echo", "never", "--command", &line, "/dev/null"]);
    for (name, value) in command.get_envs() {
        match value {
            Some(value) => script.env(name, value),
            None => script.env_remove(name),
        };
    }
    let mut child = script.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let (mut stdin, mut stdout) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
    let (sender, pieces) = mpsc::channel();
    let reader = std::thread::spawn(move || {
        let mut piece = [0; 4096];
        while let Ok(length @ 1..) = stdout.read(&mut piece) {
            let _ = sender.send(piece[..length].to_vec());
        }
    });
    let mut seen = Vec::new();
    let deadline = Instant::now() + Duration::from_secs(60);
    for (question, answer) in answers {
        while !String::from_utf8_lossy(&seen).contains(question) {
            let piece = pieces.recv_timeout(deadline.saturating_duration_since(Instant::now()));
            seen.extend(piece.unwrap_or_else(|_| {
                panic!("it never prompted {question:?}: {}", String::from_utf8_lossy(&seen))
            }));
        }
        stdin.write_all(answer.as_bytes()).unwrap();
    }
    let status = child.wait().unwrap();
    reader.join().unwrap();
    seen.extend(pieces.try_iter().flatten());
    (status.code(), String::from_utf8_lossy(&seen).into_owned())
}

#[test]
fn a_value_is_prompted_for_without_echo() {
    let harness = CliHarness::start();
    let (code, seen) = at_terminal(
        &harness.enclii(&["secrets", "set", "A"]),
        &[("Value of A", "hunter2 canary\n")],
    );
    assert_eq!(code, Some(0), "{seen}");
    assert!(!seen.contains("hunter2"), "the value was shown: {seen}");
    assert_eq!(harness.ok(&["secrets", "get", "A"], b""), "hunter2 canary");

    let (code, seen) = at_terminal(
        &harness.enclii(&["secrets", "set", "A"]),
        &[("Value of A", "line 1\nline 2\n")],
    );
    assert!(code == Some(2) && seen.contains("more than one line"), "{code:?} {seen}");
    let (code, seen) = at_terminal(
        &harness.enclii(&["secrets", "rotate", "A", "--value", "?"]),
        &[("Value of A", "\n")],
    );
    assert!(code == Some(2) && seen.contains("nothing was typed"), "{code:?} {seen}");
    assert_eq!(harness.ok(&["secrets", "get", "A"], b""), "hunter2 canary");
    assert!(harness.fails(2, &["secrets", "set", "A"]).contains("no terminal"));
}

#[test]
fn a_deletion_is_confirmed() {
    let harness = CliHarness::start();
    harness.set("A", b"1");
    let (code, seen) =
        at_terminal(&harness.enclii(&["secrets", "delete", "A"]), &[("[y/N]", "n\n")]);
    assert!(code == Some(1) && seen.contains("not deleted"), "{code:?} {seen}");
    assert_eq!(harness.ok(&["secrets", "get", "A"], b""), "1");
    let (code, seen) =
        at_terminal(&harness.enclii(&["secrets", "delete", "A"]), &[("[y/N]", "y\n")]);
    assert!(code == Some(0) && seen.contains("A is deleted"), "{code:?} {seen}");
    harness.fails(4, &["secrets", "get", "A"]);
}

#[test]
fn a_terminal_gets_colour_a_final_newline_and_a_note_before_values() {
    let harness = CliHarness::start();
    harness.set("A", b"value");
    let (_, seen) = at_terminal(&harness.enclii(&["secrets", "list"]), &[]);
    assert!(seen.contains("\x1b[1mNAME"), "{seen:?}");
    let (_, seen) = at_terminal(harness.enclii(&["secrets", "list"]).env("NO_COLOR", "1"), &[]);
    assert!(seen.contains("NAME") && !seen.contains('\x1b'), "{seen:?}");
    let (_, seen) = at_terminal(&harness.enclii(&["secrets", "get", "A"]), &[]);
    assert_eq!(seen, "value\r\n");
    let (_, seen) = at_terminal(&harness.enclii(&["secrets", "export"]), &[]);
    assert!(seen.contains("secret values follow") && seen.contains("A=value"), "{seen:?}");
}

#[test]
fn ctrl_c_reaches_a_program_once_and_its_exit_code_is_returned() {
    let harness = CliHarness::start();
    harness.set("A", b"1");
    // It waits for the first signal, however late, and then for a second one, which must not come.
    let script = "count=0; trap 'count=$((count+1))' INT; echo ready; \
                  until [ $count -ge 1 ]; do sleep 0.1; done; \
                  for i in 1 2 3 4 5 6 7 8; do sleep 0.1; done; echo got $count; exit 7";
    let (code, seen) = at_terminal(
        &harness.enclii(&["run", "--", "bash", "-c", script.replace('\'', "\"").as_str()]),
        &[("ready", "\x03")],
    );
    assert!(code == Some(7) && seen.contains("got 1"), "{code:?} {seen:?}");
}
