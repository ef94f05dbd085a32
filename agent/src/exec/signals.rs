//! Catches signals, to pass them on to the command.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;

use rustix::process::Signal;
use signal_hook::consts::signal::{
    SIGABRT, SIGALRM, SIGCHLD, SIGCONT, SIGHUP, SIGINT, SIGIO, SIGPROF, SIGQUIT, SIGTERM, SIGTSTP,
    SIGTTIN, SIGTTOU, SIGURG, SIGUSR1, SIGUSR2, SIGVTALRM, SIGWINCH, SIGXCPU, SIGXFSZ,
};
use signal_hook::iterator::backend::SignalDelivery;
use signal_hook::iterator::exfiltrator::WithRawSiginfo;

/// SIGSTKFLT and SIGPWR, which the library does not name.
const OTHERS: [i32; 2] = [16, 30];

/// What is caught: all that can be, but for those of a program's own faults, SIGPIPE, which Rust
/// ignores, and real-time signals.
const CAUGHT: [i32; 19] = [
    SIGHUP, SIGINT, SIGQUIT, SIGABRT, SIGUSR1, SIGUSR2, SIGALRM, SIGTERM, SIGCONT, SIGTSTP,
    SIGTTIN, SIGTTOU, SIGURG, SIGXCPU, SIGXFSZ, SIGVTALRM, SIGPROF, SIGWINCH, SIGIO,
];

/// `si_code` of a signal that the kernel itself sends.
const SI_KERNEL: i32 = 0x80;

/// The signals that arrived.
pub(super) struct Signals {
    delivery: SignalDelivery<UnixStream, WithRawSiginfo>,
}

impl Signals {
    /// Catches all but those that are ignored: the command ignores them then, as it would without
    /// this process.
    pub(super) fn install() -> io::Result<Self> {
        let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
        let ignored = ignored(&status);
        let caught = CAUGHT.into_iter().chain(OTHERS);
        let caught = caught.filter(|signal| ignored >> (signal - 1) & 1 == 0);
        let (read, write) = UnixStream::pair()?;
        write.set_nonblocking(true)?;
        let signals = caught.chain([SIGCHLD]);
        Ok(Self { delivery: SignalDelivery::with_pipe(read, write, WithRawSiginfo, signals)? })
    }

    /// The signals to pass on since the last call.
    pub(super) fn pending(&mut self) -> impl Iterator<Item = Signal> {
        self.delivery
            .pending()
            .filter(|it| is_passed_on(it.si_signo, it.si_code))
            .filter_map(|it| Signal::from_named_raw(it.si_signo))
    }
}

impl AsFd for Signals {
    /// Readable when a signal has arrived.
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.delivery.get_read().as_fd()
    }
}

/// What the kernel sends, from a terminal above all, goes to the whole process group, so the
/// command has it already. A hangup, with a SIGCONT after it, goes to the session's leader alone.
fn is_passed_on(signal: i32, code: i32) -> bool {
    signal != SIGCHLD && (code != SI_KERNEL || matches!(signal, SIGHUP | SIGCONT))
}

/// `SigIgn` of `/proc/self/status`: bit 0 is signal 1.
fn ignored(status: &str) -> u64 {
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_terminal_sends_is_not_sent_twice() {
        for (signal, code, expected) in [
            (SIGTERM, 0, true),
            (SIGINT, 0, true),
            (SIGINT, SI_KERNEL, false),
            (SIGWINCH, SI_KERNEL, false),
            (SIGHUP, SI_KERNEL, true),
            (SIGCHLD, 1, false),
        ] {
            assert_eq!(is_passed_on(signal, code), expected, "{signal} {code}");
        }
    }

    #[test]
    fn ignored_signals_are_read_from_the_status() {
        assert_eq!(ignored("Name:\tx\nSigIgn:\t0000000000001001\nSigCgt:\t1\n"), 0x1001);
        assert_eq!(ignored(""), 0);
    }
}
