//! `enclii run`: where the values are, how it ends, and what it leaves behind.

use std::io::{BufRead, BufReader};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use e2e::wait;
use rustix::process::{Pid, Signal, kill_process};

use crate::harness::{CliHarness, finish};

/// Far longer than anything here takes.
const END_TIMEOUT: Duration = Duration::from_secs(60);

fn shell(script: &str) -> [&str; 5] {
    ["run", "--", "bash", "-c", script]
}

fn send(pid: u32, signal: Signal) {
    kill_process(Pid::from_raw(i32::try_from(pid).unwrap()).unwrap(), signal).unwrap();
}

/// Starts a program and returns it with the first lines that it prints.
fn start(command: &mut Command, lines: usize) -> (Child, Vec<String>) {
    let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().unwrap();
    let printed = BufReader::new(child.stdout.as_mut().unwrap())
        .lines()
        .take(lines)
        .map(Result::unwrap)
        .collect();
    (child, printed)
}

#[test]
fn a_program_gets_the_files_of_a_pod() {
    let harness = CliHarness::start();
    harness.set("A", b"one\0\xff");
    let runtime = harness.directory.path().join("runtime");
    std::fs::create_dir(&runtime).unwrap();
    let script = "cat \"$A_FILE\"; [ \"$A_FILE\" = \"$ENCLII_SECRETS_DIR/A\" ] && \
                  [ -z \"$A$ENCLII_TOKEN\" ] && ls \"$ENCLII_SECRETS_DIR\" >&2";
    let mut command = harness.enclii(&shell(script));
    let token = std::fs::read_to_string(harness.directory.path().join("bootstrap-token")).unwrap();
    let done = finish(
        command.env("XDG_RUNTIME_DIR", &runtime).env("A", "old").env("ENCLII_TOKEN", token.trim()),
        b"",
    );
    assert_eq!(
        (done.code, done.out.as_slice()),
        (Some(0), b"one\0\xff".as_slice()),
        "{}",
        done.err
    );
    assert!(
        done.err.ends_with("A\n") && done.err.contains("the variable A is removed"),
        "{}",
        done.err
    );
    assert_eq!(std::fs::read_dir(&runtime).unwrap().count(), 0, "files were left behind");
    // Child processes get the files too, and the program gets standard input.
    let done = finish(&mut harness.enclii(&shell("bash -c 'cat; cat \"$A_FILE\"'")), b"in ");
    assert_eq!(done.out, b"in one\0\xff");
}

#[test]
fn as_env_passes_values_as_variables() {
    let harness = CliHarness::start();
    harness.set("A", b"one");
    harness.set("B", b"two");
    harness.set("NUL", b"\0");
    let print = "echo \"$A,$B,${A_FILE:+file},${B_FILE:+file}\"";
    let run = |words: &[&str]| {
        harness.run(&[["run"].as_slice(), words, &["--", "bash", "-c", print]].concat(), b"")
    };
    assert_eq!(run(&["--only", "A,B"]).out, b",,file,file\n");
    assert_eq!(run(&["--only", "A,B", "--as-env"]).out, b"one,two,,\n");
    assert_eq!(run(&["--as-env=A"]).out, b"one,,,file\n");
    let refused = run(&["--as-env"]);
    assert!(refused.code == Some(2) && refused.err.contains("NUL"), "{}", refused.err);
    assert_eq!(run(&["--only", "C"]).code, Some(2));
}

#[test]
fn the_exit_code_is_that_of_the_program() {
    let harness = CliHarness::start();
    harness.set("A", b"1");
    for (script, code) in
        [("exit 0", 0), ("exit 42", 42), ("kill -TERM $$", 143), ("kill -KILL $$", 137)]
    {
        assert_eq!(harness.run(&shell(script), b"").code, Some(code), "{script}");
    }
    assert!(harness.fails(127, &["run", "--", "no-such-program"]).contains("no-such-program"));
    let plain = harness.file("plain", b"x");
    harness.fails(126, &["run", "--", &plain]);
    harness.fails(4, &["run", "--service", "nothing", "--", "true"]);
    harness.fails(2, &["run", "--"]);
}

#[test]
fn signals_are_forwarded() {
    let harness = CliHarness::start();
    harness.set("A", b"1");
    // Only signals that are not ignored when the tests run in the background or under nohup.
    for (signal, name) in [(Signal::TERM, "TERM"), (Signal::USR1, "USR1"), (Signal::USR2, "USR2")] {
        let script = format!(
            "trap 'echo got {name}; exit 9' {name}; echo ready; while :; do sleep 0.05; done"
        );
        // Outside the foreground of a terminal, as for a service.
        let mut command = Command::new("setsid");
        let enclii = harness.enclii(&shell(&script));
        command.arg("--wait").arg(enclii.get_program()).args(enclii.get_args());
        command.envs(enclii.get_envs().filter_map(|(name, value)| Some((name, value?))));
        let (mut child, printed) = start(&mut command, 1);
        assert_eq!(printed, ["ready"]);
        send(find_enclii(child.id()), signal);
        let status =
            wait::until("the program to end", END_TIMEOUT, || Ok(child.try_wait()?)).unwrap();
        assert_eq!(status.code(), Some(9), "{name}");
    }
}

