//! Certificates that somebody else issues: `tls.crt`, `tls.key` and `ca.crt` in a directory, as
//! cert-manager and Kubernetes put them there. Bad files are refused, and the last good ones stay
//! in use.

use std::fs;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use runtime::logs::ErrorChain;
use runtime::readiness::Gate;
use runtime::watch::{Depth, DirectoryWatch, PollIntervals};

use crate::accepted::{Accepted, RefusedFile};
use crate::bundle::TrustBundle;
use crate::cert_key_pair::CertKeyPairError;
use crate::certificate::CertificateError;
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

impl FilesError {
    fn new(directory: &Path, refusal: RefusedFile) -> Self {
        match refusal {
            RefusedFile::CertKeyPair { file, source } => {
                Self::CertKeyPair { path: directory.join(file), source }
            }
            RefusedFile::Bundle { file, source } => {
                Self::Bundle { path: directory.join(file), source }
            }
            RefusedFile::NotValid { file } => Self::NotValid { path: directory.join(file) },
        }
    }
}

/// Serves the certificate files of a directory and follows their changes.
#[derive(Debug)]
pub struct FileCertificates {
    directory: PathBuf,
    clock: Clock,
    accepted: Accepted,
}

impl FileCertificates {
    /// Serves nothing before the first [`FileCertificates::reload`].
    pub fn new<P: Into<PathBuf>>(directory: P, clock: Clock) -> Self {
        Self { directory: directory.into(), clock, accepted: Accepted::new() }
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

    /// The CAs of `ca.crt`; empty while there is no such file.
    pub fn bundle(&self) -> watch::Receiver<TrustBundle> {
        self.accepted.bundle()
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
            self.accepted.update_readiness(self.clock.now());
            watch.changed().await;
        }
    }

    /// Reads the files and serves them when they are new and good. Returns whether they were.
    ///
    /// # Errors
    /// When they are new and cannot be used; the last good ones are still served. Files that stay
    /// bad are an error once; files that are missing or not valid yet are one each time.
    pub fn reload(&mut self) -> Result<bool, FilesError> {
        let files = self.read()?;
        let offered = self.accepted.offer(files, self.clock.now());
        let is_new = offered.map_err(|refusal| FilesError::new(&self.directory, refusal))?;
        if is_new {
            tracing::info!(directory = %self.directory.display(), "certificate files loaded");
        }
        Ok(is_new)
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
}
