//! Selects the processes that get the signal. Pure: the process table is an argument.

use contract::reload::Signal;

/// One process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Process {
    pub(super) pid: i32,
    /// 0 where the parent is not in this process namespace.
    pub(super) parent: i32,
    /// When it started, in clock ticks since boot. Together with the pid it identifies a process
    /// even after the pid is reused.
    pub(super) started: u64,
    /// The signals that its first thread blocks, as `SigBlk` of `/proc/PID/status`.
    pub(super) blocked: u64,
    /// The signals it catches, as `SigCgt` of `/proc/PID/status`.
    pub(super) caught: u64,
    /// The signals that it waits for without catching them.
    pub(super) awaited: u64,
    /// Whether it belongs to the container.
    pub(super) in_container: bool,
}

/// The result of [`select`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Selection {
    /// These processes get the signal.
    Send(Vec<Process>),
    /// No process gets it: neither this one, the container's first, nor any of its descendants
    /// catches the signal.
    NotCaught(Process),
    /// The container has no process.
    NoProcess,
}

/// Selects the container's first process if it catches the signal, or else its nearest descendants
/// that do: a shell that runs as process 1 does not forward signals. Where none catches it, those
/// are selected that wait for it.
pub(super) fn select(table: &[Process], signal: Signal) -> Selection {
    let Some(first) = first_process(table) else { return Selection::NoProcess };
    let catching = nearest(table, first, |process| signal.is_in(process.caught));
    if !catching.is_empty() {
        return Selection::Send(catching);
    }
    let waiting = nearest(table, first, |process| signal.is_in(process.awaited));
    if waiting.is_empty() { Selection::NotCaught(first) } else { Selection::Send(waiting) }
}

/// The first process if it takes the signal, or else its nearest descendants that do.
fn nearest(table: &[Process], first: Process, takes: impl Fn(&Process) -> bool) -> Vec<Process> {
    let mut found = Vec::new();
    let mut next = vec![first];
    // Each process is visited once, because it has one parent. The bound guards against a cycle in
    // a table that was read while processes started and ended.
    for _ in 0..table.len() {
        let Some(process) = next.pop() else { break };
        if takes(&process) {
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
    found
}

/// The oldest process of the container whose parent is outside it. A process that `kubectl exec`
/// starts looks the same and is younger.
fn first_process(table: &[Process]) -> Option<Process> {
    let in_container =
        |pid: i32| table.iter().any(|process| process.in_container && process.pid == pid);
    table
        .iter()
        .filter(|process| {
            process.in_container && (process.parent == process.pid || !in_container(process.parent))
        })
        .min_by_key(|process| (process.started, process.pid))
        .copied()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const HANGUP: u64 = 1;

    /// pid, parent, start time, catches SIGHUP, in the container
    fn table(rows: &[(i32, i32, u64, bool, bool)]) -> Vec<Process> {
        rows.iter()
            .map(|&(pid, parent, started, catches, in_container)| Process {
                pid,
                parent,
                started,
                blocked: 0,
                caught: if catches { HANGUP } else { 0x200 },
                awaited: 0,
                in_container,
            })
            .collect()
    }

    fn selected(rows: &[(i32, i32, u64, bool, bool)]) -> Result<Vec<i32>, Selection> {
        match select(&table(rows), "SIGHUP".parse().unwrap()) {
            Selection::Send(processes) => Ok(processes.iter().map(|process| process.pid).collect()),
            other => Err(other),
        }
    }

    const PAUSE: (i32, i32, u64, bool, bool) = (1, 0, 10, false, false);

    #[test]
    fn only_the_first_process_gets_the_signal() {
        let found = selected(&[
            PAUSE,
            (20, 0, 30, true, true),
            (21, 20, 31, true, true),
            (22, 20, 31, true, true),
        ]);
        assert_eq!(found, Ok(vec![20]));
    }

    #[test]
    fn the_children_of_a_shell_get_the_signal() {
        let found = selected(&[
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
    fn a_process_started_by_kubectl_exec_is_not_the_first() {
        let found = selected(&[PAUSE, (90, 0, 99, true, true), (20, 0, 30, true, true)]);
        assert_eq!(found, Ok(vec![20]));
    }

    #[test]
    fn a_reused_process_id_does_not_look_older() {
        let found = selected(&[PAUSE, (7, 0, 99, true, true), (300, 0, 30, true, true)]);
        assert_eq!(found, Ok(vec![300]));
    }

    #[test]
    fn a_process_that_does_not_catch_the_signal_does_not_get_it() {
        let found = selected(&[
            PAUSE,
            (20, 0, 30, false, true),
            (21, 20, 31, false, true),
            (40, 0, 5, true, false),
        ]);
        assert!(matches!(found, Err(Selection::NotCaught(Process { pid: 20, .. }))), "{found:?}");
    }

    #[test]
    fn another_container_gets_no_signal() {
        assert_eq!(selected(&[PAUSE, (20, 0, 30, true, false)]), Err(Selection::NoProcess));
        assert_eq!(selected(&[]), Err(Selection::NoProcess));
    }

    proptest! {
        #[test]
        fn every_selected_process_catches_the_signal_and_descends_from_the_first(
            rows in prop::collection::vec(
                (1..30i32, 0..30i32, 0..5u64, any::<bool>(), any::<bool>()),
                0..25,
            )
        ) {
            let table = table(&rows);
            if let Selection::Send(found) = select(&table, "SIGHUP".parse().unwrap()) {
                let first = first_process(&table).unwrap();
                for process in found {
                    prop_assert_eq!(process.caught, HANGUP);
                    let has_unaware_parent = table.iter().any(|parent| {
                        parent.pid == process.parent && parent.caught != HANGUP
                    });
                    prop_assert!(process == first || has_unaware_parent);
                }
            }
        }
    }
}
