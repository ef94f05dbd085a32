//! Certificates that somebody else issues: `tls.crt`, `tls.key` and `ca.crt` in a directory, as
//! cert-manager and Kubernetes put them there. Bad files are refused, and the last good ones stay
//! in use.

use std::fs;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use runtime::logs::ErrorChain;
use runtime::readiness::Gate;
use runtime::watch::{Depth, DirectoryWatch, PollIntervals};

use crate::bundle::TrustBundle;
use crate::cert_key_pair::{CertKeyPair, CertKeyPairError};
use crate::certificate::{Certificate, CertificateError};
use crate::clock::Clock;
use crate::resolver::CertResolver;
use crate::state::{CA_CERT, CertFiles, TLS_CERT, TLS_KEY};

/// The files are compared this often whatever the watch says, because a watch can be lost without
/// an error.
const POLL: PollIntervals =
    PollIntervals { watched: Duration::from_secs(60), unwatched: Duration::from_secs(5) };

/// Why the files were refused. The certificate that was served before is still served.
#[derive(Debug, thiserror::Error)]
pub enum FilesError {
    /// A file cannot be read.
    #[error("read {path}")]
    Read {
        /// The file.
        path: PathBuf,
        /// The system's error.
        source: io::Error,
    },
    /// A certificate or key is unreadable or does not match the other.
    #[error("use {path}")]
    CertKeyPair {
        /// The file that is wrong.
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

/// Serves the certificate files of a directory and follows their changes.
#[derive(Debug)]
pub struct FileCertificates {
    directory: PathBuf,
    clock: Clock,
    resolver: Arc<CertResolver>,
    bundle: watch::Sender<TrustBundle>,
    gate: Option<Gate>,
    // The last files read, good or bad: bad ones are reported once and not every minute.
    tried: CertFiles,
    served: Option<CertKeyPair>,
}

impl FileCertificates {
    /// Serves nothing before the first [`FileCertificates::reload`].
    pub fn new<P: Into<PathBuf>>(directory: P, clock: Clock) -> Self {
        Self {
            directory: directory.into(),
            clock,
            resolver: CertResolver::new(),
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

    /// The certificate that the listener serves.
    pub fn resolver(&self) -> Arc<CertResolver> {
        Arc::clone(&self.resolver)
    }

    /// The CAs of `ca.crt`; empty while there is no such file.
    pub fn bundle(&self) -> watch::Receiver<TrustBundle> {
        self.bundle.subscribe()
    }

    /// Runs until `stop` is cancelled: reloads at each change of the directory and each minute.
    pub async fn run(mut self, stop: CancellationToken) {
        let _ = stop.run_until_cancelled(self.follow()).await;
    }

    async fn follow(&mut self) {
        loop {
            // A new watch each time, before reading: the directory may have been replaced.
            let watch = DirectoryWatch::new(&self.directory, Depth::Entries, POLL);
            if let Err(error) = self.reload() {
                tracing::warn!(error = %ErrorChain(&error), "certificate files refused");
            }
            self.update_readiness(self.clock.now());
            watch.changed().await;
        }
    }

    /// Reads the files and serves them when they are new and good. Returns whether they were.
    ///
    /// # Errors
    /// When they are new and cannot be used; the last good ones are still served. Files that stay
    /// bad are an error once; files that are missing or not valid yet are one each time.
    pub fn reload(&mut self) -> Result<bool, FilesError> {
        let now = self.clock.now();
        let files = self.read()?;
        if files == self.tried {
            return Ok(false);
        }
        let pair = self.check(&files, now);
        // A certificate that is not valid yet will be, so this refusal is not remembered.
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
        tracing::info!(directory = %self.directory.display(), "certificate files loaded");
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
