//! Starts, signals and reaps processes.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::io;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;

use rustix::process::{Pid, Signal, WaitOptions, getpid, kill_process, set_child_subreaper, wait};
use rustix::termios::tcgetpgrp;

use super::environment::Environment;
use crate::app::{PROC, children_of};

/// How the command ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// With this status.
    Exited(u8),
    /// By this signal.
    Killed(i32),
}

/// The command and what descends from it.
#[derive(Debug)]
pub(super) struct Processes {
    command: Option<Pid>,
    has_children: bool,
    /// Those that got a SIGTERM.
    told: BTreeSet<i32>,
}

impl Processes {
    /// None yet. With `adopt`, the orphans of the command become children of this process, as
    /// those of process 1 do anyway, so that none of them is left at a restart.
    pub(super) fn new(adopt: bool) -> Self {
        if adopt {
            // A kernel that refuses leaves what a container's own process 1 cleans up.
            let _ = set_child_subreaper(Some(getpid()));
        }
        Self { command: None, has_children: false, told: BTreeSet::new() }
    }

    /// Starts the command with the standard streams, the working directory, the user and the
    /// limits of this process.
    ///
    /// On a terminal it stays in this process's group, which has the terminal: in a group of its
    /// own it could not read from it, and Ctrl-Z would stop it for good. Elsewhere it leads a
    /// group, as the first process of a container does.
    pub(super) fn start(
        &mut self,
        program: &Path,
        words: &[OsString],
        environment: &Environment,
    ) -> io::Result<()> {
        let mut command = Command::new(program);
        command.arg0(&words[0]).args(&words[1..]).env_clear().envs(environment.iter());
        if !has_terminal() {
            command.process_group(0);
        }
        let child = command.spawn()?;
        self.told.clear();
        self.command = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
        Ok(())
    }

    /// Reaps whatever has ended, and returns the end of the command.
    pub(super) fn reap(&mut self) -> Option<Ending> {
        let mut ending = None;
        loop {
            match wait(WaitOptions::NOHANG) {
                Ok(Some((pid, status))) => {
                    self.told.remove(&pid.as_raw_nonzero().get());
                    if self.command == Some(pid) {
                        self.command = None;
                        let code = status.exit_status().and_then(|code| u8::try_from(code).ok());
                        ending = code
                            .map(Ending::Exited)
                            .or_else(|| status.terminating_signal().map(Ending::Killed));
                    }
                }
                Ok(None) => {
                    self.has_children = true;
                    return ending;
                }
                Err(rustix::io::Errno::INTR) => {}
                Err(_) => {
                    self.has_children = false;
                    return ending;
                }
            }
        }
    }

    /// Whether any process that descends from this one runs, as of the last [`Self::reap`].
    pub(super) fn has_children(&self) -> bool {
        self.has_children
    }

    /// Sends the command a signal. Its id is its own until it is reaped.
    pub(super) fn signal(&self, signal: Signal) {
        if let Some(command) = self.command {
            let _ = kill_process(command, signal);
        }
    }

    /// Sends each child a signal, a SIGTERM once only. As above, their ids are their own.
    pub(super) fn signal_children(&mut self, signal: Signal) {
        for child in children_of(PROC.as_ref(), getpid().as_raw_nonzero().get()) {
            if (signal != Signal::TERM || self.told.insert(child))
                && let Some(pid) = Pid::from_raw(child)
            {
                let _ = kill_process(pid, signal);
            }
        }
    }
}

/// Whether a standard stream is the terminal of this session.
fn has_terminal() -> bool {
    tcgetpgrp(rustix::stdio::stdin()).is_ok()
        || tcgetpgrp(rustix::stdio::stdout()).is_ok()
        || tcgetpgrp(rustix::stdio::stderr()).is_ok()
}
