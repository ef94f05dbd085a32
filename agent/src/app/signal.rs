//! Tells the application to reload by a signal.

use std::io;
use std::path::PathBuf;

use contract::reload::Signal;
use contract::stream::ReloadOutcome;
use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags};
use tokio::time::Instant;

use super::process_table::{self, ProcessTable};
use super::target::{Process, Selection, select};
use crate::schedule;

/// A signal and the container whose process gets it.
#[derive(Clone, Debug)]
pub(super) struct SignalTarget {
    pub(super) signal: Signal,
    pub(super) container: String,
    pub(super) pod_uid: String,
    pub(super) proc: PathBuf,
}

/// Why no signal was sent.
#[derive(Debug, thiserror::Error)]
pub enum SignalError {
    /// The process table is unreadable.
    #[error("read process table")]
    ProcessTable(#[source] io::Error),
    /// The agent cannot see the processes of other containers.
    #[error(
        "find process of container {container}: the containers of this pod do not share a process \
         namespace; a signal needs shareProcessNamespace: true"
    )]
    NamespaceNotShared {
        /// The container.
        container: String,
    },
    /// No process belongs to the container.
    #[error("find process of container {container}: not found{}", unreadable_hint(*.unreadable))]
    NoProcess {
        /// The container.
        container: String,
        /// The number of processes whose environment is unreadable.
        unreadable: usize,
    },
    /// The signal's default action would end the application.
    #[error(
        "send {signal} to container {container}: neither process {pid} nor its descendants catch \
         it, so it was not sent; handle {signal} in the application or choose another \
         enclii.io/reload"
    )]
    NotCaught {
        /// The signal.
        signal: &'static str,
        /// The container.
        container: String,
        /// The container's first process.
        pid: i32,
    },
    /// The process ended before it got the signal.
    #[error("send {signal} to process {pid}: the process has ended")]
    ProcessEnded {
        /// The signal.
        signal: &'static str,
        /// The process.
        pid: i32,
    },
    /// The kernel refused.
    #[error("send {signal} to process {pid}")]
    Send {
        /// The signal.
        signal: &'static str,
        /// The process.
        pid: i32,
        /// Why.
        source: io::Error,
    },
}

fn unreadable_hint(count: usize) -> String {
    match count {
        0 => String::new(),
        n => format!(
            ", and the environment of {n} processes is unreadable; the agent must run as the \
             application's user, and the application must not have capabilities that the agent \
             lacks"
        ),
    }
}

impl SignalTarget {
    /// Sends the signal as soon as a process catches it. If the container has no process for a
    /// while, the application has not started, and reads the new files when it does.
    pub(super) async fn send(&self) -> Result<ReloadOutcome, SignalError> {
        let started = Instant::now();
        let mut attempt = 0;
        loop {
            let error = match self.send_once() {
                Ok(()) => return Ok(ReloadOutcome::Signalled),
                Err(error) => error,
            };
            if matches!(error, SignalError::NamespaceNotShared { .. }) {
                return Err(error);
            }
            let elapsed = started.elapsed();
            // One process of a pod is always unreadable: the pause process, which runs as a user
            // of its own.
            if matches!(error, SignalError::NoProcess { unreadable: 0 | 1, .. })
                && schedule::is_not_started(elapsed)
            {
                return Ok(ReloadOutcome::NotNeeded);
            }
            let random = runtime::backoff::random();
            let Some(delay) = schedule::reload_retry_delay(attempt, elapsed, random) else {
                return Err(error);
            };
            attempt += 1;
            tokio::time::sleep(delay).await;
        }
    }

    fn send_once(&self) -> Result<(), SignalError> {
        // In a shared namespace the pause process has id 1.
        if std::process::id() == 1 {
            return Err(SignalError::NamespaceNotShared { container: self.container.clone() });
        }
        let ProcessTable { processes, unreadable } =
            process_table::read(&self.proc, &self.container, &self.pod_uid)
                .map_err(SignalError::ProcessTable)?;
        match select(&processes, self.signal) {
            Selection::NoProcess => {
                Err(SignalError::NoProcess { container: self.container.clone(), unreadable })
            }
            Selection::NotCaught(first) => Err(SignalError::NotCaught {
                signal: self.signal.name(),
                container: self.container.clone(),
                pid: first.pid,
            }),
            Selection::Send(processes) => self.send_to_all(&processes),
        }
    }

    /// Ignores processes that have just ended, as long as another one got the signal.
    fn send_to_all(&self, processes: &[Process]) -> Result<(), SignalError> {
        let results: Vec<_> = processes.iter().map(|process| self.send_to(process)).collect();
        let sent = results.iter().any(Result::is_ok);
        match results.into_iter().find_map(Result::err) {
            Some(error) if !sent || !matches!(error, SignalError::ProcessEnded { .. }) => {
                Err(error)
            }
            _ => Ok(()),
        }
    }

    fn send_to(&self, process: &Process) -> Result<(), SignalError> {
        let (signal, pid) = (self.signal.name(), process.pid);
        let failed = |errno: Errno| match errno {
            Errno::SRCH => SignalError::ProcessEnded { signal, pid },
            other => SignalError::Send { signal, pid, source: other.into() },
        };
        let raw = Pid::from_raw(pid).ok_or(SignalError::ProcessEnded { signal, pid })?;
        let number = rustix::process::Signal::from_named_raw(i32::from(self.signal.number()))
            .ok_or_else(|| failed(Errno::INVAL))?;
        // An open descriptor refers to one process even if its pid is reused. Whether that is the
        // selected process is checked after the descriptor is open.
        let descriptor = match rustix::process::pidfd_open(raw, PidfdFlags::empty()) {
            Ok(descriptor) => Some(descriptor),
            // A kernel before 5.3 or an old seccomp profile: only the pid is left.
            Err(Errno::NOSYS | Errno::PERM) => None,
            Err(errno) => return Err(failed(errno)),
        };
        let unchanged = process_table::read_process(&self.proc, pid)
            .is_some_and(|now| now.started == process.started && self.signal.is_in(now.caught));
        if !unchanged {
            return Err(SignalError::ProcessEnded { signal, pid });
        }
        match descriptor {
            Some(descriptor) => rustix::process::pidfd_send_signal(descriptor, number),
            None => rustix::process::kill_process(raw, number),
        }
        .map_err(failed)
    }
}
