//! A URL on the pod's own loopback.

use std::fmt;
use std::str::FromStr;

/// The longest path with its query, in bytes.
const MAX_PATH_BYTES: usize = 1024;

/// An address on the pod's own loopback, over plain HTTP.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LoopbackUrl {
    host: &'static str,
    port: u16,
    path: String,
}

/// A text is not a [`LoopbackUrl`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "parse address {0:?}: must be http://127.0.0.1:PORT/PATH, http://[::1]:PORT/PATH or \
     http://localhost:PORT/PATH"
)]
pub struct LoopbackUrlError(String);

impl LoopbackUrl {
    /// `127.0.0.1`, `::1`, or `localhost`, which is both.
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

impl FromStr for LoopbackUrl {
    type Err = LoopbackUrlError;

    fn from_str(text: &str) -> Result<Self, LoopbackUrlError> {
        let refuse = || LoopbackUrlError(quoted(text));
        let rest = text.strip_prefix("http://").ok_or_else(refuse)?;
        let (authority, path) = match rest.find('/') {
            Some(at) => rest.split_at(at),
            None => (rest, "/"),
        };
        let (host, port) = authority.rsplit_once(':').ok_or_else(refuse)?;
        let host = match host {
            "127.0.0.1" => "127.0.0.1",
            "[::1]" => "::1",
            "localhost" => "localhost",
            _ => return Err(refuse()),
        };
        let port = parse_port(port).ok_or_else(refuse)?;
        // Only what a request line may carry unescaped: no space, control character or fragment.
        if path.len() > MAX_PATH_BYTES || !path.bytes().all(|b| b.is_ascii_graphic() && b != b'#') {
            return Err(refuse());
        }
        Ok(Self { host, port, path: path.to_owned() })
    }
}

impl fmt::Display for LoopbackUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let host = if self.host == "::1" { "[::1]" } else { self.host };
        write!(f, "http://{host}:{}{}", self.port, self.path)
    }
}

/// The beginning of an address, for an error: without what may be secret in it, a user's name and
/// password and the query.
fn quoted(text: &str) -> String {
    let shown = text.split(['?', '#']).next().unwrap_or_default();
    match shown.rsplit_once('@') {
        Some((_, after)) => "…@".chars().chain(after.chars().take(200)).collect(),
        None => shown.chars().take(200).collect(),
    }
}

/// A port in digits, never 0.
pub(crate) fn parse_port(text: &str) -> Option<u16> {
    let digits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    text.parse::<u16>().ok().filter(|port| digits && *port != 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_of_the_loopback_round_trips() {
        for (text, canonical) in [
            ("http://127.0.0.1:8080/-/reload", "http://127.0.0.1:8080/-/reload"),
            ("http://localhost:1/x?a=b", "http://localhost:1/x?a=b"),
            ("http://[::1]:65535", "http://[::1]:65535/"),
        ] {
            let url: LoopbackUrl = text.parse().unwrap();
            assert_eq!(url.to_string(), canonical);
            assert_eq!(canonical.parse::<LoopbackUrl>().unwrap(), url);
        }
    }

    #[test]
    fn another_address_is_refused() {
        for text in [
            "",
            "https://127.0.0.1:1/",
            "http://127.0.0.1/x",
            "http://10.0.0.1:80/",
            "http://127.0.0.1:0/",
            "http://127.0.0.1:+80/",
            "http://127.0.0.1:99999/",
            "http://user@127.0.0.1:80/",
            "http://127.0.0.1:80/a b",
            "http://127.0.0.1:80/a\r\nX: y",
            "http://127.0.0.1.evil:80/",
        ] {
            assert!(text.parse::<LoopbackUrl>().is_err(), "{text:?} was accepted");
        }
    }
}
