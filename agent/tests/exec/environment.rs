//! What a command gets, and what keeps it from starting.

use std::ffi::OsStr;
use std::fs::{self, File, Permissions};
use std::io::{Read, Seek, SeekFrom};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::PermissionsExt;

use contract::layout::EXEC_VARIABLE;

use crate::container::{ExecContainer, Running};

const VALUE: &[u8] = b"it's \"two\"\nlines, $HOME `x` \\ and \xff\xfe";

#[test]
fn a_command_gets_every_byte_and_nothing_of_ours() {
    let container = ExecContainer::new(&[("A", VALUE), ("B", b""), ("C", b"new")]);
    let mut command = container.command(&["A", "X=B", "C"], &["env", "-0"]);
    let output = command.env("C", "old").env("PLAIN", "1").output().unwrap();
    assert!(output.status.success());
    let mut entries: Vec<_> = output.stdout.split(|byte| *byte == 0).collect();
    entries.sort_unstable();
    let expected: [&[u8]; 6] = [
        b"",
        &[b"A=", VALUE].concat(),
        b"C=new",
        b"PATH=/usr/local/bin:/usr/bin:/bin",
        b"PLAIN=1",
        b"X=",
    ];
    assert_eq!(entries, expected);
}

#[test]
fn arguments_and_the_command_s_own_name_stay_as_they_are() {
    let container = ExecContainer::new(&[("A", b"value")]);
    let mut command = container.command(&["A"], &["sh", "-c", "echo \"$0|$1|$A\"", "zero"]);
    let output = command.arg(OsStr::from_bytes(b"\xff --")).output().unwrap();
    assert_eq!(output.stdout, b"zero|\xff --|value\n");
    let mut command = container.command(&[], &["sh", "-c", "cat /proc/$$/cmdline | head -c 2"]);
    assert_eq!(command.output().unwrap().stdout, b"sh");
}

#[test]
fn the_directory_the_mask_and_the_limits_stay() {
    let container = ExecContainer::new(&[]);
    let script = "cd /tmp && umask 027 && ulimit -n 77 && trap '' USR2 && exec \"$@\"";
    let ours = container.command(&[], &[]);
    let inner = "pwd; umask; ulimit -n; grep '^Sig[BI]' /proc/self/status; nice; ls /proc/self/fd";
    let run = |ours: &[&OsStr]| {
        let mut command = std::process::Command::new("sh");
        command.args(["-c", script, "sh"]).args(ours).args(["sh", "-c", inner]);
        String::from_utf8(command.output().unwrap().stdout).unwrap()
    };
    let found = run(&[&[ours.get_program()], &*ours.get_args().collect::<Vec<_>>()].concat());
    assert!(found.starts_with("/tmp\n0027\n77\nSig"), "{found}");
    assert_eq!(found, run(&[]));
}

#[test]
fn failures_have_a_status_and_name_the_variable() {
    let container = ExecContainer::new(&[
        ("NUL", b"hunter2\0"),
        ("LONG", &[b'x'; 140_000]),
        ("HALF", &[b'x'; 100_000]),
    ]);
    let plain = container.path("plain");
    File::create(&plain).unwrap().set_permissions(Permissions::from_mode(0o644)).unwrap();
    let names: Vec<_> = (0..30).map(|index| format!("V{index}=HALF")).collect();
    let names: Vec<_> = names.iter().map(String::as_str).collect();
    for (variables, words, status, text) in [
        (&["ABSENT"][..], &["true"][..], 125, "set ABSENT: read the file of secret ABSENT: No"),
        (&["NUL"], &["true"], 125, "set NUL: the value of secret NUL contains a NUL"),
        (&["X=LONG"], &["true"], 125, "set X: the value of secret LONG has 140000 bytes"),
        (&names, &["true"], 125, "set environment: the command's arguments and variables take"),
        (&[], &["no-such-program"], 127, "find no-such-program: no such program in PATH"),
        (&[], &["/no/such/program"], 127, "start /no/such/program: No such file"),
        (&[], &[plain.to_str().unwrap()], 126, "plain: Permission denied"),
        (&[], &["/tmp"], 126, "start /tmp: Permission denied"),
    ] {
        let output = container.command(variables, words).output().unwrap();
        let error = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(status), "{error}");
        assert!(error.starts_with("enclii-agent: ") && error.contains(text), "{error}");
        assert!(!error.contains("hunter2"), "{error}");
    }
    // A quarter of the usual stack of 8 MiB holds 20 of them.
    assert!(container.command(&names[..20], &["true"]).status().unwrap().success());
}

#[test]
fn without_files_nothing_starts() {
    let container = ExecContainer::new(&[]);
    fs::remove_file(container.path("..data")).unwrap();
    let output = container.command(&["A"], &["echo", "started"]).output().unwrap();
    assert_eq!((output.status.code(), output.stdout), (Some(125), Vec::new()));
    assert!(String::from_utf8(output.stderr).unwrap().contains("holds no files of the agent"));
}

#[test]
fn a_command_in_a_command_needs_no_variable() {
    let container = ExecContainer::new(&[("A", b"value")]);
    let program = crate::container::PROGRAM;
    let mut command = container.command(&["A"], &[program, "exec", "--", "sh", "-c", "echo $A"]);
    assert_eq!(command.output().unwrap().stdout, b"value\n");
}

/// Whether what a process may write to holds these bytes.
fn memory_contains(pid: i32, needle: &[u8]) -> bool {
    let maps = fs::read_to_string(format!("/proc/{pid}/maps")).unwrap();
    let mut memory = File::open(format!("/proc/{pid}/mem")).unwrap();
    maps.lines().filter(|line| line.contains(" rw")).any(|line| {
        let (start, rest) = line.split_once('-').unwrap();
        let (end, _) = rest.split_once(' ').unwrap();
        let at = |text: &str| u64::from_str_radix(text, 16).unwrap();
        let mut bytes = vec![0; usize::try_from(at(end) - at(start)).unwrap()];
        memory.seek(SeekFrom::Start(at(start))).unwrap();
        memory.read_exact(&mut bytes).is_ok()
            && bytes.windows(needle.len()).any(|window| window == needle)
    })
}

#[test]
fn the_parent_s_memory_keeps_no_value() {
    let value: Vec<u8> = (0..2000u32).map(|index| b'a' + (index * index % 23) as u8).collect();
    let container = ExecContainer::new(&[("A", &value)]);
    let mut running =
        Running::start(container.command(&["A"], &["sh", "-c", "echo ok; sleep 60; true"]));
    assert_eq!(running.line(), "ok");
    let child = crate::container::children(running.id());
    assert!(memory_contains(child[0], &value[100..140]));
    for at in [0, 1000, 1960] {
        assert!(!memory_contains(running.id(), &value[at..at + 40]), "at {at}");
    }
    let environ = fs::read(format!("/proc/{}/environ", running.id())).unwrap();
    assert!(!environ.windows(20).any(|window| window == &value[..20]));
    // By this variable the agent knows the process that stands in for the command.
    let entry = format!("{EXEC_VARIABLE}=");
    assert!(environ.split(|byte| *byte == 0).any(|it| it.starts_with(entry.as_bytes())));
}
