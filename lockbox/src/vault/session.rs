//! Calls with a token, which is obtained at the first call, renewed in time, and replaced when
//! Vault no longer knows it.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use runtime::backoff::{self, Backoff};
use runtime::retry::RetryPolicy;
use tokio::sync::Mutex;
use tokio::time::{Instant, sleep, sleep_until};

use super::client::{Client, Request};
use super::config::VaultLogin;
use super::login::{self, IssuedToken};
use super::renewal::{Lease, RenewalAction};
use super::response::{Response, VaultError};

/// The retries of one call. A restart of Vault takes longer, and calls fail meanwhile.
const CALL_RETRY: RetryPolicy = RetryPolicy::new(RETRY_BACKOFF, 8);
pub(super) const RETRY_BACKOFF: Backoff =
    Backoff { base: Duration::from_millis(50), cap: Duration::from_secs(1) };
const LOGIN_BACKOFF: Backoff =
    Backoff { base: Duration::from_millis(250), cap: Duration::from_secs(15) };
/// How often a token that never expires is looked up, since a person may replace or revoke it.
const LOOKUP_INTERVAL: Duration = Duration::from_secs(300);

/// Whether a call is retried.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum RetryMode {
    /// It is made once. The caller finds out what became of it.
    Once,
    /// It is retried, since making it twice does no harm.
    Idempotent,
}

/// The client with a token.
pub(super) struct Session {
    client: Client,
    login: VaultLogin,
    token: Mutex<Option<Arc<ActiveToken>>>,
}

struct ActiveToken {
    issued: IssuedToken,
    /// When to renew or replace it, and which.
    next: Option<(Instant, RenewalAction)>,
    expires: Option<Instant>,
}

impl ActiveToken {
    fn new(issued: IssuedToken, since: Instant) -> Arc<Self> {
        let next = issued.lease.next(backoff::random()).map(|(after, step)| (since + after, step));
        let expires = issued.lease.life.map(|life| since + life);
        Arc::new(Self { issued, next, expires })
    }
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session").field("login", &self.login).finish_non_exhaustive()
    }
}

impl Session {
    pub(super) fn new(client: Client, login: VaultLogin) -> Self {
        Self { client, login, token: Mutex::default() }
    }

    pub(super) fn client(&self) -> &Client {
        &self.client
    }

    /// Makes a call, with a new token if Vault no longer knows the old one.
    pub(super) async fn send(
        &self,
        request: &Request,
        mode: RetryMode,
    ) -> Result<Response, VaultError> {
        let end = Instant::now() + self.client.timeout() * 3;
        let is_retried = |error: &VaultError| mode == RetryMode::Idempotent && error.is_transient();
        CALL_RETRY.run_until(end, |_| self.send_once(request), is_retried).await
    }

    async fn send_once(&self, request: &Request) -> Result<Response, VaultError> {
        let token = self.token().await?;
        match self.client.send(request, Some(&token.issued.token)).await {
            // Either the token is invalid or the policy denies the call; only Vault knows which.
            Err(VaultError::Denied { step, message }) => match self.replace(&token).await? {
                Some(token) => self.client.send(request, Some(&token.issued.token)).await,
                None => Err(VaultError::Denied { step, message }),
            },
            other => other,
        }
    }

    async fn token(&self) -> Result<Arc<ActiveToken>, VaultError> {
        // Locked during the login, so that concurrent callers log in once.
        let mut token = self.token.lock().await;
        match token.as_ref() {
            Some(it) if it.expires.is_none_or(|end| Instant::now() < end) => Ok(Arc::clone(it)),
            _ => Ok(Arc::clone(token.insert(self.log_in().await?))),
        }
    }

    async fn log_in(&self) -> Result<Arc<ActiveToken>, VaultError> {
        // Counted from before the request, so that it never ends after Vault's own count.
        let since = Instant::now();
        let issued = login::login(&self.client, &self.login).await?;
        let Lease { life, renewable, .. } = issued.lease;
        tracing::info!(?life, renewable, "logged in to Vault");
        Ok(ActiveToken::new(issued, since))
    }

    /// Replaces a token that was denied. `None` if the token is still valid.
    async fn replace(
        &self,
        denied: &Arc<ActiveToken>,
    ) -> Result<Option<Arc<ActiveToken>>, VaultError> {
        let mut token = self.token.lock().await;
        if let Some(it) = token.as_ref()
            && !Arc::ptr_eq(it, denied)
        {
            return Ok(Some(Arc::clone(it)));
        }
        match login::lookup(&self.client, &denied.issued.token).await {
            Ok(_) => Ok(None),
            Err(VaultError::Denied { .. }) => {
                Ok(Some(Arc::clone(token.insert(self.log_in().await?))))
            }
            Err(error) => Err(error),
        }
    }

    /// Keeps the token alive. It never returns.
    pub(super) async fn keep_token_alive(&self) {
        let mut failed = 0;
        loop {
            let next = self.token.lock().await.as_ref().map(|token| token.next);
            match next {
                Some(Some((at, _))) => sleep_until(at).await,
                Some(None) => sleep(LOOKUP_INTERVAL).await,
                None => {}
            }
            match self.refresh().await {
                Ok(()) => {
                    failed = 0;
                    // A pause, even if the token is near its end and cannot be extended.
                    sleep(LOGIN_BACKOFF.base).await;
                }
                Err(error) => {
                    tracing::warn!(
                        error = &error as &dyn std::error::Error,
                        "keep Vault's token alive"
                    );
                    sleep(LOGIN_BACKOFF.delay(failed, backoff::random())).await;
                    failed += 1;
                }
            }
        }
    }

    /// Renews the token if it is time, or logs in again if renewing no longer helps.
    async fn refresh(&self) -> Result<(), VaultError> {
        let mut token = self.token.lock().await;
        let since = Instant::now();
        let renewed = match token.as_ref() {
            Some(it) => match it.next {
                // Another caller was faster.
                Some((at, _)) if at > since => return Ok(()),
                Some((_, RenewalAction::Renew)) => {
                    Some((login::renew(&self.client, &it.issued).await, it))
                }
                Some((_, RenewalAction::LogIn)) => None,
                None => Some((login::lookup(&self.client, &it.issued.token).await, it)),
            },
            None => None,
        };
        let next = match renewed {
            Some((Ok(lease), it)) => {
                ActiveToken::new(IssuedToken { token: it.issued.token.clone(), lease }, since)
            }
            // It is invalid, or can no longer be renewed.
            Some((Err(VaultError::Denied { .. } | VaultError::Refused { .. }), _)) | None => {
                self.log_in().await?
            }
            Some((Err(error), _)) => return Err(error),
        };
        *token = Some(next);
        Ok(())
    }
}
