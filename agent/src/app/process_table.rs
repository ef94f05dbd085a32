//! Reads the process table from `/proc`.
//!
//! Which container a process is in, its mounts tell (see [`super::container_mark`]), or its
//! environment, where the pod has no mark: a webhook of an earlier release has patched it. The
//! environment is readable for a process of the same user that has at least its capabilities. It
//! may hold secrets, so the buffer it is read into is wiped.

use std::fs;
use std::io::{self, Read};
use std::path::Path;

use contract::layout::{CONTAINER_VARIABLE, EXEC_VARIABLE, POD_UID_VARIABLE};
use zeroize::Zeroizing;

use super::container_mark::{ContainerMark, Membership};
use super::target::Process;

// The arguments and environment of a process take up to a quarter of the stack limit, in practice
// 2 MiB.
const MAX_ENVIRONMENT_BYTES: u64 = 8 << 20;

// A process with more threads counts as one that does not wait for the signal.
const MAX_THREADS: usize = 1024;

/// What the environment of `enclii-agent exec` has and that of its command lacks.
const STAND_IN: &str = EXEC_VARIABLE;

/// Programs that wait for every signal and pass it on to their one child, whatever that does with
/// it.
const FORWARDERS: [&str; 4] = ["tini", "dumb-init", "docker-init", "catatonit"];

/// Whose processes are looked for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Wanted<'w> {
    pub(super) container: &'w str,
    pub(super) pod_uid: &'w str,
    /// The container's mark, if the pod has one.
    pub(super) mark: Option<&'w ContainerMark>,
}

/// The processes that this one can see, without itself.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct ProcessTable {
    pub(super) processes: Vec<Process>,
    /// How many of them are in no container that could be told.
    pub(super) unidentified: usize,
}

/// Reads the table. Processes that end meanwhile are left out, and so is this one: its own
/// environment is unreadable too.
pub(super) fn read(proc: &Path, wanted: Wanted<'_>) -> io::Result<ProcessTable> {
    let own = std::process::id();
    let mut table = ProcessTable::default();
    let mut environment = Zeroizing::new(Vec::with_capacity(64 << 10));
    for entry in fs::read_dir(proc)? {
        let Some(pid) = entry?.file_name().to_str().and_then(|name| name.parse::<i32>().ok())
        else {
            continue;
        };
        let Some(process) = read_process(proc, pid).filter(|_| u32::try_from(pid) != Ok(own))
        else {
            continue;
        };
        environment.clear();
        let is_read = read_environment(proc, pid, &mut environment);
        if is_read.is_err() {
            environment.clear();
        }
        let by_environment = environment_membership(&is_read, &environment, wanted);
        let membership = match (by_environment, wanted.mark) {
            (Membership::InContainer, _) | (_, None) => by_environment,
            (_, Some(mark)) => mark.membership(proc, pid),
        };
        let in_container = membership == Membership::InContainer;
        // In a shared process namespace the first process is the sandbox's own. It runs as a user
        // of its own and is in no container.
        table.unidentified += usize::from(membership == Membership::Unknown && pid != 1);
        // The program that stands in for the command catches every signal. What counts is
        // whether the command does, so the search goes on below it.
        let stands_in = environment.split(|byte| *byte == 0).any(|it| is_set(it, STAND_IN));
        let caught = if stands_in { 0 } else { process.caught };
        let awaited = if stands_in { 0 } else { awaited(proc, &process) };
        table.processes.push(Process { in_container, caught, awaited, ..process });
    }
    Ok(table)
}

/// What the environment of a process says.
fn environment_membership(
    is_read: &io::Result<()>,
    environment: &[u8],
    wanted: Wanted<'_>,
) -> Membership {
    match is_read {
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => Membership::Unknown,
        // It has just ended.
        Err(_) => Membership::Elsewhere,
        Ok(()) => {
            let entries = environment.split(|byte| *byte == 0);
            let markers = [
                format!("{CONTAINER_VARIABLE}={}", wanted.container),
                format!("{POD_UID_VARIABLE}={}", wanted.pod_uid),
            ];
            let has = |it: &String| entries.clone().any(|entry| entry == it.as_bytes());
            match markers.iter().all(has) {
                true => Membership::InContainer,
                false => Membership::Elsewhere,
            }
        }
    }
}

/// The signals that every thread of a process blocks, while one of them sleeps, and that it does
/// not catch: it takes them by `sigwait` or from a descriptor, and one that it does not take stays
/// pending and does no harm. A shell blocks signals too, for the moment in which it starts a
/// command, but does not sleep then.
fn awaited(proc: &Path, process: &Process) -> u64 {
    let candidates = process.blocked & !process.caught;
    if candidates == 0 {
        return 0;
    }
    let directory = proc.join(process.pid.to_string());
    let name = fs::read_to_string(directory.join("comm")).unwrap_or_default();
    if FORWARDERS.contains(&name.trim_end()) {
        return 0;
    }
    let Ok(threads) = fs::read_dir(directory.join("task")) else { return 0 };
    let (mut common, mut sleeps) = (candidates, false);
    for (count, thread) in threads.enumerate() {
        let line = thread.and_then(|it| fs::read_to_string(it.path().join("stat")));
        let line = line.unwrap_or_default();
        match parse_stat(process.pid, &line) {
            Some(thread) if count < MAX_THREADS => common &= thread.blocked,
            _ => return 0,
        }
        sleeps |= is_sleeping(&line);
    }
    if sleeps { common } else { 0 }
}

