//! Certificates that somebody else makes: `tls.crt`, `tls.key` and `ca.crt` in a directory, as
//! cert-manager and Kubernetes put them there. A pair that is bad is refused and the last good
//! stays.

use std::fs;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use runtime::logs::ErrorChain;
use runtime::readiness::Gate;

use crate::bundle::TrustBundle;
use crate::cert_key_pair::{CertKeyPair, CertKeyPairError};
use crate::certificate::{Certificate, CertificateError};
use crate::clock::Clock;
use crate::resolver::Resolver;
use crate::state::{CA_CERT, CertFiles, TLS_CERT, TLS_KEY};
use crate::watch::DirectoryWatch;

/// Whatever the watch says, the bytes are compared this often: a watch can be lost without a word.
const POLL: Duration = Duration::from_secs(60);

/// Why the files were not taken. What was served before is still served.
#[derive(Debug, thiserror::Error)]
pub enum FilesError {
    /// A file cannot be read.
    #[error("read {path}")]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// A certificate or key is unreadable or does not fit the other.
    #[error("use {path}")]
    CertKeyPair {
        /// The file to look at.
        path: PathBuf,
        /// What is wrong with it.
        source: CertKeyPairError,
    },
    /// The CA bundle is unreadable.
    #[error("use {path}")]
    Bundle {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: CertificateError,
    },
    /// The certificate is expired or not valid yet.
    #[error("use {path}: not valid now")]
    NotValid {
        /// The file.
        path: PathBuf,
    },
}

/// Follows certificate files.
#[derive(Debug)]
pub struct FileCertificates {
    directory: PathBuf,
    clock: Clock,
    resolver: Arc<Resolver>,
    bundle: watch::Sender<TrustBundle>,
    gate: Option<Gate>,
    // What was last tried, good or bad: a bad pair is reported once and not every minute.
    tried: CertFiles,
    served: Option<CertKeyPair>,
}

impl FileCertificates {
    /// Serves nothing before the first [`FileCertificates::step`].
    pub fn new<P: Into<PathBuf>>(directory: P, clock: Clock) -> Self {
        Self {
            directory: directory.into(),
            clock,
            resolver: Resolver::new(),
            bundle: watch::Sender::new(TrustBundle::default()),
            gate: None,
            tried: CertFiles::default(),
            served: None,
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

    /// The content of `ca.crt`; stays empty when there is no such file.
    pub fn bundle(&self) -> watch::Receiver<TrustBundle> {
        self.bundle.subscribe()
    }

    /// Runs until `stop` is cancelled: a step at each change of the directory and each minute.
    pub async fn run(mut self, stop: CancellationToken) {
        let _ = stop.run_until_cancelled(self.follow()).await;
    }

    async fn follow(&mut self) {
        loop {
            // Anew each time, before the look: the directory may have been replaced by another.
            let watch = DirectoryWatch::new(&self.directory);
            if let Err(error) = self.step() {
                tracing::warn!(error = %ErrorChain(&error), "certificate files refused");
            }
            self.update_readiness(self.clock.now());
            let poll_interval = tokio::time::sleep(POLL);
            match watch {
                Ok(watch) => tokio::select! {
                    () = watch.changed() => {}
                    () = poll_interval => {}
                },
                Err(error) => {
                    tracing::debug!(%error, directory = %self.directory.display(), "watch");
                    tokio::time::sleep(POLL / 12).await;
                }
            }
        }
    }

    /// Reads the files and takes them when they are new and good. Returns whether they were.
    ///
    /// # Errors
    /// When they are new and cannot be used; the last good pair is still served. CertFiles that stay
    /// bad are an error once, those that are missing or not valid at this time each time.
    pub fn step(&mut self) -> Result<bool, FilesError> {
        let now = self.clock.now();
        let files = self.read()?;
        if files == self.tried {
            return Ok(false);
        }
        let pair = self.check(&files, now);
        // A certificate of tomorrow is good tomorrow, so that refusal is not remembered.
        if !matches!(pair, Err(FilesError::NotValid { .. })) {
            self.tried = files.clone();
        }
        let pair = pair?;
        let bundle = match files.content(CA_CERT) {
            Some(text) => {
                let path = self.directory.join(CA_CERT);
                let read = Certificate::from_pem(text);
                TrustBundle::new(&read.map_err(|source| FilesError::Bundle { path, source })?)
            }
            None => TrustBundle::default(),
        };
        self.bundle.send_if_modified(|published| {
            let differs = *published != bundle;
            *published = bundle;
            differs
        });
        self.resolver.swap(&pair).map_err(|source| self.refused(source))?;
        self.served = Some(pair);
        self.update_readiness(now);
        tracing::info!(directory = %self.directory.display(), "certificate files taken");
        Ok(true)
    }

    fn read(&self) -> Result<CertFiles, FilesError> {
        let mut files = CertFiles::default();
        for name in [CA_CERT, TLS_CERT, TLS_KEY] {
            let path = self.directory.join(name);
            match fs::read(&path) {
                Ok(content) => files.insert(name, content.into()),
                Err(error) if name == CA_CERT && error.kind() == ErrorKind::NotFound => {}
                Err(source) => return Err(FilesError::Read { path, source }),
            }
        }
        Ok(files)
    }

    fn check(&self, files: &CertFiles, now: SystemTime) -> Result<CertKeyPair, FilesError> {
        let content = |name| files.content(name).unwrap_or_default();
        let pair = CertKeyPair::from_pem(content(TLS_CERT), content(TLS_KEY));
        let pair = pair.map_err(|source| self.refused(source))?;
        if pair.certificate().validity().contains(now) {
            Ok(pair)
        } else {
            let path = self.directory.join(TLS_CERT);
            Err(FilesError::NotValid { path })
        }
    }

    fn refused(&self, source: CertKeyPairError) -> FilesError {
        let name = match source {
            CertKeyPairError::Certificate(_) => TLS_CERT,
            CertKeyPairError::Key | CertKeyPairError::Mismatch => TLS_KEY,
        };
        let path = Path::join(&self.directory, name);
        FilesError::CertKeyPair { path, source }
    }

    fn update_readiness(&self, now: SystemTime) {
        let Some(gate) = &self.gate else { return };
        let served = self.served.as_ref();
        if served.is_some_and(|pair| pair.certificate().validity().contains(now)) {
            gate.ready();
        } else {
            gate.not_ready();
        }
    }
}
