//! Runs the program as a child process: forwards signals and returns its exit code.

use std::ffi::OsString;
use std::future::poll_fn;
use std::io;
use std::process::{Command, ExitCode};
use std::task::Poll;
use std::time::Instant;

use rustix::process::{Pid, Signal, WaitOptions, getpgrp, kill_process, wait};
use tokio::signal::unix::{self, SignalKind};

use super::core_limit::CoreLimit;
use super::memory_files::MemoryFiles;
use super::signal_mask;
use super::watch::BundleWatch;
use crate::error::Error;

/// The signals that are forwarded.
const FORWARDED: [Signal; 6] =
    [Signal::HUP, Signal::INT, Signal::QUIT, Signal::TERM, Signal::USR1, Signal::USR2];

/// The running program.
pub(super) struct ChildProcess {
    pid: Pid,
    signals: SignalStream,
}

impl ChildProcess {
    /// Starts the program. From here on, this process ends with the program and not by a signal
    /// that is meant for it.
    pub(super) fn start(command: &mut Command, program: Option<&OsString>) -> Result<Self, Error> {
        let signals = SignalStream::new()
            .map_err(|error| Error::System(format!("listen for signals: {error}")))?;
        let core_limit = CoreLimit::forbid();
        let child = command.spawn().map_err(|source| Error::Exec {
            program: program.cloned().unwrap_or_default(),
            source,
        })?;
        let pid = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
        let pid = pid.ok_or_else(|| Error::System("read process id".to_owned()))?;
        core_limit.give(pid);
        Ok(Self { pid, signals })
    }

    /// Waits for the program to end, and replaces its files meanwhile.
    pub(super) async fn wait(
        &mut self,
        mut watch: Option<BundleWatch<'_>>,
        files: &mut MemoryFiles,
    ) -> Result<ExitCode, Error> {
        loop {
            let signal = match &mut watch {
                None => self.signals.next().await,
                Some(watch) => tokio::select! {
                    signal = self.signals.next() => signal,
                    values = watch.next() => {
                        match values {
                            Some(values) => watch.apply(values, files, self.pid),
                            None => files.remove_expired(Instant::now()),
                        }
                        continue;
                    }
                },
            };
            if signal == Signal::CHILD {
                if let Some(code) = self.reap()? {
                    return Ok(code);
                }
            } else if !(matches!(signal, Signal::INT | Signal::QUIT) && came_from_terminal()) {
                // If the program has just ended, the next iteration sees that.
                let _ = kill_process(self.pid, signal);
            }
        }
    }

    /// Reaps every child that ended, including orphans if this is the first process of a container.
    /// Returns the exit code once the program itself has ended.
    fn reap(&self) -> Result<Option<ExitCode>, Error> {
        let mut code = None;
        loop {
            match wait(WaitOptions::NOHANG) {
                Ok(Some((pid, status))) if pid == self.pid => {
                    let number = status
                        .exit_status()
                        .or_else(|| status.terminating_signal().map(|it| 128 + it));
                    code = number.map(|it| ExitCode::from(u8::try_from(it).unwrap_or(u8::MAX)));
                }
                Ok(Some(_)) | Err(rustix::io::Errno::INTR) => {}
                Ok(None) | Err(rustix::io::Errno::CHILD) => return Ok(code),
                Err(error) => return Err(Error::System(format!("wait for the program: {error}"))),
            }
        }
    }
}

/// Whether the terminal sent the signal. If this process is in the terminal's foreground, Ctrl-C
/// and Ctrl-\ have reached the program too: it is in the same process group.
fn came_from_terminal() -> bool {
    std::fs::File::open("/dev/tty")
        .is_ok_and(|it| rustix::termios::tcgetpgrp(&it).is_ok_and(|group| group == getpgrp()))
}

struct SignalStream(Vec<(Signal, unix::Signal)>);

impl SignalStream {
    fn new() -> io::Result<Self> {
        // A signal that was ignored at the start, as by nohup, is ignored by the program too.
        let status = std::fs::read_to_string("/proc/self/status")?;
        let ignored = signal_mask::parse(&status, "SigIgn:").unwrap_or_default();
        let listen =
            |signal: Signal| Ok((signal, unix::signal(SignalKind::from_raw(signal.as_raw()))?));
        let forwarded = FORWARDED.into_iter().filter(|it| ignored >> (it.as_raw() - 1) & 1 == 0);
        forwarded.chain([Signal::CHILD]).map(listen).collect::<io::Result<_>>().map(Self)
    }

    async fn next(&mut self) -> Signal {
        poll_fn(|context| {
            let ready = self.0.iter_mut().find_map(|(signal, stream)| {
                stream.poll_recv(context).is_ready().then_some(*signal)
            });
            ready.map_or(Poll::Pending, Poll::Ready)
        })
        .await
    }
}
