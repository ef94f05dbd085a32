//! Runs a CA and its serving certificate: loads them from a [`CertStore`], does what [`renewal`]
//! says is due, writes back by compare-and-swap, and only then serves and publishes.
//!
//! Every replica runs one; there is no leader to wait for. The first to write wins, and the others
//! take what it wrote. When the store is emptied or damaged, the manager writes back what it has in
//! memory; when the store cannot be reached, it goes on serving that.
//!
//! [`renewal`]: crate::renewal

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use runtime::backoff::Backoff;
use runtime::logs::ErrorChain;
use runtime::readiness::Gate;
use runtime::retry::RetryPolicy;

use crate::alt_names::SubjectAltNames;
use crate::bundle::TrustBundle;
use crate::cert_key_pair::CertKeyPairError;
use crate::clock::Clock;
use crate::issue::IssueError;
use crate::renewal::{RenewalPolicy, RenewalStep};
use crate::resolver::CertResolver;
use crate::state::{CertFiles, State};
use crate::store::{CertStore, CertStoreError, Loaded, StoreOutcome};

/// After a failed round. The cap is low, so that a deleted Secret is back within seconds.
const ROUND_BACKOFF: Backoff =
    Backoff { base: Duration::from_millis(500), cap: Duration::from_secs(10) };

/// After a lost compare-and-swap. Each loss is another replica's success, so few attempts suffice.
const CONFLICT_RETRY: RetryPolicy = RetryPolicy::new(
    Backoff { base: Duration::from_millis(50), cap: Duration::from_secs(1) },
    MAX_CONFLICTS,
);
const MAX_CONFLICTS: u32 = 8;

/// The settings of a manager.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The subject of the CA, at most 34 characters.
    pub ca_common_name: String,
    /// The names that the serving certificate is valid for.
    pub names: SubjectAltNames,
    /// Lifetimes and overlap.
    pub policy: RenewalPolicy,
    /// How often the wall clock is checked; a minute is usual.
    pub poll_interval: Duration,
    /// How long one read or write of the store may take.
    pub store_timeout: Duration,
    /// The wall clock.
    pub clock: Clock,
}

impl Settings {
    /// The defaults: default policy, a check every minute, ten seconds per store access, the
    /// system's clock.
    pub fn new<S: Into<String>>(ca_common_name: S, names: SubjectAltNames) -> Self {
        Self {
            ca_common_name: ca_common_name.into(),
            names,
            policy: RenewalPolicy::default(),
            poll_interval: Duration::from_secs(60),
            store_timeout: Duration::from_secs(10),
            clock: Clock::system(),
        }
    }
}

