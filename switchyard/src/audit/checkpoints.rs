//! Signs the head of the audit log periodically and appends the checkpoint to a file outside the
//! database, out of reach of anyone who can write to the database.
//!
//! A new checkpoint must continue the log that was signed before. If it does not, the database was
//! truncated or rewritten: this is reported and nothing more is signed, because a new signature
//! would cover it up.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use audit::{Hash, KeyError, SigningKey};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::Ed25519KeyPair;
use jiff::Timestamp;
use runtime::logs::ErrorChain;
use tokio::time::Instant;
use zeroize::Zeroizing;

use super::checkpoint_file::{CheckpointFile, CheckpointFileError};
use crate::files::{self, Readers};
use crate::metrics::Metrics;
use crate::repository::{AuditQuery, Fence, Repository, RepositoryError};

/// How often the head of the audit log is read.
const POLL_INTERVAL: Duration = Duration::from_secs(1);

/// The signing key is not available.
#[derive(Debug, thiserror::Error)]
pub enum SigningKeyError {
    /// The key file could not be read or created.
    #[error("{step} signing key {path}")]
    File {
        /// The step that failed.
        step: &'static str,
        /// The key file.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },
    /// The file does not contain a valid key.
    #[error("read {path}")]
    Form {
        /// The key file.
        path: PathBuf,
        /// The cause.
        source: KeyError,
    },
    /// The system has no random numbers.
    #[error("generate signing key")]
    Random,
}

/// Reads the signing key, or creates it if the file does not exist.
///
/// # Errors
/// The key cannot be read, created or parsed.
pub(crate) fn signing_key(path: &Path) -> Result<SigningKey, SigningKeyError> {
    let failed = |step| move |source| SigningKeyError::File { step, path: path.to_owned(), source };
    files::make_private(path);
    let document = match std::fs::read(path) {
        Ok(document) => Zeroizing::new(document),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let made = Ed25519KeyPair::generate_pkcs8(&SystemRandom::new())
                .map_err(|_| SigningKeyError::Random)?;
            files::write(path, made.as_ref(), Readers::Owner).map_err(failed("create"))?;
            Zeroizing::new(made.as_ref().to_vec())
        }
        Err(source) => return Err(failed("read")(source)),
    };
    SigningKey::from_pkcs8(&document)
        .map_err(|source| SigningKeyError::Form { path: path.to_owned(), source })
}

/// Signs checkpoints and stores them.
#[derive(Clone, Debug)]
pub(crate) struct CheckpointSigner {
    repository: Repository,
    key: Arc<SigningKey>,
    file: CheckpointFile,
    schedule: CheckpointSchedule,
    metrics: Metrics,
}

/// A checkpoint is due after this time or this many events, whichever comes first.
#[derive(Clone, Copy, Debug)]
pub(crate) struct CheckpointSchedule {
    pub(crate) interval: Duration,
    pub(crate) events: u64,
}

#[derive(Debug, thiserror::Error)]
enum SignError {
    #[error(transparent)]
    Repository(#[from] RepositoryError),
    #[error(transparent)]
    File(#[from] CheckpointFileError),
    #[error(
        "sign checkpoint: the audit log does not continue from record {0}, which was signed \
            before; it \
         was truncated, rewritten or restored from a backup. No checkpoint is signed until the \
         checkpoint file is moved away"
    )]
    Broken(u64),
    #[error("access checkpoint file: the task failed")]
    Task,
}

impl CheckpointSigner {
    pub(crate) fn new(
        repository: Repository,
        key: Arc<SigningKey>,
        directory: PathBuf,
        schedule: CheckpointSchedule,
        metrics: Metrics,
    ) -> Self {
        let file = CheckpointFile::new(directory);
        files::report_if_wide(&file.path());
        Self { repository, key, file, schedule, metrics }
    }

    /// Runs while this replica holds the lease.
    pub(crate) async fn run(self, fence: Fence) {
        tracing::info!(key = self.key.public().id(), file = %self.file.path().display(), "signing \
            audit checkpoints");
        // Sign immediately, to cover events from the time nobody signed.
        let (mut due, mut signed, mut reported) = (Instant::now(), 0, false);
        loop {
            match self.sign_if_due(&fence, &mut due, &mut signed).await {
                Ok(()) => {
                    self.metrics.audit_log_broken(false);
                    reported = false;
                }
                Err(error) => {
                    self.metrics.audit_log_broken(matches!(error, SignError::Broken(_)));
                    if !reported {
                        tracing::error!(error = %ErrorChain(&error), "no checkpoint signed");
                    }
                    reported = true;
                }
            }
            tokio::time::sleep(POLL_INTERVAL).await;
        }
    }

    /// Signs a final checkpoint at shutdown, for the events since the last one.
    pub(crate) async fn sign_final(self, fence: Fence) {
        if let Err(error) = self.sign_if_due(&fence, &mut Instant::now(), &mut 0).await {
            tracing::error!(error = %ErrorChain(&error), "no checkpoint signed at shutdown");
        }
    }

    async fn sign_if_due(
        &self,
        fence: &Fence,
        due: &mut Instant,
        signed: &mut u64,
    ) -> Result<(), SignError> {
        let (sequence, hash) = self.repository.audit_head().await?;
        if Instant::now() < *due
            && sequence.saturating_sub(*signed) < self.schedule.events
            && sequence >= *signed
        {
            return Ok(());
        }
        let file = self.file.clone();
        let last = blocking(move || file.last()).await?;
        if let Some(last) = &last {
            if !self.continues_from(last.sequence, &last.hash, sequence).await? {
                return Err(SignError::Broken(last.sequence));
            }
            *signed = last.sequence;
        }
        *due = Instant::now() + self.schedule.interval;
        if sequence == *signed {
            return Ok(());
        }
        let checkpoint = self.key.sign(sequence, hash, Timestamp::now());
        let (file, placed) = (self.file.clone(), checkpoint.clone());
        blocking(move || file.append(&placed)).await?;
        *signed = sequence;
        self.repository.store_checkpoint(fence, &checkpoint, Timestamp::now()).await?;
        self.metrics.checkpoint_signed(sequence);
        Ok(())
    }

    /// Whether the log with this head still contains the record that was signed.
    async fn continues_from(
        &self,
        sequence: u64,
        hash: &Hash,
        head: u64,
    ) -> Result<bool, RepositoryError> {
        if sequence == 0 || head < sequence {
            return Ok(sequence == 0);
        }
        let query = AuditQuery { after: sequence - 1, limit: 1, ..AuditQuery::default() };
        let records = self.repository.audit(&query).await?;
        Ok(records
            .first()
            .is_some_and(|record| record.sequence == sequence && record.hash == *hash))
    }
}

/// Runs file operations on the blocking pool.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, CheckpointFileError> + Send + 'static,
) -> Result<T, SignError> {
    match tokio::task::spawn_blocking(work).await {
        Ok(done) => Ok(done?),
        Err(_) => Err(SignError::Task),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn the_key_is_created_once_and_readable_by_its_owner_only() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("deep/audit-key");
        let key = signing_key(&path).unwrap();
        assert_eq!(signing_key(&path).unwrap().public(), key.public());
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        std::fs::File::create(&path).unwrap();
        assert!(matches!(signing_key(&path), Err(SigningKeyError::Form { .. })));
    }
}
