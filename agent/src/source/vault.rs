//! Vault or OpenBao as a source: one login per pod, KV entries by version, dynamic secrets with one
//! lease each, and certificates.
//!
//! ```text
//! client (edge)     HTTP over one connection
//! api (edge)        the calls
//! answer (pure)     what statuses and bodies mean
//! session           the token
//! entry             one thing that is read, with what was read last
//! layout (pure)     which secret is in which read, and the snapshot
//! report            what the supervisor is told
//! kv, lifetime, schedule, value (pure)   what to do next
//! ```
//!
//! Values stay in memory, unlike those of switchyard: Vault gives neither a deleted version nor the
//! same lease again, and each snapshot has every secret.

mod answer;
mod api;
mod client;
mod entry;
mod kv;
mod layout;
mod lifetime;
mod report;
mod schedule;
mod session;
mod value;

use std::path::{Path, PathBuf};
use std::time::Duration;

use contract::stream::BundleGeneration;
use contract::{BundleRef, VaultSource};
use http::HeaderValue;
use http::header::InvalidHeaderValue;
use tokio::time::{Instant, sleep_until, timeout};

pub use answer::{Question, VaultError};

use super::address::{Address, AddressError};
use super::tls::{self, TrustError};
use super::{SourceChannels, SourceEvent};
use crate::error::error_chain;
use answer::Trouble;
use client::VaultClient;
use entry::{LoginToken, VaultEntry};
use layout::Layout;
use session::TokenSession;

/// Answers that come too late, after which Vault as a whole counts as unreachable.
const MAX_TIMEOUTS: usize = 2;

/// A client of Vault for one pod.
pub struct Vault {
    client: VaultClient,
    session: TokenSession,
    layout: Layout,
    entries: Vec<VaultEntry>,
    interval: Duration,
    /// When everything without a time of its own is looked at again.
    next_poll: Instant,
    revoke_on_shutdown: bool,
    /// The volume with the pod's files.
    directory: PathBuf,
    /// The generations of the last snapshot, or of the files before the first one.
    last: Vec<BundleGeneration>,
    /// Whether there is something that no snapshot has yet.
    is_changed: bool,
    /// Whether this run has sent a snapshot.
    has_delivered: bool,
    /// The failures in a row to reach Vault or to log in.
    failures: u32,
    /// What was reported last.
    last_reason: Option<String>,
    /// Whether Vault was unreachable, or denied the login, at the last attempt.
    is_disconnected: bool,
}