/// Why a round failed. The certificate that was served before is still served.
#[derive(Debug, thiserror::Error)]
pub enum CertManagerError {
    /// The store failed.
    #[error(transparent)]
    Store(#[from] CertStoreError),
    /// Other replicas kept writing.
    #[error("store certificates: lost {MAX_CONFLICTS} compare-and-swaps in a row")]
    Contended,
    /// The store took too long.
    #[error("{step} certificates: no answer after {timeout:?}")]
    Timeout {
        /// `load` or `store`.
        step: &'static str,
        /// How long the manager waited.
        timeout: Duration,
    },
    /// A certificate could not be issued.
    #[error(transparent)]
    Issue(#[from] IssueError),
    /// rustls refuses the certificate and its key.
    #[error("serve certificate")]
    Serve(#[from] CertKeyPairError),
}

/// What other processes serve and trust.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ServingFiles {
    /// The serving certificate with its key, and the CAs without theirs; empty until the first
    /// round.
    pub files: CertFiles,
    /// The CAs that clients must trust before the certificate is served.
    pub bundle: TrustBundle,
}

/// Keeps one serving certificate and its CA.
#[derive(Debug)]
pub struct CertManager<S> {
    store: S,
    settings: Settings,
    resolver: Arc<CertResolver>,
    bundle: watch::Sender<TrustBundle>,
    serving: watch::Sender<ServingFiles>,
    gate: Option<Gate>,
    state: Option<State>,
    seen: Loaded,
}

impl<S: CertStore> CertManager<S> {
    /// Serves nothing before the first [`CertManager::reconcile`].
    pub fn new(store: S, settings: Settings) -> Self {
        Self {
            store,
            settings,
            resolver: CertResolver::new(),
            bundle: watch::Sender::new(TrustBundle::default()),
            serving: watch::Sender::new(ServingFiles::default()),
            gate: None,
            state: None,
            seen: Loaded::default(),
        }
    }

    /// Opens `gate` while there is a valid certificate to serve.
    #[must_use]
    pub fn with_gate(mut self, gate: Gate) -> Self {
        self.gate = Some(gate);
        self
    }

    /// The certificate that the listener serves.
    pub fn resolver(&self) -> Arc<CertResolver> {
        Arc::clone(&self.resolver)
    }

    /// The CAs that clients must trust; empty until the first round. A task that writes them
    /// somewhere (a `caBundle`) writes them at each change, and again whenever somebody
    /// overwrites them.
    pub fn bundle(&self) -> watch::Receiver<TrustBundle> {
        self.bundle.subscribe()
    }

    /// What other processes serve, for a task that hands it to them.
    pub fn serving(&self) -> watch::Receiver<ServingFiles> {
        self.serving.subscribe()
    }

    /// Runs until `stop` is cancelled: a round after each change of the store and at least once
    /// per poll interval.
    pub async fn run(mut self, stop: CancellationToken) {
        let _ = stop.run_until_cancelled(self.run_rounds()).await;
    }

    async fn run_rounds(&mut self) {
        let mut delays = ROUND_BACKOFF.delays();
        loop {
            let reconciled = self.reconcile().await;
            self.update_readiness();
            match reconciled {
                Ok(_) => {
                    delays.reset();
                    tokio::select! {
                        () = tokio::time::sleep(self.settings.poll_interval) => {}
                        () = self.store.changed(&self.seen) => {}
                    }
                }
                Err(error) => {
                    let delay = delays.next_delay();
                    let failures = delays.failures();
                    tracing::warn!(error = %ErrorChain(&error), failures, "renew certificates");
                    tokio::time::sleep(delay).await;
                }
            }
        }
    }

    /// One round: load, do what is due, store, serve, publish. Returns the steps that were due;
    /// nobody sees their result before it is stored.
    ///
    /// # Errors
    /// When the store fails or is too slow, or a certificate cannot be issued.
    pub async fn reconcile(&mut self) -> Result<Vec<RenewalStep>, CertManagerError> {
        let mut retry = CONFLICT_RETRY.start();
        loop {
            let loaded = self.with_timeout("load", self.store.load()).await?;
            let start = self.starting_point(&loaded);
            let Settings { ca_common_name, names, policy, clock, .. } = &self.settings;
            let (state, steps) = start.advance(ca_common_name, names, clock.now(), policy)?;
            let files = state.to_files();
            let seen = if files == loaded.files {
                loaded
            } else {
                match self.with_timeout("store", self.store.store(&files, &loaded)).await? {
                    StoreOutcome::Written(version) => Loaded { files, version },
                    StoreOutcome::Conflict => {
                        let delay = retry.next_delay().ok_or(CertManagerError::Contended)?;
                        tokio::time::sleep(delay).await;
                        continue;
                    }
                }
            };
            self.publish(state, &steps)?;
            self.seen = seen;
            return Ok(steps);
        }
    }

    /// The stored state, or the one in memory when the stored one is no longer usable.
    fn starting_point(&self, loaded: &Loaded) -> State {
        let (found, errors) = State::from_files(&loaded.files);
        for error in errors {
            tracing::warn!(error = %ErrorChain(&error), "stored certificates are damaged");
        }
        match &self.state {
            Some(memory) if !found.can_sign() => {
                tracing::warn!("stored certificates are gone, writing them back");
                memory.clone()
            }
            _ => found,
        }
    }

    fn publish(&mut self, state: State, steps: &[RenewalStep]) -> Result<(), CertManagerError> {
        // The bundle first: clients learn of a CA before they meet it, never after.
        let bundle = state.bundle();
        let bundle_changed = self.bundle.send_if_modified(|published| {
            let differs = *published != bundle;
            published.clone_from(&bundle);
            differs
        });
        let serving = ServingFiles { files: state.serving_files(), bundle };
        self.serving.send_if_modified(|published| {
            let differs = *published != serving;
            *published = serving;
            differs
        });
        if let Some(leaf) = state.leaf() {
            let served = self.state.as_ref().and_then(State::leaf);
            let same = served.is_some_and(|served| served.certificate() == leaf.certificate());
            if !same {
                self.resolver.swap(leaf)?;
            }
            if bundle_changed || !same {
                let not_after = leaf.certificate().validity().not_after;
                let left = not_after.duration_since(self.settings.clock.now());
                let left = left.unwrap_or_default();
                tracing::info!(?steps, bundle_changed, ?left, "certificates changed");
            }
        }
        self.state = Some(state);
        self.update_readiness();
        Ok(())
    }

    fn update_readiness(&self) {
        let Some(gate) = &self.gate else { return };
        let now = self.settings.clock.now();
        let leaf = self.state.as_ref().and_then(State::leaf);
        if leaf.is_some_and(|leaf| leaf.certificate().validity().contains(now)) {
            gate.ready();
        } else {
            gate.not_ready();
        }
    }

    async fn with_timeout<T>(
        &self,
        step: &'static str,
        access: impl Future<Output = Result<T, CertStoreError>>,
    ) -> Result<T, CertManagerError> {
        let timeout = self.settings.store_timeout;
        match tokio::time::timeout(timeout, access).await {
            Ok(done) => Ok(done?),
            Err(_) => Err(CertManagerError::Timeout { step, timeout }),
        }
    }
}
