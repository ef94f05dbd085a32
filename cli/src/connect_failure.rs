//! Why a server cannot be reached, in one line: what happened, and what to check.

use std::error::Error as StdError;
use std::io;
use std::iter::successors;

/// What happened, and what to check.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ConnectFailure {
    pub(crate) reason: String,
    pub(crate) advice: &'static str,
}

const NOT_LISTENING: &str = "is the server running there? In a cluster: `kubectl -n enclii-system \
                             port-forward svc/switchyard 8443:443`";
const NOT_RESOLVED: &str = "check --addr (ENCLII_ADDR) and this machine's DNS";
const NOT_TRUSTED: &str = "--cacert (ENCLII_CACERT) must name the CA that signed the certificate, \
                           and the certificate must name the host of --addr";
const NOT_TLS: &str = "does --addr (ENCLII_ADDR) name a port that speaks TLS?";
const SILENT: &str = "check the network, and --timeout (ENCLII_TIMEOUT) if the server is slow";
const BROKEN: &str = "check the server's log, and any proxy or firewall in between";

/// Classifies a failed request.
pub(crate) fn classify(error: &reqwest::Error) -> ConnectFailure {
    if error.is_timeout() {
        let what = if error.is_connect() { "no connection" } else { "no response" };
        return ConnectFailure { reason: format!("{what} in time"), advice: SILENT };
    }
    classify_chain(error)
}

/// Classifies by the causes. The innermost says most.
fn classify_chain(error: &(dyn StdError + 'static)) -> ConnectFailure {
    let causes: Vec<&(dyn StdError + 'static)> =
        successors(Some(error), |&it| it.source()).collect();
    let innermost = causes.last().map(ToString::to_string).unwrap_or_default();
    let named = |text: &str| causes.iter().any(|it| it.to_string().contains(text));
    let kind =
        causes.iter().rev().find_map(|it| it.downcast_ref::<io::Error>()).map(io::Error::kind);
    let (reason, advice) = if named("dns error") {
        ("the host's name is not known".to_owned(), NOT_RESOLVED)
    } else if named("invalid peer certificate") {
        (format!("its certificate is not trusted: {innermost}"), NOT_TRUSTED)
    } else if named("corrupt message") || named("InvalidContentType") || named("handshake eof") {
        ("no TLS is spoken there".to_owned(), NOT_TLS)
    } else {
        match kind {
            Some(io::ErrorKind::ConnectionRefused) => {
                ("nothing listens there".to_owned(), NOT_LISTENING)
            }
            Some(io::ErrorKind::HostUnreachable | io::ErrorKind::NetworkUnreachable) => {
                ("no route leads there".to_owned(), SILENT)
            }
            Some(io::ErrorKind::TimedOut) => ("no connection in time".to_owned(), SILENT),
            Some(
                io::ErrorKind::ConnectionReset
                | io::ErrorKind::ConnectionAborted
                | io::ErrorKind::BrokenPipe
                | io::ErrorKind::UnexpectedEof,
            ) => ("the connection broke".to_owned(), BROKEN),
            _ => (innermost.lines().next().unwrap_or_default().to_owned(), BROKEN),
        }
    };
    ConnectFailure { reason, advice }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A cause within a cause, as libraries nest them.
    #[derive(Debug, thiserror::Error)]
    #[error("{0}")]
    struct Nested(&'static str, #[source] io::Error);

    #[test]
    fn causes_are_named_in_plain_words() {
        let of = |text, source| classify_chain(&Nested(text, source));
        for (text, source, reason, advice) in [
            (
                "tcp connect error",
                io::ErrorKind::ConnectionRefused.into(),
                "nothing listens",
                NOT_LISTENING,
            ),
            (
                "dns error",
                io::Error::other("Name or service not known"),
                "name is not known",
                NOT_RESOLVED,
            ),
            (
                "client error",
                io::Error::new(
                    io::ErrorKind::InvalidData,
                    "invalid peer certificate: UnknownIssuer",
                ),
                "not trusted: invalid peer certificate: UnknownIssuer",
                NOT_TRUSTED,
            ),
            (
                "client error",
                io::Error::new(
                    io::ErrorKind::InvalidData,
                    "received corrupt message of type InvalidContentType",
                ),
                "no TLS",
                NOT_TLS,
            ),
            ("client error", io::ErrorKind::ConnectionReset.into(), "broke", BROKEN),
            ("client error", io::Error::other("strange\nthings"), "strange", BROKEN),
        ] {
            let found = of(text, source);
            assert!(found.reason.contains(reason) && !found.reason.contains('\n'), "{found:?}");
            assert_eq!(found.advice, advice, "{found:?}");
        }
    }
}
