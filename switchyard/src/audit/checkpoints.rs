//! Signs the end of the trail now and then, and puts it where whoever can write to the database
//! cannot.
//!
//! What is signed must lead on from what was signed before. Where it does not, the database was cut
//! back or written anew: that is told and nothing more is signed, since a signature would cover it
//! up.

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

use super::place::{Place, PlaceError};
use crate::files::{Readers, publish};
use crate::metrics::Metrics;
use crate::repository::{AuditQuery, Fence, Repository, RepositoryError};

/// How often the end of the trail is looked at.
const EVERY: Duration = Duration::from_secs(1);

/// The key that signs cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum SigningKeyError {
    /// The file cannot be read or made.
    #[error("{step} signing key {path}")]
    File {
        /// What was being done.
        step: &'static str,
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// What it holds is no key.
    #[error("read {path}")]
    Form {
        /// The file.
        path: PathBuf,
        /// Why.
        source: KeyError,
    },
    /// There is no randomness.
    #[error("make signing key")]
    Random,
}

/// Reads the key, and makes it where there is none.
///
/// # Errors
/// Where it cannot be read, made or understood.
pub(crate) fn signing_key(path: &Path) -> Result<SigningKey, SigningKeyError> {
    let failed = |step| move |source| SigningKeyError::File { step, path: path.to_owned(), source };
    let document = match std::fs::read(path) {
        Ok(document) => Zeroizing::new(document),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let made = Ed25519KeyPair::generate_pkcs8(&SystemRandom::new())
                .map_err(|_| SigningKeyError::Random)?;
            publish(path, made.as_ref(), Readers::Owner).map_err(failed("make"))?;
            Zeroizing::new(made.as_ref().to_vec())
        }
        Err(source) => return Err(failed("read")(source)),
    };
    SigningKey::from_pkcs8(&document)
        .map_err(|source| SigningKeyError::Form { path: path.to_owned(), source })
}

/// Signs and places.
#[derive(Clone, Debug)]
pub(crate) struct Notary {
    repository: Repository,
    key: Arc<SigningKey>,
    place: Place,
    pace: Pace,
    metrics: Metrics,
}

/// When the next checkpoint is due.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pace {
    pub(crate) interval: Duration,
    pub(crate) events: u64,
}

#[derive(Debug, thiserror::Error)]
enum NotaryError {
    #[error(transparent)]
    Repository(#[from] RepositoryError),
    #[error(transparent)]
    Place(#[from] PlaceError),
    #[error(
        "the audit trail does not lead on from record {0}, which was signed before: it was cut off, rewritten or restored from a backup. No checkpoint is signed until the file of checkpoints is moved away"
    )]
    Broken(u64),
    #[error("the disk did not answer")]
    Gone,
}

impl Notary {
    pub(crate) fn new(
        repository: Repository,
        key: Arc<SigningKey>,
        directory: PathBuf,
        pace: Pace,
        metrics: Metrics,
    ) -> Self {
        Self { repository, key, place: Place::new(directory), pace, metrics }
    }

    /// Works for as long as this replica leads.
    pub(crate) async fn work(self, fence: Fence) {
        tracing::info!(key = self.key.public().id(), file = %self.place.path().display(), "checkpoints of the audit trail are signed");
        // The first one comes at once: what happened while nobody signed is signed for.
        let (mut due, mut signed, mut told) = (Instant::now(), 0, false);
        loop {
            match self.sign_if_due(&fence, &mut due, &mut signed).await {
                Ok(()) => {
                    self.metrics.trail_broken(false);
                    told = false;
                }
                Err(error) => {
                    self.metrics.trail_broken(matches!(error, NotaryError::Broken(_)));
                    if !told {
                        tracing::error!(error = %ErrorChain(&error), "no checkpoint signed");
                    }
                    told = true;
                }
            }
            tokio::time::sleep(EVERY).await;
        }
    }

    /// The last word of a process that ends: what happened since the last checkpoint is signed for.
    pub(crate) async fn conclude(self, fence: Fence) {
        if let Err(error) = self.sign_if_due(&fence, &mut Instant::now(), &mut 0).await {
            tracing::error!(error = %ErrorChain(&error), "no checkpoint signed at the end");
        }
    }

    async fn sign_if_due(
        &self,
        fence: &Fence,
        due: &mut Instant,
        signed: &mut u64,
    ) -> Result<(), NotaryError> {
        let (sequence, hash) = self.repository.trail_head().await?;
        if Instant::now() < *due
            && sequence.saturating_sub(*signed) < self.pace.events
            && sequence >= *signed
        {
            return Ok(());
        }
        let place = self.place.clone();
        let last = off(move || place.last()).await?;
        if let Some(last) = &last {
            if !self.leads_on(last.sequence, &last.hash, sequence).await? {
                return Err(NotaryError::Broken(last.sequence));
            }
            *signed = last.sequence;
        }
        *due = Instant::now() + self.pace.interval;
        if sequence == *signed {
            return Ok(());
        }
        let checkpoint = self.key.sign(sequence, hash, Timestamp::now());
        let (place, placed) = (self.place.clone(), checkpoint.clone());
        off(move || place.put(&placed)).await?;
        *signed = sequence;
        self.repository.keep_checkpoint(fence, &checkpoint, Timestamp::now()).await?;
        self.metrics.signed(sequence);
        Ok(())
    }

    /// Whether the trail that ends at `head` still has the record that was signed.
    async fn leads_on(
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

/// Waits for a disk on a thread of its own.
async fn off<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, PlaceError> + Send + 'static,
) -> Result<T, NotaryError> {
    match tokio::task::spawn_blocking(work).await {
        Ok(done) => Ok(done?),
        Err(_) => Err(NotaryError::Gone),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn the_key_is_made_once_and_nobody_else_reads_it() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("deep/audit-key");
        let key = signing_key(&path).unwrap();
        assert_eq!(signing_key(&path).unwrap().public(), key.public());
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        std::fs::File::create(&path).unwrap();
        assert!(matches!(signing_key(&path), Err(SigningKeyError::Form { .. })));
    }
}
