//! The program as a child: signals go to it, and how it ended comes from it.

use std::future::poll_fn;
use std::io;
use std::process::{Command, ExitCode};
use std::task::Poll;
use std::time::Instant;

use rustix::process::{Pid, Signal, WaitOptions, getpgrp, kill_process, wait};
use tokio::signal::unix::{self, SignalKind};

use super::files::Files;
use super::watch::Watch;
use crate::error::Error;

/// What is passed on.
const FORWARDED: [Signal; 6] =
    [Signal::HUP, Signal::INT, Signal::QUIT, Signal::TERM, Signal::USR1, Signal::USR2];

/// A running program.
pub(super) struct Child {
    pid: Pid,
    signals: Signals,
}

impl Child {
    /// Starts it. From here on this process ends when it does, and not by a signal that is meant
    /// for it.
    pub(super) fn start(command: &mut Command) -> Result<Self, Error> {
        let signals =
            Signals::new().map_err(|error| Error::Start(format!("listen for signals: {error}")))?;
        let child = command
            .spawn()
            .map_err(|source| Error::Exec { program: command.get_program().to_owned(), source })?;
        let pid = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
        Ok(Self { pid: pid.ok_or_else(|| Error::Start("read process id".to_owned()))?, signals })
    }

    /// Waits for its end, and replaces its files meanwhile.
    pub(super) async fn wait(
        &mut self,
        mut watch: Option<Watch<'_>>,
        files: &mut Files,
    ) -> Result<ExitCode, Error> {
        loop {
            let signal = match &mut watch {
                None => self.signals.next().await,
                Some(watch) => tokio::select! {
                    signal = self.signals.next() => signal,
                    values = watch.next() => {
                        match values {
                            Some(values) => watch.apply(values, files, self.pid),
                            None => files.forget(Instant::now()),
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
                // It may have ended just now, which the next turn sees.
                let _ = kill_process(self.pid, signal);
            }
        }
    }

    /// Collects every child that ended, also those that were left to us as the first process of a
    /// container. The program's own end is its exit code.
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
                Err(error) => return Err(Error::Start(format!("wait for the program: {error}"))),
            }
        }
    }
}

/// Where we are in the terminal's foreground, its Ctrl-C and Ctrl-\ have reached the program too:
/// it is in the same process group.
fn came_from_terminal() -> bool {
    std::fs::File::open("/dev/tty")
        .is_ok_and(|it| rustix::termios::tcgetpgrp(&it).is_ok_and(|group| group == getpgrp()))
}

struct Signals(Vec<(Signal, unix::Signal)>);

impl Signals {
    fn new() -> io::Result<Self> {
        // What we were started to ignore, as nohup does it, the program ignores too.
        let status = std::fs::read_to_string("/proc/self/status")?;
        let ignored = mask(&status, "SigIgn:").unwrap_or_default();
        let listen =
            |signal: Signal| Ok((signal, unix::signal(SignalKind::from_raw(signal.as_raw()))?));
        let heeded = FORWARDED.into_iter().filter(|it| ignored >> (it.as_raw() - 1) & 1 == 0);
        heeded.chain([Signal::CHILD]).map(listen).collect::<io::Result<_>>().map(Self)
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

/// A set of signals of `/proc/PID/status`: bit 0 is signal 1.
pub(super) fn mask(status: &str, field: &str) -> Option<u64> {
    let mask = status.lines().find_map(|line| line.strip_prefix(field))?;
    u64::from_str_radix(mask.trim(), 16).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn masks() {
        let status = "Name:\tx\nSigIgn:\t0000000000001001\nSigCgt:\t0000000000000002\n";
        assert_eq!(
            (mask(status, "SigIgn:"), mask(status, "SigCgt:"), mask(status, "SigBlk:")),
            (Some(0x1001), Some(2), None)
        );
    }
}
