//! Calls with a token: got when it is first needed, renewed in time, and got again when Vault no
//! longer knows it.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use runtime::backoff::{self, Backoff};
use tokio::sync::Mutex;
use tokio::time::{Instant, sleep, sleep_until};

use super::call::{Answer, CallError};
use super::client::{Client, Request};
use super::config::VaultLogin;
use super::login::{self, Granted};
use super::renewal::Step;

/// Between tries of one call. A restart of Vault takes longer, and its calls fail.
pub(super) const BETWEEN_TRIES: Backoff =
    Backoff { base: Duration::from_millis(50), cap: Duration::from_secs(1) };
const TRIES: u32 = 8;
const BETWEEN_LOGINS: Backoff =
    Backoff { base: Duration::from_millis(250), cap: Duration::from_secs(15) };
/// How often a token without an end is looked at, since a person may replace or revoke it.
const LOOK: Duration = Duration::from_secs(300);

/// How often a call may be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Tries {
    /// It is not tried again; the caller sees to what became of it.
    Once,
    /// A second time does no harm.
    Safely,
}

/// The client with a token.
pub(super) struct Session {
    client: Client,
    login: VaultLogin,
    held: Mutex<Option<Arc<Held>>>,
}

struct Held {
    granted: Granted,
    /// When to do something about it, and what.
    next: Option<(Instant, Step)>,
    ends: Option<Instant>,
}

impl Held {
    fn new(granted: Granted, since: Instant) -> Arc<Self> {
        let next = granted.lease.next(backoff::random()).map(|(after, step)| (since + after, step));
        let ends = granted.lease.life.map(|life| since + life);
        Arc::new(Self { granted, next, ends })
    }
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session").field("login", &self.login).finish_non_exhaustive()
    }
}

impl Session {
    pub(super) fn new(client: Client, login: VaultLogin) -> Self {
        Self { client, login, held: Mutex::default() }
    }

    pub(super) fn client(&self) -> &Client {
        &self.client
    }

    /// Makes a call, with a new token where Vault no longer knows the old one.
    pub(super) async fn send(&self, request: &Request, tries: Tries) -> Result<Answer, CallError> {
        let end = Instant::now() + self.client.timeout() * 3;
        for attempt in 0.. {
            let error = match self.send_once(request).await {
                Ok(answer) => return Ok(answer),
                Err(error) => error,
            };
            let pause = BETWEEN_TRIES.delay(attempt, backoff::random());
            let again = tries == Tries::Safely
                && error.is_transient()
                && attempt + 1 < TRIES
                && Instant::now() + pause < end;
            if !again {
                return Err(error);
            }
            sleep(pause).await;
        }
        Err(CallError::Nonsense { step: "call Vault", what: "no try is left" })
    }

    async fn send_once(&self, request: &Request) -> Result<Answer, CallError> {
        let held = self.held().await?;
        match self.client.send(request, Some(&held.granted.token)).await {
            // Either the token is gone or the policy says no; only Vault knows which.
            Err(CallError::Denied { step, said }) => match self.replace(&held).await? {
                Some(held) => self.client.send(request, Some(&held.granted.token)).await,
                None => Err(CallError::Denied { step, said }),
            },
            other => other,
        }
    }

    async fn held(&self) -> Result<Arc<Held>, CallError> {
        // Held through the login, so that callers that come together log in once.
        let mut held = self.held.lock().await;
        match held.as_ref() {
            Some(it) if it.ends.is_none_or(|end| Instant::now() < end) => Ok(Arc::clone(it)),
            _ => Ok(Arc::clone(held.insert(self.log_in().await?))),
        }
    }

    async fn log_in(&self) -> Result<Arc<Held>, CallError> {
        // The life is counted from before the request, so that ours never ends after Vault's.
        let since = Instant::now();
        let granted = login::login(&self.client, &self.login).await?;
        tracing::info!(life = ?granted.lease.life, renewable = granted.lease.renewable, "logged in to Vault");
        Ok(Held::new(granted, since))
    }

    /// Another token in the place of one that was denied, or nothing where the token is good.
    async fn replace(&self, denied: &Arc<Held>) -> Result<Option<Arc<Held>>, CallError> {
        let mut held = self.held.lock().await;
        if let Some(it) = held.as_ref()
            && !Arc::ptr_eq(it, denied)
        {
            return Ok(Some(Arc::clone(it)));
        }
        match login::lookup(&self.client, &denied.granted.token).await {
            Ok(_) => Ok(None),
            Err(CallError::Denied { .. }) => {
                Ok(Some(Arc::clone(held.insert(self.log_in().await?))))
            }
            Err(error) => Err(error),
        }
    }

    /// Keeps the token alive. It works for ever.
    pub(super) async fn keep(&self) {
        let mut failed = 0;
        loop {
            let next = self.held.lock().await.as_ref().map(|held| held.next);
            match next {
                Some(Some((at, _))) => sleep_until(at).await,
                Some(None) => sleep(LOOK).await,
                None => {}
            }
            match self.refresh().await {
                Ok(()) => {
                    failed = 0;
                    // A token near its end that nobody replaces is no reason to ask without a
                    // pause.
                    sleep(BETWEEN_LOGINS.base).await;
                }
                Err(error) => {
                    tracing::warn!(
                        error = &error as &dyn std::error::Error,
                        "keep the token of Vault alive"
                    );
                    sleep(BETWEEN_LOGINS.delay(failed, backoff::random())).await;
                    failed += 1;
                }
            }
        }
    }

    /// Renews the token where it is time, and gets another where that is no longer worth it.
    async fn refresh(&self) -> Result<(), CallError> {
        let mut held = self.held.lock().await;
        let since = Instant::now();
        let renewed = match held.as_ref() {
            Some(it) => match it.next {
                // Somebody else was faster.
                Some((at, _)) if at > since => return Ok(()),
                Some((_, Step::Renew)) => Some((login::renew(&self.client, &it.granted).await, it)),
                Some((_, Step::Login)) => None,
                None => Some((login::lookup(&self.client, &it.granted.token).await, it)),
            },
            None => None,
        };
        let next = match renewed {
            Some((Ok(lease), it)) => {
                Held::new(Granted { token: it.granted.token.clone(), lease }, since)
            }
            // It is gone, or may not be renewed any more.
            Some((Err(CallError::Denied { .. } | CallError::Refused { .. }), _)) | None => {
                self.log_in().await?
            }
            Some((Err(error), _)) => return Err(error),
        };
        *held = Some(next);
        Ok(())
    }
}
