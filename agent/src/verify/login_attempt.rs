//! A login that is tried with the value of a secret.

use std::path::PathBuf;
use std::time::Duration;

use contract::check::LoginServer;
use contract::login_check::{
    ConnectionMark, LoginAction, LoginCheckAnswer, LoginCheckRequest, LoginOutcome, SessionsSince,
};
use contract::{FileName, Redacted};
use tokio::time::Instant;

use super::finding::{CheckFailure, FailureKind, Seen, wrong};
use super::login::{self, LoginCheckError};
use crate::error::error_chain;

/// A login that is tried.
#[derive(Debug)]
pub(super) struct LoginAttempt {
    pub(super) server: LoginServer,
    /// The secret with the URL, and its value if it is there.
    pub(super) file: FileName,
    pub(super) url: Option<Redacted>,
    pub(super) program: PathBuf,
    /// The newest connection before the application was told.
    pub(super) mark: Option<ConnectionMark>,
}

impl LoginAttempt {
    pub(super) async fn run(
        &self,
        timeout: Duration,
        swapped_at: Option<Instant>,
    ) -> Result<Seen, CheckFailure> {
        let Self { server, file, url, program, mark } = self;
        let url = url.as_ref().ok_or_else(|| wrong(format!("there is no secret {file}")))?;
        let milliseconds = |it: Duration| u64::try_from(it.as_millis()).unwrap_or(u64::MAX);
        let since = swapped_at.map(|at| SessionsSince {
            milliseconds_ago: milliseconds(at.elapsed()),
            mark: mark.clone(),
        });
        let action = LoginAction::Login { server: *server, since };
        let request = LoginCheckRequest { action, timeout_milliseconds: milliseconds(timeout) };
        read_answer(login::check(program, &request, url).await)
    }
}

/// What an answer of the program says. A login that the server refuses is not tried again: some
/// servers lock an account after a few.
fn read_answer(answer: Result<LoginCheckAnswer, LoginCheckError>) -> Result<Seen, CheckFailure> {
    let answer = match answer {
        Ok(answer) => answer,
        // An image without the program, or a limit that it does not fit in.
        Err(error) => {
            let detail = error_chain(&error);
            return Err(CheckFailure { detail, kind: FailureKind::CannotTell });
        }
    };
    let LoginCheckAnswer { outcome, sessions, mark, detail, .. } = answer;
    let kind = match outcome {
        LoginOutcome::Passed => {
            let in_use = sessions.and_then(|sessions| sessions.in_use());
            return Ok(Seen { detail, in_use, mark });
        }
        LoginOutcome::Refused(_) | LoginOutcome::Invalid => FailureKind::Wrong,
        LoginOutcome::Unreachable(_) => FailureKind::NotYet,
        LoginOutcome::Unsupported => FailureKind::CannotTell,
    };
    Err(CheckFailure { detail, kind })
}

#[cfg(test)]
mod tests {
    use contract::login_check::{Refusal, Unreachable};

    use super::*;
    use crate::helper::HelperError;

    #[test]
    fn what_an_answer_says() {
        for (outcome, expected) in [
            (LoginOutcome::Passed, None),
            (LoginOutcome::Refused(Refusal::Credential), Some(FailureKind::Wrong)),
            (LoginOutcome::Refused(Refusal::Database), Some(FailureKind::Wrong)),
            (LoginOutcome::Invalid, Some(FailureKind::Wrong)),
            (LoginOutcome::Unreachable(Unreachable::Connect), Some(FailureKind::NotYet)),
            (LoginOutcome::Unsupported, Some(FailureKind::CannotTell)),
        ] {
            let answer = read_answer(Ok(LoginCheckAnswer::new(outcome, "d")));
            assert_eq!(answer.err().map(|failure| failure.kind), expected, "{outcome:?}");
        }
        let failure = read_answer(Err(HelperError::Timeout.into())).unwrap_err();
        assert_eq!(failure.kind, FailureKind::CannotTell);
    }
}
