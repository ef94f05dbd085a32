//! Keeps a CA and a serving certificate: loads them from a [`CertStore`], does what [`renewal`] says
//! is due, writes back by compare-and-swap, and only then serves and publishes.
//!
//! Every replica runs one. Whoever is first writes, the others take what was written: there is no
//! leader whose absence would matter. When the store is emptied or damaged, what is in memory is
//! written back; when it cannot be reached, what is in memory is served.
//!
//! [`renewal`]: crate::renewal

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use runtime::backoff::{Backoff, random};
use runtime::logs::ErrorChain;
use runtime::readiness::Gate;

use crate::alt_names::SubjectAltNames;
use crate::bundle::TrustBundle;
use crate::cert_key_pair::CertKeyPairError;
use crate::clock::Clock;
use crate::issue::IssueError;
use crate::renewal::{Policy, Step};
use crate::resolver::Resolver;
use crate::state::State;
use crate::store::{CertStore, CertStoreError, Loaded, StoreOutcome};

/// After a failed round. The cap is low: a deleted Secret shall be back within seconds.
const RETRY: Backoff = Backoff { base: Duration::from_millis(500), cap: Duration::from_secs(10) };

/// After a lost compare-and-swap. Every loss is somebody else's success, so few are enough.
const CONTENTION: Backoff =
    Backoff { base: Duration::from_millis(50), cap: Duration::from_secs(1) };
const CONTENTION_ATTEMPTS: u32 = 8;

/// What a manager is told.
#[derive(Clone, Debug)]
pub struct Settings {
    /// What people see as the subject of the CA, at most 34 characters.
    pub authority: String,
    /// The names the serving certificate is for.
    pub names: SubjectAltNames,
    /// How long things live.
    pub policy: Policy,
    /// How often the wall clock is looked at; a minute is usual.
    pub poll_interval: Duration,
    /// How long one read or write of the store may take.
    pub store_timeout: Duration,
    /// What time it is.
    pub clock: Clock,
}

impl Settings {
    /// The usual: default policy, a look every minute, ten seconds per step, the machine's clock.
    pub fn new<S: Into<String>>(authority: S, names: SubjectAltNames) -> Self {
        Self {
            authority: authority.into(),
            names,
            policy: Policy::default(),
            poll_interval: Duration::from_secs(60),
            store_timeout: Duration::from_secs(10),
            clock: Clock::system(),
        }
    }
}

