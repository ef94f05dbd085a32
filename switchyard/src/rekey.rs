//! Rekeying: re-encrypts stored values under the current key. Requested through the API and run in
//! batches by the replica that holds the lease.
//!
//! The job is stored in the database, and each value's row names its key. A killed process resumes
//! when it restarts, and every replica can report progress.

use std::sync::Arc;
use std::time::Duration;

use contract::api;
use lockbox::embedded::{RekeyProgress, RewrapCursor};
use lockbox::key::KeyId;
use lockbox::{Embedded, StoreError};
use runtime::backoff::Backoff;
use runtime::logs::ErrorChain;
use serde::{Deserialize, Serialize};
use tokio::sync::Notify;
use tokio::time::{sleep, timeout};

use crate::audit::{
    Action, Actor, AuditError, AuditLog, Event, Origin, Outcome, Resource, ResourceKind,
};
use crate::repository::{ChangeError, Fence, Repository, RepositoryError};
use crate::secrets::Caller;

/// The setting that stores the job.
const JOB_SETTING: &str = "rekey";

/// How often the leader polls for a job requested at another replica.
const POLL_INTERVAL: Duration = Duration::from_secs(2);

/// The maximum number of undecryptable values named in the status. The log names all.
const MAX_NAMED: usize = 20;

/// The rekey service. Clones share its state.
#[derive(Clone)]
pub(crate) struct Rekey {
    store: Arc<Embedded>,
    repository: Repository,
    audit: AuditLog,
    requested: Arc<Notify>,
}

/// A rekey job and its progress, as stored in the setting.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct RekeyJob {
    running: bool,
    done: u64,
    failures: u64,
    /// The first values that could not be decrypted.
    failed: Vec<String>,
    /// Why the job is blocked or incomplete.
    error: Option<String>,
}

