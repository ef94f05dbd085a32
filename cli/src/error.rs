//! Errors as the user reads them, and the exit codes that scripts read.

use std::ffi::OsString;
use std::io;
use std::path::PathBuf;
use std::process::ExitCode;

use contract::Problem;
use runtime::http_client::HttpClientError;
use runtime::logs::ErrorChain;

use crate::connect_failure::ConnectFailure;

/// Why a command failed. Never holds a secret value.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// A failed call of the system or a library, as `<step>: <reason>`.
    #[error("{0}")]
    System(String),
    #[error("encode JSON: {0}")]
    Encode(String),
    #[error("read {path}: {source}")]
    Read { path: PathBuf, source: io::Error },
    #[error("write {path}: {source}")]
    Write { path: PathBuf, source: io::Error },
    #[error("write {path}: the file exists already; {advice}")]
    FileExists { path: PathBuf, advice: &'static str },
    #[error("the audit log was changed: {0}")]
    Tampered(String),
    /// The file is no complete export of the audit log, which is not a sign of tampering.
    #[error("verify {path}: {reason}")]
    NotVerifiable { path: PathBuf, reason: String },
    #[error("read standard input: {0}")]
    Stdin(#[source] io::Error),
    #[error("write standard output: {0}")]
    Stdout(#[source] io::Error),
    #[error("{0}")]
    Usage(String),
    #[error("{0}")]
    Name(#[from] contract::name::NameError),
    #[error(
        "not logged in: run 'enclii login', or set ENCLII_TOKEN, or name a token file with \
         --token-file or ENCLII_TOKEN_FILE"
    )]
    NoToken,
    #[error("{0} is empty: it must hold a token, which `enclii tokens create` prints")]
    EmptyTokenFile(PathBuf),
    #[error("the session of {name} expired at {at}: run 'enclii login' again")]
    SessionExpired { name: String, at: String },
    #[error(
        "reach identity provider {issuer}: {reason}; does --oidc-cacert (ENCLII_OIDC_CACERT) \
         name its CA?"
    )]
    Provider { issuer: String, reason: String },
    #[error("reach {address}: {}; {}", failure.reason, failure.advice)]
    Unreachable { address: String, failure: ConnectFailure },
    #[error("{0}{trace}", trace = trace(.0))]
    Refused(Problem),
    /// The credential is not accepted, as [`Error::unauthenticated`] says it.
    #[error("{0}")]
    Unauthenticated(String),
    /// Something does not exist, as [`Error::missing`] says it.
    #[error("{0}")]
    Missing(String),
    /// A condition of the command was not met.
    #[error("{0}")]
    Condition(String),
    #[error("read response of {address}: {reason}")]
    Response { address: String, reason: String },
    #[error("{}{}", ErrorChain(.0), ca_file_hint(.0))]
    HttpClient(#[from] HttpClientError),
    #[error("parse {path}: {reason}")]
    Parse { path: PathBuf, reason: String },
    #[error("{document}: the webhook would refuse this pod: {message}")]
    PodRefused { document: String, message: String },
    #[error("run {}: {source}", program.display())]
    Exec { program: OsString, source: io::Error },
    #[error("not {0}: answer y, or give --yes if there is no terminal")]
    NotConfirmed(&'static str),
    #[error(
        "{0} values are not encrypted under the current key; switchyard's log names those that \
         cannot be decrypted"
    )]
    RekeyIncomplete(u64),
}

impl Error {
    /// The error for a 401. `credential` says which one was sent.
    pub(crate) fn unauthenticated(problem: &Problem, credential: &str) -> Self {
        Self::Unauthenticated(format!(
            "{problem}; {credential} was sent: run 'enclii login', or name another token with \
             ENCLII_TOKEN, --token-file or ENCLII_TOKEN_FILE"
        ))
    }

    /// The error for a 404. `hint` says what was probably meant.
    pub(crate) fn missing(problem: &Problem, hint: Option<&str>) -> Self {
        let hint = hint.map(|it| format!("; {it}")).unwrap_or_default();
        Self::Missing(format!("{problem}{hint}"))
    }

    pub(crate) fn exit_code(&self) -> ExitCode {
        ExitCode::from(match self {
            Self::Usage(_) | Self::Name(_) => 2,
            Self::NoToken
            | Self::EmptyTokenFile(_)
            | Self::SessionExpired { .. }
            | Self::Unauthenticated(_) => 3,
            Self::Missing(_) => 4,
            Self::Condition(_) => 6,
            Self::Refused(problem) => match problem.status {
                401 | 403 => 3,
                404 => 4,
                409 | 412 => 6,
                _ => 1,
            },
            Self::Unreachable { .. } | Self::Provider { .. } => 5,
            // The codes that shells use.
            Self::Exec { source, .. } if source.kind() == io::ErrorKind::NotFound => 127,
            Self::Exec { .. } => 126,
            Self::Tampered(_) => 7,
            Self::NotVerifiable { .. } => 8,
            _ => 1,
        })
    }
}

fn ca_file_hint(error: &HttpClientError) -> &'static str {
    match error {
        HttpClientError::ParseCa { .. } => "; the file must hold CA certificates in PEM",
        _ => "",
    }
}

/// The trace ID to look for in the server's log, if the error is the server's.
fn trace(problem: &Problem) -> String {
    match &problem.instance {
        Some(instance) if problem.status >= 500 => format!(" (trace {instance})"),
        _ => String::new(),
    }
}
