//! Certificates that somebody else keeps in a Secret: `tls.crt`, `tls.key` and `ca.crt`, as the
//! certificate keeper and cert-manager write them. Bad content is refused, and the last good
//! certificate stays in use.
//!
//! Needs `get` and `watch` on this one name.

use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use runtime::backoff::Backoff;
use runtime::logs::ErrorChain;
use runtime::readiness::Gate;

use crate::accepted::{Accepted, RefusedFile};
use crate::cert_key_pair::CertKeyPairError;
use crate::certificate::CertificateError;
use crate::clock::Clock;
use crate::resolver::CertResolver;
use crate::state::{CA_CERT, CertFiles, TLS_CERT, TLS_KEY};
use crate::store::secret::SecretCertStore;
use crate::store::{CertStore, CertStoreError, Loaded};

/// How often the Secret is read without a change.
const POLL_INTERVAL: Duration = Duration::from_secs(60);

/// How long one read may take.
const READ_TIMEOUT: Duration = Duration::from_secs(10);

const BACKOFF: Backoff = Backoff { base: Duration::from_millis(500), cap: Duration::from_secs(10) };

/// Why the Secret could not be used. The certificate that was served before is still served.
#[derive(Debug, thiserror::Error)]
pub enum FollowError {
    /// It cannot be read.
    #[error(transparent)]
    Store(#[from] CertStoreError),
    /// There was no answer.
    #[error("get secret {name}: no answer after {READ_TIMEOUT:?}")]
    Timeout {
        /// Name of the Secret.
        name: String,
    },
    /// It has no certificate.
    #[error("use secret {name}: it has no {TLS_CERT} yet; {writer} writes it")]
    Empty {
        /// Name of the Secret.
        name: String,
        /// Who writes it.
        writer: &'static str,
    },
    /// A certificate or key is unreadable or does not match the other.
    #[error("use secret {name}, key {file}")]
    CertKeyPair {
        /// Name of the Secret.
        name: String,
        /// The key in it that is wrong.
        file: &'static str,
        /// What is wrong with it.
        source: CertKeyPairError,
    },
    /// The CA bundle is unreadable.
    #[error("use secret {name}, key {file}")]
    Bundle {
        /// Name of the Secret.
        name: String,
        /// The key in it that is wrong.
        file: &'static str,
        /// What is wrong with it.
        source: CertificateError,
    },
    /// The certificate is expired or not valid yet.
    #[error("use secret {name}, key {file}: not valid now")]
    NotValid {
        /// Name of the Secret.
        name: String,
        /// The key in it that is wrong.
        file: &'static str,
    },
}

/// Serves the certificate of a Secret and follows its changes.
#[derive(Debug)]
pub struct FollowedSecret {
    store: SecretCertStore,
    name: String,
    writer: &'static str,
    clock: Clock,
    accepted: Accepted,
}

impl FollowedSecret {
    /// Serves nothing before the first read. `name` is that of the Secret, `writer` says in a log
    /// who writes it.
    pub fn new(store: SecretCertStore, name: &str, writer: &'static str, clock: Clock) -> Self {
        Self { store, name: name.to_owned(), writer, clock, accepted: Accepted::new() }
    }

    /// Opens `gate` while there is a valid certificate to serve.
    #[must_use]
    pub fn with_gate(mut self, gate: Gate) -> Self {
        self.accepted.set_gate(gate);
        self
    }

    /// The certificate that the listener serves.
    pub fn resolver(&self) -> Arc<CertResolver> {
        self.accepted.resolver()
    }

    /// Runs until `stop` is cancelled: reads the Secret at each change and each minute.
    pub async fn run(mut self, stop: CancellationToken) {
        let _ = stop.run_until_cancelled(self.follow()).await;
    }

    async fn follow(&mut self) {
        let (mut delays, mut last) = (BACKOFF.delays(), String::new());
        loop {
            let loaded = self.load().await;
            let problem = match &loaded {
                Ok(loaded) => self.offer(&loaded.files).err().map(|it| ErrorChain(&it).to_string()),
                Err(error) => Some(ErrorChain(error).to_string()),
            };
            let problem = problem.unwrap_or_default();
            self.accepted.update_readiness(self.clock.now());
            // Once, although each look at the Secret finds the same.
            if !problem.is_empty() && problem != last {
                tracing::warn!(error = problem, "waiting for the certificate");
            }
            last = problem;
            match loaded {
                Ok(loaded) => {
                    delays.reset();
                    tokio::select! {
                        () = tokio::time::sleep(POLL_INTERVAL) => {}
                        () = self.store.changed(&loaded) => {}
                    }
                }
                Err(_) => tokio::time::sleep(delays.next_delay()).await,
            }
        }
    }

    async fn load(&self) -> Result<Loaded, FollowError> {
        match tokio::time::timeout(READ_TIMEOUT, self.store.load()).await {
            Ok(loaded) => Ok(loaded?),
            Err(_) => Err(FollowError::Timeout { name: self.name.clone() }),
        }
    }

    fn offer(&mut self, all: &CertFiles) -> Result<(), FollowError> {
        let name = || self.name.clone();
        let mut files = CertFiles::default();
        for file in [CA_CERT, TLS_CERT, TLS_KEY] {
            files.insert(file, all.content(file).unwrap_or_default().to_vec().into());
        }
        if files.content(TLS_CERT).is_none() && files.content(TLS_KEY).is_none() {
            return Err(FollowError::Empty { name: name(), writer: self.writer });
        }
        match self.accepted.offer(files, self.clock.now()) {
            Ok(true) => tracing::info!(secret = self.name, "certificate loaded"),
            Ok(false) => {}
            Err(RefusedFile::CertKeyPair { file, source }) => {
                return Err(FollowError::CertKeyPair { name: name(), file, source });
            }
            Err(RefusedFile::Bundle { file, source }) => {
                return Err(FollowError::Bundle { name: name(), file, source });
            }
            Err(RefusedFile::NotValid { file }) => {
                return Err(FollowError::NotValid { name: name(), file });
            }
        }
        Ok(())
    }
}
