//! Has PostgreSQL or Redis read its files again, by a login with the URL in a secret. The program
//! for database protocols does it, and runs only meanwhile.

use std::path::PathBuf;

use contract::login_check::{LoginAction, LoginCheckRequest, LoginOutcome, Refusal, Unreachable};
use contract::{FileName, Redacted};

use super::{TakenUp, retried};
use crate::plan::FileContents;
use crate::verify::login::{self, LoginCheckError};

/// The time for one attempt, in milliseconds.
const ATTEMPT_MILLISECONDS: u64 = 10_000;

/// A server that is told by a login.
#[derive(Clone, Debug)]
pub(super) struct LoginReload {
    pub(super) action: LoginAction,
    /// The secret with the URL.
    pub(super) url: FileName,
    pub(super) program: PathBuf,
}

/// Why the server did not read its files again.
#[derive(Debug, thiserror::Error)]
pub enum LoginReloadError {
    /// The pod has no such secret.
    #[error("reload by a login: there is no secret {0}")]
    NoSecret(FileName),
    /// The login could not be tried.
    #[error(transparent)]
    Program(#[from] LoginCheckError),
    /// The server, or who logs in, cannot do it. Holds what was seen.
    #[error("reload by a login: {0}")]
    Failed(String),
    /// The server did not answer, or not in its protocol. Holds what was seen.
    #[error("reload by a login: {0}")]
    Unreachable(String),
    /// There was no server to connect to. Holds what was seen.
    #[error("reload by a login: {0}")]
    NotUp(String),
    /// The server read its files, and does not take them. Holds what was seen.
    #[error("reload by a login: {0}")]
    Refused(String),
}

impl LoginReloadError {
    /// Whether it may go well later: no server answered, or not in its protocol.
    fn is_passing(&self) -> bool {
        match self {
            Self::NotUp(_) | Self::Unreachable(_) => true,
            Self::NoSecret(_) | Self::Program(_) | Self::Failed(_) | Self::Refused(_) => false,
        }
    }
}

impl LoginReload {
    /// Tries until the server has read its files or the retries are used up. A login that the
    /// server refuses is not tried again: some lock an account after a few.
    pub(super) async fn reload(&self, files: &FileContents) -> Result<TakenUp, LoginReloadError> {
        let url = files.get(&self.url);
        let url = url.ok_or_else(|| LoginReloadError::NoSecret(self.url.clone()))?;
        retried(|| self.attempt(url), LoginReloadError::is_passing).await
    }

    async fn attempt(&self, url: &Redacted) -> Result<TakenUp, LoginReloadError> {
        let request = LoginCheckRequest {
            action: self.action.clone(),
            timeout_milliseconds: ATTEMPT_MILLISECONDS,
        };
        let answer = login::check(&self.program, &request, url).await?;
        match answer.outcome {
            LoginOutcome::Passed => {
                // PostgreSQL says more of its certificate only where the program looked at it.
                let is_known =
                    self.action == LoginAction::RedisConfig || answer.certificate_sha256.is_some();
                let in_use = is_known.then_some(true);
                Ok(TakenUp { detail: answer.detail, in_use })
            }
            LoginOutcome::Unreachable(Unreachable::Connect) => {
                Err(LoginReloadError::NotUp(answer.detail))
            }
            LoginOutcome::Unreachable(_) => Err(LoginReloadError::Unreachable(answer.detail)),
            LoginOutcome::Refused(Refusal::Configuration) => {
                Err(LoginReloadError::Refused(answer.detail))
            }
            LoginOutcome::Refused(_) | LoginOutcome::Invalid | LoginOutcome::Unsupported => {
                Err(LoginReloadError::Failed(answer.detail))
            }
        }
    }
}
