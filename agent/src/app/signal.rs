//! Telling the application by a signal.

use std::io;
use std::path::PathBuf;

use contract::reload::Signal;
use contract::stream::Outcome;
use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags};
use tokio::time::Instant;

use super::choose::{Choice, Process, choose};
use super::table::{self, Table};
use crate::schedule;

/// The container whose process gets a signal.
#[derive(Clone, Debug)]
pub(super) struct Container {
    pub(super) signal: Signal,
    pub(super) name: String,
    pub(super) pod_uid: String,
    pub(super) proc: PathBuf,
}

/// Why no signal was sent.
#[derive(Debug, thiserror::Error)]
pub enum SignalFailure {
    /// The process table cannot be read.
    #[error("read process table")]
    Table(#[source] io::Error),
    /// The agent sees no other container's processes.
    #[error(
        "find process of container {container}: the containers of this pod do not share a process namespace; a signal needs shareProcessNamespace: true"
    )]
    NotShared {
        /// The container.
        container: String,
    },
    /// No process says that it is of the container.
    #[error("find process of container {container}: there is none{}", unseen(*.closed))]
    Absent {
        /// The container.
        container: String,
        /// How many processes cannot be looked at.
        closed: usize,
    },
    /// Its default action would end the application.
    #[error(
        "send {signal} to container {container}: process {pid} and those it started do not catch it, so it was not sent; let the application handle {signal} or choose another enclii.io/reload"
    )]
    NotCaught {
        /// The signal.
        signal: &'static str,
        /// The container.
        container: String,
        /// The container's first process.
        pid: i32,
    },
    /// The process ended, or is another one by now.
    #[error("send {signal} to process {pid}: it has just ended")]
    Gone {
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

fn unseen(count: usize) -> String {
    match count {
        0 => String::new(),
        n => format!(
            ", and {n} cannot be looked at; the agent must run as the application's user, and the application without capabilities that the agent lacks"
        ),
    }
}

impl Container {
    /// Sends the signal as soon as somebody catches it. No process at all means after a while that
    /// the application has not started: it will read the new files when it does.
    pub(super) async fn tell(&self) -> Result<Outcome, SignalFailure> {
        let began = Instant::now();
        let mut attempt = 0;
        loop {
            let failure = match self.once() {
                Ok(()) => return Ok(Outcome::Signalled),
                Err(failure) => failure,
            };
            if matches!(failure, SignalFailure::NotShared { .. }) {
                return Err(failure);
            }
            let passed = began.elapsed();
            // A pod has one process that is always closed: the pause process, of a user of its own.
            if matches!(failure, SignalFailure::Absent { closed: 0 | 1, .. })
                && schedule::is_absent(passed)
            {
                return Ok(Outcome::NotNeeded);
            }
            let Some(wait) = schedule::retell(attempt, passed, runtime::backoff::random()) else {
                return Err(failure);
            };
            attempt += 1;
            tokio::time::sleep(wait).await;
        }
    }

    fn once(&self) -> Result<(), SignalFailure> {
        // In a shared namespace the first process is the pause process.
        if std::process::id() == 1 {
            return Err(SignalFailure::NotShared { container: self.name.clone() });
        }
        let Table { processes, closed } =
            table::read(&self.proc, &self.name, &self.pod_uid).map_err(SignalFailure::Table)?;
        match choose(&processes, self.signal) {
            Choice::Absent => Err(SignalFailure::Absent { container: self.name.clone(), closed }),
            Choice::NotCaught(first) => Err(SignalFailure::NotCaught {
                signal: self.signal.name(),
                container: self.name.clone(),
                pid: first.pid,
            }),
            Choice::Send(processes) => self.send_all(&processes),
        }
    }

    /// Of several, one that has just ended does not matter as long as another one got it.
    fn send_all(&self, processes: &[Process]) -> Result<(), SignalFailure> {
        let results: Vec<_> = processes.iter().map(|process| self.send(process)).collect();
        let sent = results.iter().any(Result::is_ok);
        match results.into_iter().find_map(Result::err) {
            Some(failure) if !sent || !matches!(failure, SignalFailure::Gone { .. }) => {
                Err(failure)
            }
            _ => Ok(()),
        }
    }

    fn send(&self, process: &Process) -> Result<(), SignalFailure> {
        let (signal, pid) = (self.signal.name(), process.pid);
        let failed = |errno: Errno| match errno {
            Errno::SRCH => SignalFailure::Gone { signal, pid },
            other => SignalFailure::Send { signal, pid, source: other.into() },
        };
        let raw = Pid::from_raw(pid).ok_or(SignalFailure::Gone { signal, pid })?;
        let number = rustix::process::Signal::from_named_raw(i32::from(self.signal.number()))
            .ok_or_else(|| failed(Errno::INVAL))?;
        // The descriptor stands for one process for ever; that it is the one that was chosen is
        // looked at after it is open.
        let descriptor = match rustix::process::pidfd_open(raw, PidfdFlags::empty()) {
            Ok(descriptor) => Some(descriptor),
            // A kernel before 5.3, or an old seccomp profile: the id alone has to do.
            Err(Errno::NOSYS | Errno::PERM) => None,
            Err(errno) => return Err(failed(errno)),
        };
        let same = table::one(&self.proc, pid)
            .is_some_and(|now| now.started == process.started && self.signal.is_in(now.caught));
        if !same {
            return Err(SignalFailure::Gone { signal, pid });
        }
        match descriptor {
            Some(descriptor) => rustix::process::pidfd_send_signal(descriptor, number),
            None => rustix::process::kill_process(raw, number),
        }
        .map_err(failed)
    }
}
