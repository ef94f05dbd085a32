//! What can go wrong, as the user reads it, and the exit code that a script reads.

use std::ffi::OsString;
use std::io;
use std::path::PathBuf;
use std::process::ExitCode;

use contract::Problem;

/// Why a command failed. Never holds a value.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error("start: {0}")]
    Start(String),
    #[error("read {path}: {source}")]
    Read { path: PathBuf, source: io::Error },
    #[error("write {path}: {source}{}", way_out(.source))]
    Write { path: PathBuf, source: io::Error },
    #[error("the audit trail is not what was written: {0}")]
    Tampered(String),
    #[error("read standard input: {0}")]
    Stdin(#[source] io::Error),
    #[error("write standard output: {0}")]
    Stdout(#[source] io::Error),
    #[error("{0}")]
    Usage(String),
    #[error("{0}")]
    Name(#[from] contract::name::NameError),
    #[error(
        "not logged in: run 'enclii login'; or set ENCLII_TOKEN, or name a token's file with --token-file or ENCLII_TOKEN_FILE"
    )]
    NoToken,
    #[error("the session of {name} ended at {at}: run 'enclii login' again")]
    SessionEnded { name: String, at: String },
    #[error(
        "reach identity provider {issuer}: {reason}; does --oidc-cacert (ENCLII_OIDC_CACERT) name its CA?"
    )]
    Provider { issuer: String, reason: String },
    #[error(
        "reach {address}: {reason}; is switchyard running there, and does --cacert (ENCLII_CACERT) name its CA?"
    )]
    Unreachable { address: String, reason: String },
    #[error("{0}{trace}", trace = trace(.0))]
    Refused(Problem),
    #[error("read answer of {address}: {reason}")]
    Answer { address: String, reason: String },
    #[error("parse {path}: {reason}")]
    Manifest { path: PathBuf, reason: String },
    #[error("the webhook would refuse this pod: {0}")]
    PodRefused(String),
    #[error("run {}: {source}", program.display())]
    Exec { program: OsString, source: io::Error },
    #[error("not {0}: say yes, or give --yes where there is no terminal")]
    NotConfirmed(&'static str),
    #[error(
        "{0} values are not under the current key; switchyard's log names those that do not open"
    )]
    Unfinished(u64),
}

impl Error {
    pub(crate) fn exit_code(&self) -> ExitCode {
        ExitCode::from(match self {
            Self::Usage(_) | Self::Name(_) => 2,
            Self::NoToken | Self::SessionEnded { .. } => 3,
            Self::Refused(problem) => match problem.status {
                401 | 403 => 3,
                404 => 4,
                409 | 412 => 6,
                _ => 1,
            },
            Self::Unreachable { .. } | Self::Provider { .. } => 5,
            // As shells have it.
            Self::Exec { source, .. } if source.kind() == io::ErrorKind::NotFound => 127,
            Self::Exec { .. } => 126,
            Self::Tampered(_) => 7,
            _ => 1,
        })
    }
}

fn way_out(source: &io::Error) -> &'static str {
    if source.kind() == io::ErrorKind::AlreadyExists { "; --force replaces it" } else { "" }
}

/// What to look for in the server's log, where the fault is the server's.
fn trace(problem: &Problem) -> String {
    match &problem.instance {
        Some(instance) if problem.status >= 500 => format!(" (trace {instance})"),
        _ => String::new(),
    }
}