/// Whether a line of `stat` is that of a thread that waits and that a signal would wake.
fn is_sleeping(line: &str) -> bool {
    line.rsplit_once(')').is_some_and(|(_, rest)| rest.trim_start().starts_with('S'))
}

/// One process as it is now, without its environment; `None` if it has ended.
pub(super) fn read_process(proc: &Path, pid: i32) -> Option<Process> {
    parse_stat(pid, &fs::read_to_string(proc.join(pid.to_string()).join("stat")).ok()?)
}

/// Whether an entry of an environment is the variable `name`.
fn is_set(entry: &[u8], name: &str) -> bool {
    entry.strip_prefix(name.as_bytes()).is_some_and(|rest| rest.starts_with(b"="))
}

/// The ids of the processes whose parent is `parent`, except those that have ended.
pub(crate) fn children_of(proc: &Path, parent: i32) -> Vec<i32> {
    let ids = fs::read_dir(proc).into_iter().flatten().flatten();
    let ids = ids.filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok());
    ids.filter(|pid| read_process(proc, *pid).is_some_and(|it| it.parent == parent)).collect()
}

fn read_environment(proc: &Path, pid: i32, buffer: &mut Vec<u8>) -> io::Result<()> {
    let file = fs::File::open(proc.join(pid.to_string()).join("environ"))?;
    file.take(MAX_ENVIRONMENT_BYTES).read_to_end(buffer)?;
    Ok(())
}