/// Why the configuration of the source is invalid.
#[derive(Debug, thiserror::Error)]
pub enum VaultSourceError {
    /// The URL.
    #[error(transparent)]
    Address(#[from] AddressError),
    /// The trust bundle.
    #[error(transparent)]
    Trust(#[from] TrustError),
    /// The namespace cannot be sent.
    #[error("set namespace of Vault: must be visible ASCII characters")]
    Namespace(#[source] InvalidHeaderValue),
    /// A bundle without secrets.
    #[error("read secrets of bundle {0}: the configuration does not say where they are in Vault")]
    NoMapping(BundleRef),
}

impl Vault {
    /// A client for these bundles. `directory` is the volume with the pod's files.
    ///
    /// # Errors
    /// When the address, the CAs or the namespace are invalid, or a bundle has no mapping.
    pub fn new(
        source: VaultSource,
        bundles: &[BundleRef],
        directory: &Path,
    ) -> Result<Self, VaultSourceError> {
        let address = Address::https_or_loopback(&source.address)?;
        // Vault may be behind a server that knows no newer version than 1.2.
        let tls = match address.is_tls {
            true => Some(tls::client_config(&source.ca, rustls::ALL_VERSIONS)?),
            false => None,
        };
        let namespace = source.namespace.as_ref().map(|it| HeaderValue::from_str(it.as_str()));
        let namespace = namespace.transpose().map_err(VaultSourceError::Namespace)?;
        let layout = Layout::new(bundles, &source.secrets).map_err(VaultSourceError::NoMapping)?;
        let entries =
            layout.reads.iter().map(|(read, fields)| VaultEntry::new(read.clone(), fields.clone()));
        Ok(Self {
            client: VaultClient::new(address, tls, namespace),
            session: TokenSession::new(source.auth_mount, source.role, source.token_file.into()),
            entries: entries.collect(),
            layout,
            interval: Duration::from_secs(u64::from(source.poll_seconds.get())),
            next_poll: Instant::now(),
            revoke_on_shutdown: source.revoke_on_shutdown,
            directory: directory.to_owned(),
            last: Vec::new(),
            is_changed: false,
            has_delivered: false,
            failures: 0,
            last_reason: None,
            is_disconnected: false,
        })
    }

    /// Keeps the pod's secrets up to date until the receiver of the events is dropped.
    pub async fn run(&mut self, channels: &mut SourceChannels) {
        self.last.clone_from(&channels.held.borrow());
        loop {
            // Boxed, so that its memory is free between the polls.
            let pass = Box::pin(self.pass()).await;
            if self.report(&pass, channels).await.is_err() {
                return;
            }
            let wake = sleep_until(self.next_pass(&pass));
            tokio::pin!(wake);
            loop {
                tokio::select! {
                    () = &mut wake => break,
                    report = channels.reports.recv() => match report {
                        // The supervisor logs what it reports, and nobody else wants to know.
                        Some(_) => {}
                        None => {
                            let _ = channels.events.send(SourceEvent::Finished).await;
                            return channels.events.closed().await;
                        }
                    },
                    () = channels.events.closed() => return,
                }
            }
        }
    }

    /// Ends the session at the end of the run: at a shutdown if the configuration asks for it, and
    /// always if the pod got nothing, so that restarts leave no tokens behind.
    pub async fn close(&mut self, is_shutdown: bool) {
        if self.has_delivered && !(is_shutdown && self.revoke_on_shutdown) {
            return;
        }
        let Some(token) = self.session.token().cloned() else { return };
        match timeout(schedule::REVOKE_TIMEOUT, api::revoke(&mut self.client, &token)).await {
            Ok(Ok(())) => tracing::info!("token revoked, and its leases"),
            Ok(Err(error)) => tracing::warn!(error = error_chain(&error), "token not revoked"),
            Err(_) => tracing::warn!("token not revoked in time"),
        }
    }

    /// Looks at everything that is due.
    ///
    /// # Errors
    /// When Vault is unreachable or denies the login, so that nothing else would work.
    async fn pass(&mut self) -> Result<(), VaultError> {
        self.session.keep(&mut self.client).await?;
        let until = Instant::now() + schedule::TOGETHER;
        if self.next_poll <= until {
            let delay = schedule::poll_delay(self.interval, runtime::backoff::random());
            self.next_poll = Instant::now() + delay;
        }
        let (mut timeouts, mut is_token_checked) = (0, false);
        let mut at = 0;
        while let Some(entry) = self.entries.get(at) {
            if entry.is_made() && !self.has_delivered && self.is_kv_incomplete() {
                // Without the others, what Vault makes now would never reach a file.
                break;
            }
            if !entry.is_due(until, self.session.login()) {
                at += 1;
                continue;
            }
            let Err(error) = self.refresh(at).await else {
                at += 1;
                continue;
            };
            timeouts += usize::from(matches!(error, VaultError::Timeout { .. }));
            if error.trouble() == Trouble::Unreachable || timeouts == MAX_TIMEOUTS {
                return Err(error);
            }
            // An invalid token is refused as a policy refuses: ask which of the two it is.
            if error.trouble() == Trouble::Forbidden && !is_token_checked {
                is_token_checked = true;
                if !self.is_token_valid().await? {
                    self.session.forget();
                    self.session.keep(&mut self.client).await?;
                    // From the start: what hangs on that token ended with it.
                    at = 0;
                    continue;
                }
            }
            self.note_failure(at, &error);
            at += 1;
        }
        Ok(())
    }

    async fn refresh(&mut self, at: usize) -> Result<(), VaultError> {
        let (Some(entry), Some(token)) = (self.entries.get_mut(at), self.session.token()) else {
            return Ok(());
        };
        let login = LoginToken { token, number: self.session.login() };
        self.is_changed |= entry.refresh(&mut self.client, &login, self.next_poll).await?;
        Ok(())
    }

    async fn is_token_valid(&mut self) -> Result<bool, VaultError> {
        match self.session.token() {
            Some(token) => api::is_valid(&mut self.client, token).await,
            None => Ok(false),
        }
    }

    fn note_failure(&mut self, at: usize, error: &VaultError) {
        let (trouble, interval) = (error.trouble(), self.interval);
        if let Some(entry) = self.entries.get_mut(at) {
            entry.failed((trouble, error_chain(error)), self.next_poll, |failures| {
                schedule::secret_delay(trouble, interval, failures, runtime::backoff::random())
            });
        }
    }

    fn is_kv_incomplete(&self) -> bool {
        let kv = self.entries.iter().filter(|entry| !entry.is_made());
        kv.clone().any(|entry| entry.content().is_none() && entry.problem().is_some())
            && self.kept(&self.contents()).is_none()
    }

    fn next_pass(&mut self, pass: &Result<(), VaultError>) -> Instant {
        let now = Instant::now();
        match pass {
            Err(error) => {
                self.failures = self.failures.saturating_add(1);
                let random = runtime::backoff::random();
                now + schedule::server_delay(error.trouble(), self.failures, random)
            }
            Ok(()) => {
                self.failures = 0;
                let waiting = self.entries.iter().map(VaultEntry::due).chain(self.session.due());
                let next = waiting.chain([self.next_poll]).min().unwrap_or(self.next_poll);
                next.max(now + schedule::MIN_DELAY)
            }
        }
    }
}
