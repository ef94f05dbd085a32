//! How an application is told that its files have changed.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// The value of `enclii.io/reload`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Reload {
    /// The application watches its files, or reads them each time.
    #[default]
    None,
    /// A signal to the container's process.
    Signal(Signal),
    /// A POST to the application on the pod's loopback; a 2xx status means it was accepted.
    Http(ReloadUrl),
}

/// Why a text is no [`Reload`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ReloadError {
    /// None of the three forms.
    #[error("parse reload {0:?}: must be none, signal=SIGHUP or http=http://127.0.0.1:PORT/PATH")]
    Form(String),
    /// Not a signal's name.
    #[error(
        "parse reload signal {0:?}: no such signal; a name like SIGHUP, SIGUSR1 or SIGUSR2 is meant"
    )]
    UnknownSignal(String),
    /// A signal that no process can handle.
    #[error(
        "parse reload signal {0}: no process can catch it, so it would end or stop the application"
    )]
    NotCatchable(String),
    /// A URL that leaves the pod, or none.
    #[error(
        "parse reload address {0:?}: must be http://127.0.0.1:PORT/PATH, http://[::1]:PORT/PATH or http://localhost:PORT/PATH"
    )]
    Address(String),
}

/// A signal that a process can catch, by its name on Linux.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Signal {
    name: &'static str,
    number: u8,
}

// signal(7), x86 and ARM numbering; SIGKILL and SIGSTOP, which nobody can catch, are refused by
// name.
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

/// An address on the pod's own loopback.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReloadUrl {
    host: &'static str,
    port: u16,
    path: String,
}

impl ReloadUrl {
    /// `127.0.0.1` or `::1`.
    #[must_use]
    pub fn host(&self) -> &'static str {
        self.host
    }

    /// The port, never 0.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The path with its query, from the leading slash on.
    #[must_use]
    pub fn path(&self) -> &str {
        &self.path
    }
}

impl FromStr for ReloadUrl {
    type Err = ReloadError;

    fn from_str(text: &str) -> Result<Self, ReloadError> {
        let refuse = || ReloadError::Address(text.chars().take(200).collect());
        let rest = text.strip_prefix("http://").ok_or_else(refuse)?;
        let (authority, path) = match rest.find('/') {
            Some(at) => rest.split_at(at),
            None => (rest, "/"),
        };
        let (host, port) = authority.rsplit_once(':').ok_or_else(refuse)?;
        let host = match host {
            "127.0.0.1" | "localhost" => "127.0.0.1",
            "[::1]" => "::1",
            _ => return Err(refuse()),
        };
        let digits = !port.is_empty() && port.bytes().all(|b| b.is_ascii_digit());
        let port =
            port.parse::<u16>().ok().filter(|port| digits && *port != 0).ok_or_else(refuse)?;
        // Only what a request line may carry as it is: no blank, no control character, no fragment.
        if path.len() > 1024 || !path.bytes().all(|b| b.is_ascii_graphic() && b != b'#') {
            return Err(refuse());
        }
        Ok(Self { host, port, path: path.to_owned() })
    }
}

impl fmt::Display for ReloadUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let host = if self.host == "::1" { "[::1]" } else { self.host };
        write!(f, "http://{host}:{}{}", self.port, self.path)
    }
}

impl FromStr for Reload {
    type Err = ReloadError;

    fn from_str(text: &str) -> Result<Self, ReloadError> {
        match text.split_once('=') {
            None if text == "none" => Ok(Self::None),
            Some(("signal", name)) => name.parse().map(Self::Signal),
            Some(("http", address)) => address.parse().map(Self::Http),
            _ => Err(ReloadError::Form(text.chars().take(200).collect())),
        }
    }
}

impl TryFrom<String> for Reload {
    type Error = ReloadError;

    fn try_from(text: String) -> Result<Self, ReloadError> {
        text.parse()
    }
}

impl From<Reload> for String {
    fn from(reload: Reload) -> Self {
        reload.to_string()
    }
}

impl fmt::Display for Reload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::None => f.write_str("none"),
            Self::Signal(signal) => write!(f, "signal={}", signal.name),
            Self::Http(address) => write!(f, "http={address}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_taken_round_trips() {
        for (text, canonical) in [
            ("none", "none"),
            ("signal=SIGHUP", "signal=SIGHUP"),
            ("signal=USR1", "signal=SIGUSR1"),
            ("http=http://127.0.0.1:8080/-/reload", "http=http://127.0.0.1:8080/-/reload"),
            ("http=http://localhost:1/x?a=b", "http=http://127.0.0.1:1/x?a=b"),
            ("http=http://[::1]:65535", "http=http://[::1]:65535/"),
        ] {
            let reload: Reload = text.parse().unwrap();
            assert_eq!(reload.to_string(), canonical);
            assert_eq!(canonical.parse::<Reload>().unwrap(), reload);
        }
    }

    #[test]
    fn what_is_refused() {
        for text in [
            "",
            "None",
            "signal",
            "signal=",
            "signal=SIGKILL",
            "signal=STOP",
            "signal=9",
            "signal=SIGFOO",
            "http=",
            "http=https://127.0.0.1:1/",
            "http=http://127.0.0.1/x",
            "http=http://10.0.0.1:80/",
            "http=http://127.0.0.1:0/",
            "http=http://127.0.0.1:+80/",
            "http=http://127.0.0.1:99999/",
            "http=http://user@127.0.0.1:80/",
            "http=http://127.0.0.1:80/a b",
            "http=http://127.0.0.1:80/a\r\nX: y",
            "http=http://127.0.0.1.evil:80/",
            "exec=ls",
        ] {
            assert!(text.parse::<Reload>().is_err(), "{text:?} was taken");
        }
    }

    #[test]
    fn the_caught_mask_counts_from_one() {
        let hangup: Signal = "SIGHUP".parse().unwrap();
        assert!(hangup.is_in(0b1));
        assert!(!hangup.is_in(0b10));
        let user: Signal = "SIGUSR1".parse().unwrap();
        assert!(user.is_in(0x200));
    }
}