/// Why rekeying, or reading its status, failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RekeyError {
    /// The store failed, or its key is not available.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The job could not be read.
    #[error(transparent)]
    Repository(#[from] RepositoryError),
    /// The job could not be stored, or another replica holds the lease.
    #[error(transparent)]
    Change(#[from] ChangeError),
    /// The audit event could not be written.
    #[error(transparent)]
    Audit(#[from] AuditError),
    /// The stored job is malformed.
    #[error("parse rekey job")]
    Form(#[from] serde_json::Error),
}

impl Rekey {
    pub(crate) fn new(store: Arc<Embedded>, repository: Repository, audit: AuditLog) -> Self {
        Self { store, repository, audit, requested: Arc::default() }
    }

    /// The current status.
    pub(crate) async fn status(&self) -> Result<api::Rekey, RekeyError> {
        let current = self.store.current_key().await?;
        let RekeyProgress { total, remaining } = self.store.rekey_progress(&current).await?;
        let RekeyJob { running, done, error, .. } = self.job().await?;
        Ok(api::Rekey { running, current_key: current.to_string(), remaining, done, total, error })
    }

    /// Requests a job, unless one is running. The audit event is written first.
    pub(crate) async fn start(&self, caller: &Caller) -> Result<api::Rekey, RekeyError> {
        let status = self.status().await?;
        if status.running {
            return Ok(status);
        }
        let requester = (caller.actor.clone(), caller.origin.clone());
        self.audit
            .record(event(requester, status.current_key, Outcome::Allowed, "asked for".to_owned()))
            .await?;
        self.save(&RekeyJob { running: true, ..RekeyJob::default() }, None).await?;
        self.requested.notify_one();
        self.status().await
    }

    /// Runs requested jobs while this replica holds the lease.
    pub(crate) async fn run(self, fence: Fence) {
        let mut delays = Backoff::NETWORK.delays();
        loop {
            match self.run_job(&fence).await {
                Ok(()) => {
                    delays.reset();
                    // A job requested at another replica is found by polling.
                    let _ = timeout(POLL_INTERVAL, self.requested.notified()).await;
                }
                Err(RekeyError::Change(ChangeError::Fenced(_))) => return,
                Err(error) => {
                    tracing::warn!(error = %ErrorChain(&error), "rekey, will retry");
                    self.record_error(&error, &fence).await;
                    sleep(delays.next_delay()).await;
                }
            }
        }
    }

    /// Rewraps all rows once, and again if the current key changes meanwhile.
    async fn run_job(&self, fence: &Fence) -> Result<(), RekeyError> {
        let mut job = self.job().await?;
        if !job.running {
            return Ok(());
        }
        let mut current = self.store.current_key().await?;
        tracing::info!(key = %current, "rekey started");
        (job.failures, job.failed, job.error) = (0, Vec::new(), None);
        let mut from = RewrapCursor::default();
        loop {
            let batch = self.store.rewrap(&current, from).await?;
            job.note(batch.done, batch.failed);
            if let Some(next) = batch.next {
                from = next;
            } else {
                let now = self.store.current_key().await?;
                if now == current {
                    break;
                }
                (job.failures, job.failed) = (0, Vec::new());
                (current, from) = (now, RewrapCursor::default());
            }
            self.save(&job, Some(fence)).await?;
        }
        self.finish(job, current, fence).await
    }

    async fn finish(
        &self,
        mut job: RekeyJob,
        current: KeyId,
        fence: &Fence,
    ) -> Result<(), RekeyError> {
        let outcome = if job.failures == 0 { Outcome::Allowed } else { Outcome::Failed };
        let text = format!("{} values came under the key, {} do not open", job.done, job.failures);
        let system = (Actor::System { part: "rekey" }, Origin::default());
        self.audit.record(event(system, current.to_string(), outcome, text)).await?;
        tracing::info!(key = %current, done = job.done, failures = job.failures, "rekey finished");
        job.running = false;
        job.error = job.summary();
        self.save(&job, Some(fence)).await
    }

    /// Stores why the job is blocked, for its status.
    async fn record_error(&self, error: &RekeyError, fence: &Fence) {
        let Ok(mut job) = self.job().await else { return };
        job.error = Some(ErrorChain(error).to_string());
        if let Err(error) = self.save(&job, Some(fence)).await {
            tracing::info!(error = %ErrorChain(&error), "rekey error not stored");
        }
    }

    async fn job(&self) -> Result<RekeyJob, RekeyError> {
        let text = self.repository.setting(JOB_SETTING).await?;
        Ok(text.map(|text| serde_json::from_str(&text)).transpose()?.unwrap_or_default())
    }

    async fn save(&self, job: &RekeyJob, fence: Option<&Fence>) -> Result<(), RekeyError> {
        Ok(self.repository.set_setting(JOB_SETTING, serde_json::to_string(job)?, fence).await?)
    }
}

impl RekeyJob {
    fn note(&mut self, done: u64, failed: Vec<String>) {
        self.done += done;
        self.failures += failed.len() as u64;
        for row in failed {
            tracing::error!(row, "value cannot be decrypted and stays under its key");
            if self.failed.len() < MAX_NAMED {
                self.failed.push(row);
            }
        }
    }

    /// Describes the values that could not be rewrapped.
    fn summary(&self) -> Option<String> {
        let more = self.failures - self.failed.len() as u64;
        let more = if more == 0 {
            String::new()
        } else {
            format!("; and {more} more, which the log names")
        };
        (self.failures > 0).then(|| {
            format!(
                "{} values do not open and stay as they are: {}{more}",
                self.failures,
                self.failed.join("; ")
            )
        })
    }
}

fn event(
    (actor, origin): (Actor, Origin),
    key: String,
    outcome: Outcome,
    details: String,
) -> Event {
    Event {
        actor,
        action: Action::Rekey,
        resource: Resource { kind: ResourceKind::Key, id: key, scope: None },
        version: None,
        outcome,
        origin,
        details: Some(details),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn undecryptable_values_are_listed_up_to_a_limit() {
        let mut job = RekeyJob::default();
        assert_eq!(job.summary(), None);
        job.note(5, vec!["one".to_owned()]);
        job.note(2, Vec::new());
        assert_eq!(
            (job.done, job.summary().unwrap().as_str()),
            (7, "1 values do not open and stay as they are: one")
        );
        job.note(0, (0..30).map(|at| at.to_string()).collect());
        let text = job.summary().unwrap();
        assert!(
            text.starts_with("31 values")
                && text.ends_with("; 18; and 11 more, which the log names"),
            "{text}"
        );
    }
}