/// Why a round failed. What was served before is still served.
#[derive(Debug, thiserror::Error)]
pub enum CertManagerError {
    /// The store failed.
    #[error(transparent)]
    Store(#[from] CertStoreError),
    /// Others kept writing.
    #[error("store certificates: others were faster {CONTENTION_ATTEMPTS} times")]
    Contended,
    /// The store took too long.
    #[error("{step} certificates: no answer after {store_timeout:?}")]
    Timeout {
        /// `load` or `store`.
        step: &'static str,
        /// How long was waited.
        store_timeout: Duration,
    },
    /// A certificate could not be made.
    #[error(transparent)]
    Issue(#[from] IssueError),
    /// The pair is not to rustls' taste.
    #[error("serve certificate")]
    Serve(#[from] CertKeyPairError),
}

/// The manager of one certificate.
#[derive(Debug)]
pub struct CertManager<B> {
    store: B,
    settings: Settings,
    resolver: Arc<Resolver>,
    bundle: watch::Sender<TrustBundle>,
    gate: Option<Gate>,
    state: Option<State>,
    seen: Loaded,
}

impl<B: CertStore> CertManager<B> {
    /// Serves nothing before the first [`CertManager::step`].
    pub fn new(store: B, settings: Settings) -> Self {
        Self {
            store,
            settings,
            resolver: Resolver::new(),
            bundle: watch::Sender::new(TrustBundle::default()),
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

    /// What the listener serves.
    pub fn resolver(&self) -> Arc<Resolver> {
        Arc::clone(&self.resolver)
    }

    /// What clients must trust; empty until the first step. Whoever writes it somewhere (a
    /// `caBundle`) should do so at each change, and again when it was overwritten.
    pub fn bundle(&self) -> watch::Receiver<TrustBundle> {
        self.bundle.subscribe()
    }

    /// Runs until `stop` is cancelled: a step at each change of the store and at least each poll_interval.
    pub async fn run(mut self, stop: CancellationToken) {
        let _ = stop.run_until_cancelled(self.keep()).await;
    }

    async fn keep(&mut self) {
        let mut failures = 0;
        loop {
            let stepped = self.step().await;
            self.update_readiness();
            match stepped {
                Ok(_) => {
                    failures = 0;
                    tokio::select! {
                        () = tokio::time::sleep(self.settings.poll_interval) => {}
                        () = self.store.changed(&self.seen) => {}
                    }
                }
                Err(error) => {
                    tracing::warn!(error = %ErrorChain(&error), failures, "keep certificates");
                    tokio::time::sleep(RETRY.delay(failures, random())).await;
                    failures = failures.saturating_add(1);
                }
            }
        }
    }

    /// One round: load, do what is due, store, serve, publish. Returns what was due; nothing of it
    /// is seen by anyone before it is stored.
    ///
    /// # Errors
    /// When the store fails or is too slow, or a certificate cannot be made.
    pub async fn step(&mut self) -> Result<Vec<Step>, CertManagerError> {
        for attempt in 0..CONTENTION_ATTEMPTS {
            let loaded = self.within("load", self.store.load()).await?;
            let start = self.starting_point(&loaded);
            let Settings { authority, names, policy, clock, .. } = &self.settings;
            let (state, steps) = start.advance(authority, names, clock.now(), policy)?;
            let files = state.to_files();
            let seen = if files == loaded.files {
                loaded
            } else {
                match self.within("store", self.store.store(&files, &loaded)).await? {
                    StoreOutcome::Written(version) => Loaded { files, version },
                    StoreOutcome::Conflict => {
                        tokio::time::sleep(CONTENTION.delay(attempt, random())).await;
                        continue;
                    }
                }
            };
            self.publish(state, &steps)?;
            self.seen = seen;
            return Ok(steps);
        }
        Err(CertManagerError::Contended)
    }

    /// What is stored, or what is in memory when nothing usable is stored any more.
    fn starting_point(&self, loaded: &Loaded) -> State {
        let (found, problems) = State::from_files(&loaded.files);
        for problem in problems {
            tracing::warn!(error = %ErrorChain(&problem), "stored certificates are damaged");
        }
        match &self.state {
            Some(memory) if !found.can_sign() => {
                tracing::warn!("stored certificates are gone, writing them back");
                memory.clone()
            }
            _ => found,
        }
    }

    fn publish(&mut self, state: State, steps: &[Step]) -> Result<(), CertManagerError> {
        // The bundle first: clients learn of a CA before they meet it, never after.
        let bundle = state.bundle();
        let turned = self.bundle.send_if_modified(|published| {
            let differs = *published != bundle;
            *published = bundle;
            differs
        });
        if let Some(leaf) = state.leaf() {
            let served = self.state.as_ref().and_then(State::leaf);
            let same = served.is_some_and(|served| served.certificate() == leaf.certificate());
            if !same {
                self.resolver.swap(leaf)?;
            }
            if turned || !same {
                let not_after = leaf.certificate().validity().not_after;
                let left = not_after.duration_since(self.settings.clock.now());
                let left = left.unwrap_or_default();
                tracing::info!(?steps, bundle = turned, ?left, "certificates changed");
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

    async fn within<T>(
        &self,
        step: &'static str,
        work: impl Future<Output = Result<T, CertStoreError>>,
    ) -> Result<T, CertManagerError> {
        let store_timeout = self.settings.store_timeout;
        match tokio::time::timeout(store_timeout, work).await {
            Ok(done) => Ok(done?),
            Err(_) => Err(CertManagerError::Timeout { step, store_timeout }),
        }
    }
}