/// The enclii that `setsid --wait` started: a child, or the process itself if setsid did not fork.
fn find_enclii(pid: u32) -> u32 {
    let children =
        std::fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
    let name = |pid: u32| std::fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
    children
        .split_whitespace()
        .filter_map(|it| it.parse().ok())
        .find(|it| name(*it).trim() == "enclii")
        .unwrap_or(pid)
}

#[test]
fn sigkill_leaves_no_value_behind() {
    let harness = CliHarness::start();
    let canary = b"hunter2-canary-of-this-test";
    harness.set("A", canary);
    let runtime = harness.directory.path().join("runtime");
    std::fs::create_dir(&runtime).unwrap();
    let script = "echo $ENCLII_SECRETS_DIR; echo $$; cat \"$A_FILE\"; echo; exec sleep 600";
    let (mut child, printed) =
        start(harness.enclii(&shell(script)).env("XDG_RUNTIME_DIR", &runtime), 3);
    let directory = PathBuf::from(&printed[0]);
    let program: u32 = printed[1].parse().unwrap();
    assert_eq!(printed[2].as_bytes(), canary);
    assert_eq!(std::fs::metadata(&directory).unwrap().mode() & 0o777, 0o700);
    assert_eq!(std::fs::read(directory.join("A")).unwrap(), canary);

    send(child.id(), Signal::KILL);
    child.wait().unwrap();
    assert!(std::fs::read(directory.join("A")).is_err(), "the value can still be read");
    assert_eq!(files_with(&runtime, canary), Vec::<PathBuf>::new());
    // Nor does the program run on without its files.
    wait::until("the program to end", END_TIMEOUT, || Ok(has_ended(program).then_some(())))
        .unwrap();

    // The next run removes the links.
    assert!(directory.exists());
    harness.ok(&["run", "--runtime-directory", runtime.to_str().unwrap(), "--", "true"], b"");
    assert!(!directory.exists() && std::fs::read_dir(&runtime).unwrap().count() == 0);
}

#[test]
fn a_killed_program_leaves_nothing_behind() {
    let harness = CliHarness::start();
    harness.set("A", b"1");
    let runtime = harness.directory.path().join("runtime");
    std::fs::create_dir(&runtime).unwrap();
    let (mut child, printed) =
        start(harness.enclii(&shell("echo $$; exec sleep 60")).env("XDG_RUNTIME_DIR", &runtime), 1);
    send(printed[0].parse().unwrap(), Signal::KILL);
    let status = wait::until("enclii to end", END_TIMEOUT, || Ok(child.try_wait()?)).unwrap();
    assert_eq!(status.code(), Some(137));
    assert_eq!(std::fs::read_dir(&runtime).unwrap().count(), 0);
}

/// The soft limit on core files of a process.
fn core_limit(pid: u32) -> String {
    let limits = std::fs::read_to_string(format!("/proc/{pid}/limits")).unwrap_or_default();
    let line = limits.lines().find(|line| line.starts_with("Max core file size"));
    line.and_then(|line| line.split_ascii_whitespace().nth(4)).unwrap_or_default().to_owned()
}

#[test]
fn it_leaves_no_core_and_the_program_keeps_its_limit() {
    let harness = CliHarness::start();
    harness.set("A", b"1");
    let enclii = harness.enclii(&shell("echo $$; exec sleep 60"));
    let mut command = Command::new("bash");
    command.args([
        "-c",
        "ulimit -S -c \"$(ulimit -H -c)\"; echo \"$(ulimit -c)\"; exec \"$@\"",
        "bash",
    ]);
    command.arg(enclii.get_program()).args(enclii.get_args());
    command.envs(enclii.get_envs().filter_map(|(name, value)| Some((name, value?))));
    let (mut child, printed) = start(&mut command, 2);
    let program: u32 = printed[1].parse().unwrap();
    assert_eq!(core_limit(child.id()), "0");
    wait::until("the program to have the limit it was given", END_TIMEOUT, || {
        // The shell counts in kilobytes, and `limits` in bytes: what is not 0 is enough.
        Ok(((core_limit(program) == "0") == (printed[0] == "0")).then_some(()))
    })
    .unwrap();
    send(program, Signal::KILL);
    child.wait().unwrap();
}

/// Whether a process is gone, or only waits for somebody to read its exit code.
fn has_ended(pid: u32) -> bool {
    std::fs::read_to_string(format!("/proc/{pid}/stat"))
        .map_or(true, |stat| stat.rsplit(')').next().is_some_and(|it| it.trim().starts_with('Z')))
}

#[test]
fn the_program_gets_the_token_only_if_asked_for() {
    let harness = CliHarness::start();
    harness.set("A", b"1");
    let script = "echo \"${ENCLII_TOKEN_FILE:+file}${ENCLII_TOKEN:+token},$ENCLII_PROJECT\"";
    let print = |words: &[&str]| {
        harness.ok(&[["run"].as_slice(), words, &["--", "bash", "-c", script]].concat(), b"")
    };
    assert_eq!(print(&[]), ",shop\n");
    assert_eq!(print(&["--keep-token"]), "file,shop\n");
}

/// The files below a directory that hold the bytes, with links followed.
fn files_with(directory: &Path, bytes: &[u8]) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() && !path.is_symlink() {
            found.extend(files_with(&path, bytes));
        } else if std::fs::read(&path).is_ok_and(|it| it.windows(bytes.len()).any(|it| it == bytes))
        {
            found.push(path);
        }
    }
    found
}