/// Parses the line of `/proc/PID/stat`, see proc_pid_stat(5). This one line has everything as of
/// one moment: fields 32 and 34 are `SigBlk` and `SigCgt` of `/proc/PID/status` up to signal 31. No
/// supported signal is above that.
fn parse_stat(pid: i32, line: &str) -> Option<Process> {
    // Field 2 is the program's name in parentheses, which may contain spaces and parentheses.
    let (_, rest) = line.rsplit_once(')')?;
    let fields: Vec<&str> = rest.split_ascii_whitespace().collect();
    let field = |number: usize| fields.get(number - 3).copied();
    // A zombie takes no signals.
    if matches!(field(3)?, "Z" | "X" | "x") {
        return None;
    }
    Some(Process {
        pid,
        parent: field(4)?.parse().ok()?,
        started: field(22)?.parse().ok()?,
        blocked: field(32)?.parse().ok()?,
        caught: field(34)?.parse().ok()?,
        awaited: 0,
        in_container: false,
    })
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;
    use std::path::PathBuf;

    use super::*;

    fn line(pid: i32, name: &str, state: &str, parent: i32, started: u64, caught: u64) -> String {
        let zeros = |count: usize| "0 ".repeat(count);
        format!(
            "{pid} ({name}) {state} {parent} {}{started} {}0 0 {caught} {}\n",
            zeros(17),
            zeros(9),
            zeros(18)
        )
    }

    fn wanted<'w>(container: &'w str, pod_uid: &'w str) -> Wanted<'w> {
        Wanted { container, pod_uid, mark: None }
    }

    fn add(proc: &Path, pid: i32, stat: &str, environment: &[u8]) -> PathBuf {
        let directory = proc.join(pid.to_string());
        fs::create_dir(&directory).unwrap();
        write(&directory.join("stat"), stat.as_bytes());
        write(&directory.join("environ"), environment);
        directory
    }

    fn write(path: &Path, bytes: &[u8]) {
        io::Write::write_all(&mut fs::File::create(path).unwrap(), bytes).unwrap();
    }

    #[test]
    fn only_the_container_of_this_pod_matches() {
        let temp = tempfile::tempdir().unwrap();
        let proc = temp.path();
        fs::create_dir(proc.join("sys")).unwrap();
        fs::create_dir(proc.join("99")).unwrap();
        for (pid, environment) in [
            (20, &b"PATH=/bin\0ENCLII_CONTAINER=app\0ENCLII_POD_UID=u-1\0"[..]),
            (21, b"ENCLII_CONTAINER=app\0ENCLII_POD_UID=u-2\0"),
            (22, b"ENCLII_CONTAINER=application\0ENCLII_POD_UID=u-1\0"),
            (23, b"ENCLII_POD_UID=u-1\0"),
            (24, b"X=ENCLII_CONTAINER=app\0ENCLII_POD_UID=u-1\0"),
            (25, b""),
        ] {
            add(proc, pid, &line(pid, "app", "S", 0, 5, 1), environment);
        }
        let table = read(proc, wanted("app", "u-1")).unwrap();
        let mut matching: Vec<_> = table
            .processes
            .iter()
            .filter(|process| process.in_container)
            .map(|process| process.pid)
            .collect();
        matching.sort_unstable();
        assert_eq!(matching, [20]);
        assert_eq!(table.processes.len(), 6);
        assert_eq!(table.unidentified, 0);
    }

    #[test]
    fn the_program_that_stands_in_for_a_command_catches_nothing_itself() {
        let temp = tempfile::tempdir().unwrap();
        let markers = "ENCLII_CONTAINER=app\0ENCLII_POD_UID=u-1\0";
        let stand_in = format!("ENCLII_EXEC={{}}\0{markers}");
        add(temp.path(), 20, &line(20, "enclii-agent", "S", 0, 5, 1), stand_in.as_bytes());
        let other = format!("ENCLII_EXECUTION=1\0{markers}");
        add(temp.path(), 21, &line(21, "app", "S", 20, 6, 1), other.as_bytes());
        let mut found = read(temp.path(), wanted("app", "u-1")).unwrap().processes;
        found.sort_unstable_by_key(|process| process.pid);
        let found: Vec<_> = found.iter().map(|it| (it.caught, it.in_container)).collect();
        assert_eq!(found, [(0, true), (1, true)]);
        assert_eq!(children_of(temp.path(), 20), [21]);
        assert_eq!(children_of(temp.path(), 21), [] as [i32; 0]);
    }

    #[test]
    fn a_program_name_may_contain_parentheses_and_spaces() {
        let found = parse_stat(7, &line(7, "a) S 1 (b c", "R", 3, 44, 0x4001)).unwrap();
        assert_eq!(
            found,
            Process {
                pid: 7,
                parent: 3,
                started: 44,
                blocked: 0,
                caught: 0x4001,
                awaited: 0,
                in_container: false,
            }
        );
    }

    #[test]
    fn ended_and_malformed_entries_are_skipped() {
        assert_eq!(parse_stat(7, &line(7, "x", "Z", 3, 44, 1)), None);
        assert_eq!(parse_stat(7, ""), None);
        assert_eq!(parse_stat(7, "7 (x) S 1"), None);
    }

    #[test]
    fn the_caught_signals_are_those_of_the_status_file() {
        let own = i32::try_from(std::process::id()).unwrap();
        let found = read_process(Path::new("/proc"), own).unwrap();
        let status = fs::read_to_string("/proc/self/status").unwrap();
        let mask = status.lines().find_map(|line| line.strip_prefix("SigCgt:")).unwrap();
        let mask = u64::from_str_radix(mask.trim(), 16).unwrap();
        assert_eq!(found.caught, mask & 0x7fff_ffff);
        assert_eq!(found.pid, own);
    }

    #[test]
    fn processes_that_cannot_be_told_are_counted() {
        let temp = tempfile::tempdir().unwrap();
        let stat = |pid| line(pid, "app", "S", 0, 5, 1);
        let marked = &b"ENCLII_CONTAINER=app\0ENCLII_POD_UID=u\0"[..];
        let directory = add(temp.path(), 20, &stat(20), marked);
        fs::set_permissions(directory.join("environ"), fs::Permissions::from_mode(0o000)).unwrap();
        add(temp.path(), 21, &stat(21), b"PATH=/bin\0");
        let mut table = read(temp.path(), wanted("app", "u")).unwrap();
        table.processes.sort_unstable_by_key(|process| process.pid);
        // Root can read every file.
        let is_root = rustix::process::geteuid().is_root();
        assert_eq!(table.unidentified, usize::from(!is_root));
        assert_eq!(table.processes[0].in_container, is_root);
        assert!(!table.processes[1].in_container);
    }

    #[test]
    fn a_signal_is_awaited_where_every_thread_blocks_it() {
        let temp = tempfile::tempdir().unwrap();
        let with_blocked = |pid, blocked: u64, caught: u64| {
            line(pid, "app", "S", 0, 5, caught)
                .replace(&format!(" 0 0 {caught} "), &format!(" {blocked} 0 {caught} "))
        };
        for (pid, name, threads, expected) in [
            (20, "app", &[0x3, 0x1][..], 0x1),
            (21, "app", &[0x1, 0x2], 0),
            (22, "app", &[0x0, 0x1], 0),
            (23, "tini", &[0x1], 0),
            // It is caught.
            (24, "app", &[0x4000], 0),
            // It is just starting a command.
            (25, "sh", &[0x3], 0),
        ] {
            let stat = with_blocked(pid, threads[0], 0x4000);
            let directory = add(temp.path(), pid, &stat, b"");
            write(&directory.join("comm"), format!("{name}\n").as_bytes());
            for (at, blocked) in threads.iter().enumerate() {
                let thread =
                    directory.join("task").join((pid + i32::try_from(at).unwrap()).to_string());
                fs::create_dir_all(&thread).unwrap();
                let stat = with_blocked(pid, *blocked, 0x4000);
                let stat = if name == "sh" { stat.replace(") S ", ") D ") } else { stat };
                write(&thread.join("stat"), stat.as_bytes());
            }
            let process = read_process(temp.path(), pid).unwrap();
            assert_eq!(awaited(temp.path(), &process), expected, "{pid}");
        }
    }
}
