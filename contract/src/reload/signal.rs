//! Signals that a process can catch.

use std::str::FromStr;

use super::ReloadError;

/// A signal that a process can catch, by its name on Linux.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Signal {
    name: &'static str,
    number: u8,
}

// signal(7), numbers of x86 and ARM. SIGKILL and SIGSTOP, which no process can catch, have an error
// of their own.
const SIGNALS: &[(&str, u8)] = &[
    ("SIGHUP", 1),
    ("SIGINT", 2),
    ("SIGQUIT", 3),
    ("SIGUSR1", 10),
    ("SIGUSR2", 12),
    ("SIGALRM", 14),
    ("SIGTERM", 15),
    ("SIGCONT", 18),
    ("SIGURG", 23),
    ("SIGVTALRM", 26),
    ("SIGPROF", 27),
    ("SIGWINCH", 28),
    ("SIGIO", 29),
    ("SIGPWR", 30),
];

impl Signal {
    /// The full name, as `SIGHUP`.
    #[must_use]
    pub fn name(self) -> &'static str {
        self.name
    }

    /// The number on Linux (x86, ARM).
    #[must_use]
    pub fn number(self) -> u8 {
        self.number
    }

    /// Whether the set of caught signals of a process (`SigCgt` of `/proc/PID/status`, a bit mask
    /// in which bit 0 is signal 1) holds this one.
    #[must_use]
    pub fn is_in(self, caught: u64) -> bool {
        caught >> (self.number - 1) & 1 == 1
    }
}

impl FromStr for Signal {
    type Err = ReloadError;

    fn from_str(text: &str) -> Result<Self, ReloadError> {
        let full = if text.starts_with("SIG") { text.to_owned() } else { format!("SIG{text}") };
        if matches!(full.as_str(), "SIGKILL" | "SIGSTOP") {
            return Err(ReloadError::NotCatchable(full));
        }
        SIGNALS
            .iter()
            .find(|(name, _)| *name == full)
            .map(|(name, number)| Self { name, number: *number })
            .ok_or_else(|| ReloadError::UnknownSignal(text.chars().take(40).collect()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_caught_mask_counts_from_one() {
        let hangup: Signal = "SIGHUP".parse().unwrap();
        assert!(hangup.is_in(0b1));
        assert!(!hangup.is_in(0b10));
        let user: Signal = "SIGUSR1".parse().unwrap();
        assert!(user.is_in(0x200));
    }
}
