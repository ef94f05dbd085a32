//! Reads the process table from `/proc`.
//!
//! The environment of a process is readable for a process of the same user that has at least its
//! capabilities. It may hold secrets, so the buffer it is read into is wiped.

use std::fs;
use std::io::{self, Read};
use std::path::Path;

use contract::layout::{CONTAINER_VARIABLE, EXEC_VARIABLE, POD_UID_VARIABLE};
use zeroize::Zeroizing;

use super::target::Process;

// The arguments and environment of a process take up to a quarter of the stack limit, in practice
// 2 MiB.
const MAX_ENVIRONMENT_BYTES: u64 = 8 << 20;

/// What the environment of `enclii-agent exec` has and that of its command lacks.
const STAND_IN: &str = EXEC_VARIABLE;

/// The processes that this one can see, without itself.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct ProcessTable {
    pub(super) processes: Vec<Process>,
    /// How many of them have an unreadable environment, because they run as another user.
    pub(super) unreadable: usize,
}

/// Reads the table. Processes that end meanwhile are left out, and so is this one: its own
/// environment is unreadable too.
pub(super) fn read(proc: &Path, container: &str, pod_uid: &str) -> io::Result<ProcessTable> {
    let own = std::process::id();
    let markers =
        [format!("{CONTAINER_VARIABLE}={container}"), format!("{POD_UID_VARIABLE}={pod_uid}")];
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
        if let Err(error) = &is_read {
            table.unreadable += usize::from(error.kind() == io::ErrorKind::PermissionDenied);
            environment.clear();
        }
        let mut entries = environment.split(|byte| *byte == 0);
        let in_container =
            markers.iter().all(|marker| entries.clone().any(|entry| entry == marker.as_bytes()));
        // The program that stands in for the command catches every signal. What counts is
        // whether the command does, so the search goes on below it.
        let stands_in = entries.any(|entry| is_set(entry, STAND_IN));
        let caught = if stands_in { 0 } else { process.caught };
        table.processes.push(Process { in_container, caught, ..process });
    }
    Ok(table)
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
/// one moment: field 34 is `SigCgt` of `/proc/PID/status` up to signal 31, and no supported signal
/// is above that.
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
        caught: field(34)?.parse().ok()?,
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
            "{pid} ({name}) {state} {parent} {}{started} {}{caught} {}\n",
            zeros(17),
            zeros(11),
            zeros(18)
        )
    }

    fn add(proc: &Path, pid: i32, stat: &str, environment: &[u8]) -> PathBuf {
        let directory = proc.join(pid.to_string());
        fs::create_dir(&directory).unwrap();
        io::Write::write_all(
            &mut fs::File::create(directory.join("stat")).unwrap(),
            stat.as_bytes(),
        )
        .unwrap();
        io::Write::write_all(
            &mut fs::File::create(directory.join("environ")).unwrap(),
            environment,
        )
        .unwrap();
        directory
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
        let table = read(proc, "app", "u-1").unwrap();
        let mut matching: Vec<_> = table
            .processes
            .iter()
            .filter(|process| process.in_container)
            .map(|process| process.pid)
            .collect();
        matching.sort_unstable();
        assert_eq!(matching, [20]);
        assert_eq!(table.processes.len(), 6);
        assert_eq!(table.unreadable, 0);
    }

    #[test]
    fn the_program_that_stands_in_for_a_command_catches_nothing_itself() {
        let temp = tempfile::tempdir().unwrap();
        let markers = "ENCLII_CONTAINER=app\0ENCLII_POD_UID=u-1\0";
        let stand_in = format!("ENCLII_EXEC={{}}\0{markers}");
        add(temp.path(), 20, &line(20, "enclii-agent", "S", 0, 5, 1), stand_in.as_bytes());
        let other = format!("ENCLII_EXECUTION=1\0{markers}");
        add(temp.path(), 21, &line(21, "app", "S", 20, 6, 1), other.as_bytes());
        let mut found = read(temp.path(), "app", "u-1").unwrap().processes;
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
            Process { pid: 7, parent: 3, started: 44, caught: 0x4001, in_container: false }
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
    fn unreadable_environments_are_counted() {
        let temp = tempfile::tempdir().unwrap();
        let directory = add(
            temp.path(),
            20,
            &line(20, "app", "S", 0, 5, 1),
            b"ENCLII_CONTAINER=app\0ENCLII_POD_UID=u\0",
        );
        fs::set_permissions(directory.join("environ"), fs::Permissions::from_mode(0o000)).unwrap();
        let table = read(temp.path(), "app", "u").unwrap();
        // Root can read every file.
        let is_root = rustix::process::geteuid().is_root();
        assert_eq!(table.unreadable, usize::from(!is_root));
        assert_eq!(table.processes[0].in_container, is_root);
    }
}
