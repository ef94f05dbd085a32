//! Tells the application to reload by a signal.

use std::io;
use std::path::PathBuf;

use contract::reload::Signal;
use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags};
use tokio::time::Instant;

use super::container_mark::ContainerMark;
use super::process_table::{self, ProcessTable, Wanted};
use super::target::{Process, Selection, select};
use crate::schedule;

/// A signal and the container whose process gets it.
#[derive(Clone, Debug)]
pub(super) struct SignalTarget {
    pub(super) signal: Signal,
    pub(super) container: String,
    pub(super) pod_uid: String,
    pub(super) proc: PathBuf,
    /// Where the agent has the secrets volume.
    pub(super) directory: PathBuf,
}

/// The processes that a signal was sent to.
#[derive(Clone, Debug)]
pub(super) struct Signalled(Vec<Process>);

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
    #[error(
        "find process of container {container}: not found{}",
        unidentified_hint(*.unidentified)
    )]
    NoProcess {
        /// The container.
        container: String,
        /// The number of processes that are in no container that could be told.
        unidentified: usize,
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
    /// The application has a handler of its runtime, which ends it.
    #[error(
        "send {signal} to container {container}: process {pid} ended right after it, so it is not \
         sent again in this pod; handle {signal} in the application or choose another \
         enclii.io/reload"
    )]
    Fatal {
        /// The signal.
        signal: &'static str,
        /// The container.
        container: String,
        /// The process.
        pid: i32,
    },
    /// An earlier signal has ended the application.
    #[error(
        "send {signal} to container {container}: not sent, since an earlier one ended the \
         application; handle {signal} in the application or choose another enclii.io/reload"
    )]
    KnownFatal {
        /// The signal.
        signal: &'static str,
        /// The container.
        container: String,
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

fn unidentified_hint(count: usize) -> String {
    match count {
        0 => String::new(),
        n => format!(
            ", and it cannot be told in which container {n} of the pod's processes are; the agent \
             must run as the application's user, and the application must not have capabilities \
             that the agent lacks"
        ),
    }
}

impl SignalTarget {
    /// Sends the signal as soon as a process takes it. If the container has no process for a while,
    /// the application has not started, and reads the new files when it does: that is `None`.
    pub(super) async fn send(&self) -> Result<Option<Signalled>, SignalError> {
        let started = Instant::now();
        let mut attempt = 0;
        loop {
            let error = match self.send_once() {
                Ok(signalled) => return Ok(Some(signalled)),
                Err(error) => error,
            };
            if matches!(error, SignalError::NamespaceNotShared { .. }) {
                return Err(error);
            }
            let elapsed = started.elapsed();
            if matches!(error, SignalError::NoProcess { unidentified: 0, .. })
                && schedule::is_not_started(elapsed)
            {
                return Ok(None);
            }
            let random = runtime::backoff::random();
            let Some(delay) = schedule::reload_retry_delay(attempt, elapsed, random) else {
                return Err(error);
            };
            attempt += 1;
            tokio::time::sleep(delay).await;
        }
    }

    /// Looks whether the signal has ended a process that got it. The runtimes of some languages
    /// catch signals that their programs do not handle, and end.
    pub(super) async fn watch(&self, signalled: &Signalled) -> Result<(), SignalError> {
        let end = Instant::now() + schedule::SIGNAL_WATCH;
        loop {
            let lives = |it: &&Process| {
                let now = process_table::read_process(&self.proc, it.pid);
                now.is_some_and(|now| now.started == it.started)
            };
            if let Some(ended) = signalled.0.iter().find(|it| !lives(it)) {
                if self.is_succeeded(signalled) {
                    return Ok(());
                }
                return Err(SignalError::Fatal {
                    signal: self.signal.name(),
                    container: self.container.clone(),
                    pid: ended.pid,
                });
            }
            if Instant::now() >= end {
                return Ok(());
            }
            tokio::time::sleep(schedule::SIGNAL_WATCH_INTERVAL).await;
        }
    }

    /// Whether the container has a newer process that takes the signal: some programs hand over to
    /// a new process and end.
    fn is_succeeded(&self, signalled: &Signalled) -> bool {
        let Ok(table) = self.read_table() else { return false };
        let newest = signalled.0.iter().map(|process| process.started).max();
        table.processes.iter().any(|it| {
            let takes = self.signal.is_in(it.caught | it.awaited);
            it.in_container && takes && Some(it.started) > newest
        })
    }

    fn read_table(&self) -> io::Result<ProcessTable> {
        let mark = ContainerMark::find(&self.proc, &self.directory, &self.container);
        let Self { container, pod_uid, .. } = self;
        process_table::read(&self.proc, Wanted { container, pod_uid, mark: mark.as_ref() })
    }

    /// The error where an earlier signal has ended the application.
    pub(super) fn known_fatal(&self) -> SignalError {
        let (signal, container) = (self.signal.name(), self.container.clone());
        SignalError::KnownFatal { signal, container }
    }

    fn send_once(&self) -> Result<Signalled, SignalError> {
        // In a shared namespace the pause process has id 1.
        if std::process::id() == 1 {
            return Err(SignalError::NamespaceNotShared { container: self.container.clone() });
        }
        let ProcessTable { processes, unidentified } =
            self.read_table().map_err(SignalError::ProcessTable)?;
        match select(&processes, self.signal) {
            Selection::NoProcess => {
                Err(SignalError::NoProcess { container: self.container.clone(), unidentified })
            }
            Selection::NotCaught(first) => Err(SignalError::NotCaught {
                signal: self.signal.name(),
                container: self.container.clone(),
                pid: first.pid,
            }),
            Selection::Send(processes) => self.send_to_all(processes),
        }
    }

    /// Ignores processes that have just ended, as long as another one got the signal.
    fn send_to_all(&self, processes: Vec<Process>) -> Result<Signalled, SignalError> {
        let mut sent = Vec::with_capacity(processes.len());
        let mut failed = None;
        for process in processes {
            match self.send_to(&process) {
                Ok(()) => sent.push(process),
                Err(error) => failed = failed.or(Some(error)),
            }
        }
        match failed {
            Some(error)
                if sent.is_empty() || !matches!(error, SignalError::ProcessEnded { .. }) =>
            {
                Err(error)
            }
            _ => Ok(Signalled(sent)),
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
        // What waits for the signal is in the table and not in this one line.
        let unchanged = process_table::read_process(&self.proc, pid).is_some_and(|now| {
            let takes = self.signal.is_in(now.caught) || self.signal.is_in(process.awaited);
            now.started == process.started && takes
        });
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
