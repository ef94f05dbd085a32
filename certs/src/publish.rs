//! Hands the serving certificate to other processes, in a store of its own that never has a CA's
//! key: the certificate keeper writes it, and the servers read it.
//!
//! A certificate is published only once the CAs that belong to it are registered where the clients
//! look, so that no client meets a certificate that it does not trust yet.

use std::time::Duration;

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use runtime::backoff::Backoff;
use runtime::logs::ErrorChain;
use runtime::readiness::Gate;

use crate::bundle::TrustBundle;
use crate::manager::ServingFiles;
use crate::store::{CertStore, CertStoreError, Loaded, StoreOutcome};

/// How often the store is looked at without a change.
const POLL_INTERVAL: Duration = Duration::from_secs(60);

/// How long one access to the store may take.
const STORE_TIMEOUT: Duration = Duration::from_secs(10);

const BACKOFF: Backoff = Backoff { base: Duration::from_millis(500), cap: Duration::from_secs(10) };

/// Why the certificate could not be published.
#[derive(Debug, thiserror::Error)]
enum PublishError {
    #[error(transparent)]
    Store(#[from] CertStoreError),
    #[error("publish certificate: no answer after {STORE_TIMEOUT:?}")]
    Timeout,
    #[error("publish certificate: another process wrote at the same time")]
    Conflict,
}

/// Keeps a store filled with the serving certificate.
#[derive(Debug)]
pub struct CertPublisher<S> {
    store: S,
    serving: watch::Receiver<ServingFiles>,
    registered: watch::Receiver<TrustBundle>,
    gate: Gate,
}

impl<S: CertStore> CertPublisher<S> {
    /// Publishes `serving` whenever its bundle is the `registered` one. `gate` is open while the
    /// store has it.
    pub fn new(
        store: S,
        serving: watch::Receiver<ServingFiles>,
        registered: watch::Receiver<TrustBundle>,
        gate: Gate,
    ) -> Self {
        Self { store, serving, registered, gate }
    }

    /// Runs until `stop` is cancelled.
    pub async fn run(mut self, stop: CancellationToken) {
        let _ = stop.run_until_cancelled(self.follow()).await;
    }

    async fn follow(&mut self) {
        let mut delays = BACKOFF.delays();
        loop {
            let published = self.publish().await;
            let changed = match published {
                Ok(seen) => {
                    delays.reset();
                    tokio::select! {
                        () = tokio::time::sleep(POLL_INTERVAL) => Ok(()),
                        () = self.store.changed(&seen) => Ok(()),
                        changed = self.serving.changed() => changed,
                        changed = self.registered.changed() => changed,
                    }
                }
                Err(error) => {
                    let delay = delays.next_delay();
                    let failures = delays.failures();
                    tracing::warn!(error = %ErrorChain(&error), failures, "publish certificate");
                    tokio::time::sleep(delay).await;
                    Ok(())
                }
            };
            // Whoever makes the certificate is gone.
            if changed.is_err() {
                return;
            }
        }
    }

    /// Writes the certificate if it may be served and the store does not have it. Returns what the
    /// store has.
    async fn publish(&mut self) -> Result<Loaded, PublishError> {
        let serving = self.serving.borrow_and_update().clone();
        let is_trusted = serving.bundle == *self.registered.borrow_and_update();
        let loaded = within(self.store.load()).await?;
        if serving.files.is_empty() || !is_trusted {
            return Ok(loaded);
        }
        if loaded.files == serving.files {
            self.gate.ready();
            return Ok(loaded);
        }
        self.gate.not_ready();
        match within(self.store.store(&serving.files, &loaded)).await? {
            StoreOutcome::Written(version) => {
                tracing::info!("certificate published");
                self.gate.ready();
                Ok(Loaded { files: serving.files, version })
            }
            StoreOutcome::Conflict => Err(PublishError::Conflict),
        }
    }
}

async fn within<T>(
    access: impl Future<Output = Result<T, CertStoreError>>,
) -> Result<T, PublishError> {
    match tokio::time::timeout(STORE_TIMEOUT, access).await {
        Ok(done) => Ok(done?),
        Err(_) => Err(PublishError::Timeout),
    }
}
