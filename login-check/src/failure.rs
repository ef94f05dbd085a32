//! Why a login, or what comes after it, failed: an outcome and a text without any part of the URL
//! but host and port.

use std::io;

use contract::login_check::{LoginCheckAnswer, LoginOutcome, Refusal, Unreachable};

/// The longest text of an error from the kernel or the TLS library, in characters.
const MAX_TEXT: usize = 300;

/// A failure of one attempt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Failure {
    outcome: LoginOutcome,
    detail: String,
    depends_on_encryption: bool,
}

impl Failure {
    /// The server said no.
    pub(crate) fn refused(refusal: Refusal, detail: impl Into<String>) -> Self {
        Self::new(LoginOutcome::Refused(refusal), detail)
    }

    /// No server answered.
    pub(crate) fn unreachable(reason: Unreachable, detail: impl Into<String>) -> Self {
        let is_tls = reason == Unreachable::Tls;
        Self {
            depends_on_encryption: is_tls,
            ..Self::new(LoginOutcome::Unreachable(reason), detail)
        }
    }

    /// The connection broke.
    pub(crate) fn broken(step: &str, error: &io::Error) -> Self {
        let detail = format!("{step}: {}", short(&error.kind().to_string()));
        Self::unreachable(Unreachable::Protocol, detail)
    }

    /// This program cannot tell.
    pub(crate) fn unsupported(detail: impl Into<String>) -> Self {
        Self::new(LoginOutcome::Unsupported, detail)
    }

    /// With this outcome.
    pub(crate) fn new(outcome: LoginOutcome, detail: impl Into<String>) -> Self {
        Self { outcome, detail: detail.into(), depends_on_encryption: false }
    }

    /// The server may decide otherwise with TLS, or without.
    pub(crate) fn for_this_encryption(self) -> Self {
        Self { depends_on_encryption: true, ..self }
    }

    /// Whether an attempt with TLS instead, or without, may end otherwise.
    pub(crate) fn depends_on_encryption(&self) -> bool {
        self.depends_on_encryption
    }

    /// Whether another server of the same URL may answer.
    pub(crate) fn is_of_one_server(&self) -> bool {
        matches!(self.outcome, LoginOutcome::Unreachable(_))
    }
}

impl From<Failure> for LoginCheckAnswer {
    fn from(failure: Failure) -> Self {
        Self::new(failure.outcome, failure.detail)
    }
}

/// The start of a text.
pub(crate) fn short(text: &str) -> String {
    text.chars().take(MAX_TEXT).collect()
}
