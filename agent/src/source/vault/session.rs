//! The agent's token: one login per pod, renewed for as long as Vault renews it, and replaced
//! before it ends.

use std::path::PathBuf;

use contract::Redacted;
use contract::vault_source::VaultPath;
use tokio::time::Instant;

use super::answer::{Auth, Trouble, VaultError};
use super::api;
use super::client::VaultClient;
use super::lifetime::{Lifetime, Upkeep};
use super::schedule;
use crate::error::error_chain;
use crate::source::token_file;

/// How to log in, and the token.
pub(super) struct TokenSession {
    auth_mount: VaultPath,
    role: String,
    token_file: PathBuf,
    token: Option<Token>,
    /// The logins so far. A lease belongs to the token that it was made with.
    logins: u32,
    failures: u32,
}

struct Token {
    secret: Redacted,
    lifetime: Lifetime,
    /// When it ends; `None` if it never does.
    ends: Option<Instant>,
    /// When to renew or replace it.
    due: Option<Instant>,
}

impl Token {
    fn new(secret: Redacted, lifetime: Lifetime) -> Self {
        let (now, random) = (Instant::now(), runtime::backoff::random());
        let ends = lifetime.granted().map(|granted| now + granted);
        let due = lifetime.due_after(random).map(|after| now + after);
        Self { secret, lifetime, ends, due }
    }
}

impl TokenSession {
    pub(super) fn new(auth_mount: VaultPath, role: String, token_file: PathBuf) -> Self {
        Self { auth_mount, role, token_file, token: None, logins: 0, failures: 0 }
    }

    /// The token, if there was a login.
    pub(super) fn token(&self) -> Option<&Redacted> {
        self.token.as_ref().map(|token| &token.secret)
    }

    /// The number of the login that the token is of.
    pub(super) fn login(&self) -> u32 {
        self.logins
    }

    /// When the token is to be renewed or replaced.
    pub(super) fn due(&self) -> Option<Instant> {
        self.token.as_ref().and_then(|token| token.due)
    }

    /// Forgets a token that Vault does not know any more, with all its leases.
    pub(super) fn forget(&mut self) {
        self.token = None;
    }

    /// Sees to it that there is a token, and a later one before it ends.
    ///
    /// # Errors
    /// When there is none. A token that could not be renewed or replaced in time goes on being used
    /// until its end.
    pub(super) async fn keep(&mut self, client: &mut VaultClient) -> Result<(), VaultError> {
        let Some(token) = &self.token else { return self.log_in(client).await };
        let now = Instant::now();
        if token.due.is_none_or(|due| due > now) {
            return Ok(());
        }
        let kept = match token.lifetime.upkeep() {
            Upkeep::Renew => self.renew(client).await,
            Upkeep::Replace => self.log_in(client).await,
        };
        let Err(error) = kept else { return Ok(()) };
        self.failures = self.failures.saturating_add(1);
        match &mut self.token {
            Some(token) if token.ends.is_none_or(|ends| ends > now) => {
                tracing::warn!(error = error_chain(&error), "token not renewed, it is still valid");
                let random = runtime::backoff::random();
                let delay = schedule::server_delay(error.trouble(), self.failures, random);
                token.due = Some(Instant::now() + delay);
                Ok(())
            }
            _ => Err(error),
        }
    }

    async fn renew(&mut self, client: &mut VaultClient) -> Result<(), VaultError> {
        let Some(Token { secret, lifetime, .. }) = &self.token else { return Ok(()) };
        match api::renew_token(client, secret).await {
            Ok(Auth { lease_duration, renewable, .. }) => {
                let lifetime = lifetime.renewed(lease_duration, renewable);
                self.token = Some(Token::new(secret.clone(), lifetime));
                self.failures = 0;
                tracing::debug!(seconds = lease_duration, "token renewed");
                Ok(())
            }
            Err(error) => match error.trouble() {
                Trouble::Unreachable | Trouble::Unavailable => Err(error),
                // It was revoked, or its policies do not let it be renewed.
                Trouble::Forbidden | Trouble::Missing | Trouble::Refused => {
                    self.log_in(client).await
                }
            },
        }
    }

    async fn log_in(&mut self, client: &mut VaultClient) -> Result<(), VaultError> {
        let jwt = token_file::read(&self.token_file)
            .map_err(|source| VaultError::TokenFile { path: self.token_file.clone(), source })?;
        let auth = api::log_in(client, &self.auth_mount, &self.role, &jwt).await?;
        let Auth { client_token, lease_duration, renewable } = auth;
        self.token = Some(Token::new(
            Redacted::from(client_token),
            Lifetime::new(lease_duration, renewable),
        ));
        self.logins = self.logins.saturating_add(1);
        self.failures = 0;
        tracing::info!(
            server = %client.address(),
            role = self.role,
            seconds = lease_duration,
            renewable,
            "logged in"
        );
        Ok(())
    }
}
