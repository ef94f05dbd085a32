//! Which process gets the signal. Pure: the process table comes in.

use contract::reload::Signal;

/// One process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Process {
    pub(super) pid: i32,
    /// 0 where the parent is not in this process namespace.
    pub(super) parent: i32,
    /// When it started, in ticks since the machine's start: with the pid it names a process for
    /// ever.
    pub(super) started: u64,
    /// The signals it catches, as `SigCgt` of `/proc/PID/status`.
    pub(super) caught: u64,
    /// Whether its environment says that it is of the container that is to be told.
    pub(super) of_container: bool,
}

/// Who gets the signal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Choice {
    /// These.
    Send(Vec<Process>),
    /// Nobody: this is the container's first process, and neither it nor one that it started
    /// catches the signal.
    NotCaught(Process),
    /// Nobody: there is no process of the container.
    Absent,
}

/// The container's first process if it catches the signal, or else the nearest of its descendants
/// that do: a shell that was made process 1 does not pass a signal on.
pub(super) fn choose(table: &[Process], signal: Signal) -> Choice {
    let Some(first) = first_process(table) else { return Choice::Absent };
    let mut found = Vec::new();
    let mut next = vec![first];
    // Each process is looked at once, since a process has one parent; the bound is for a table that
    // was read while processes came and went.
    for _ in 0..table.len() {
        let Some(process) = next.pop() else { break };
        if signal.is_in(process.caught) {
            found.push(process);
        } else {
            next.extend(
                table
                    .iter()
                    .filter(|child| child.parent == process.pid && child.pid != process.pid),
            );
        }
    }
    found.sort_by_key(|process| process.pid);
    if found.is_empty() { Choice::NotCaught(first) } else { Choice::Send(found) }
}

/// The oldest process of the container that no other one of it has started. What `kubectl exec`
/// starts looks the same and is younger.
fn first_process(table: &[Process]) -> Option<Process> {
    let of_container =
        |pid: i32| table.iter().any(|process| process.of_container && process.pid == pid);
    table
        .iter()
        .filter(|process| {
            process.of_container && (process.parent == process.pid || !of_container(process.parent))
        })
        .min_by_key(|process| (process.started, process.pid))
        .copied()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const HANGUP: u64 = 1;

    /// pid, parent, started, catches SIGHUP, of the container
    fn table(rows: &[(i32, i32, u64, bool, bool)]) -> Vec<Process> {
        rows.iter()
            .map(|&(pid, parent, started, catches, of_container)| Process {
                pid,
                parent,
                started,
                caught: if catches { HANGUP } else { 0x200 },
                of_container,
            })
            .collect()
    }

    fn chosen(rows: &[(i32, i32, u64, bool, bool)]) -> Result<Vec<i32>, Choice> {
        match choose(&table(rows), "SIGHUP".parse().unwrap()) {
            Choice::Send(processes) => Ok(processes.iter().map(|process| process.pid).collect()),
            other => Err(other),
        }
    }

    const PAUSE: (i32, i32, u64, bool, bool) = (1, 0, 10, false, false);

    #[test]
    fn the_first_process_gets_it_and_its_workers_do_not() {
        let found = chosen(&[
            PAUSE,
            (20, 0, 30, true, true),
            (21, 20, 31, true, true),
            (22, 20, 31, true, true),
        ]);
        assert_eq!(found, Ok(vec![20]));
    }

    #[test]
    fn a_shell_does_not_pass_it_on_so_its_children_get_it() {
        let found = chosen(&[
            PAUSE,
            (20, 0, 30, false, true),
            (21, 20, 31, true, true),
            (22, 20, 31, false, true),
            (23, 22, 32, true, false),
            (24, 21, 33, true, true),
        ]);
        assert_eq!(found, Ok(vec![21, 23]));
    }

    #[test]
    fn what_kubectl_exec_started_is_younger() {
        let found = chosen(&[PAUSE, (90, 0, 99, true, true), (20, 0, 30, true, true)]);
        assert_eq!(found, Ok(vec![20]));
    }

    #[test]
    fn a_process_id_that_was_used_again_does_not_look_older() {
        let found = chosen(&[PAUSE, (7, 0, 99, true, true), (300, 0, 30, true, true)]);
        assert_eq!(found, Ok(vec![300]));
    }

    #[test]
    fn one_that_does_not_catch_it_is_spared() {
        let found = chosen(&[
            PAUSE,
            (20, 0, 30, false, true),
            (21, 20, 31, false, true),
            (40, 0, 5, true, false),
        ]);
        assert!(matches!(found, Err(Choice::NotCaught(Process { pid: 20, .. }))), "{found:?}");
    }

    #[test]
    fn another_container_is_left_alone() {
        assert_eq!(chosen(&[PAUSE, (20, 0, 30, true, false)]), Err(Choice::Absent));
        assert_eq!(chosen(&[]), Err(Choice::Absent));
    }

    proptest! {
        #[test]
        fn nobody_gets_it_who_does_not_catch_it_or_is_not_below_the_first(
            rows in prop::collection::vec((1..30i32, 0..30i32, 0..5u64, any::<bool>(), any::<bool>()), 0..25)
        ) {
            let table = table(&rows);
            if let Choice::Send(found) = choose(&table, "SIGHUP".parse().unwrap()) {
                let first = first_process(&table).unwrap();
                for process in found {
                    prop_assert_eq!(process.caught, HANGUP);
                    prop_assert!(process == first || table.iter().any(|parent| parent.pid == process.parent && parent.caught != HANGUP));
                }
            }
        }
    }
}
