//! The change of the key that values are sealed under: asked for through the API, done in the
//! background by the replica that leads it, a batch at a time.
//!
//! That it was asked for is in the database, and which values are left is in their rows. So a
//! process that is killed in the middle goes on when it starts again, and every replica can say how
//! far it is.

use std::sync::Arc;
use std::time::Duration;

use contract::api;
use lockbox::embedded::{Position, Standing};
use lockbox::key::KeyId;
use lockbox::{Embedded, StoreError};
use runtime::backoff::{Backoff, random};
use runtime::logs::ErrorChain;
use serde::{Deserialize, Serialize};
use tokio::sync::Notify;
use tokio::time::{sleep, timeout};

use crate::audit::{
    Action, Actor, AuditError, AuditLog, Event, Origin, Outcome, Resource, ResourceKind,
};
use crate::repository::{ChangeError, Fence, Repository, RepositoryError};
use crate::secrets::Caller;

/// The setting that the job is kept in.
const JOB_SETTING: &str = "rekey";

/// How often the leader looks for an job that another replica took.
const POLL_INTERVAL: Duration = Duration::from_secs(2);

/// So many rows that do not open are named in the answer; the log names all.
const MAX_NAMED: usize = 20;

/// Everything that the change of the key touches. Clones share it.
#[derive(Clone)]
pub(crate) struct Rekey {
    store: Arc<Embedded>,
    repository: Repository,
    audit: AuditLog,
    requested: Arc<Notify>,
}

/// What was requested, and how far it is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct RekeyJob {
    running: bool,
    done: u64,
    failures: u64,
    /// The first rows that did not open.
    failed: Vec<String>,
    /// What keeps it from going on, or kept it from doing all.
    error: Option<String>,
}

/// Why the key cannot be changed, or cannot be said how far it is.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RekeyError {
    /// The store, or its key.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The job could not be read.
    #[error(transparent)]
    Repository(#[from] RepositoryError),
    /// The job could not be written, or another replica leads now.
    #[error(transparent)]
    Change(#[from] ChangeError),
    /// The audit trail could not be written.
    #[error(transparent)]
    Audit(#[from] AuditError),
    /// An job that nothing of ours wrote.
    #[error("read the job to change the key")]
    Form(#[from] serde_json::Error),
}

impl Rekey {
    pub(crate) fn new(store: Arc<Embedded>, repository: Repository, audit: AuditLog) -> Self {
        Self { store, repository, audit, requested: Arc::default() }
    }

    /// How far it is.
    pub(crate) async fn status(&self) -> Result<api::Rekey, RekeyError> {
        let current = self.store.current_key().await?;
        let Standing { total, remaining } = self.store.standing(&current).await?;
        let RekeyJob { running, done, error, .. } = self.job().await?;
        Ok(api::Rekey { running, current_key: current.to_string(), remaining, done, total, error })
    }

    /// Orders it, unless it is under way. That it was asked for is in the audit trail first.
    pub(crate) async fn start(&self, caller: &Caller) -> Result<api::Rekey, RekeyError> {
        let status = self.status().await?;
        if status.running {
            return Ok(status);
        }
        let asked = (caller.actor.clone(), caller.origin.clone());
        self.audit
            .record(event(asked, status.current_key, Outcome::Allowed, "asked for".to_owned()))
            .await?;
        self.save(&RekeyJob { running: true, ..RekeyJob::default() }, None).await?;
        self.requested.notify_one();
        self.status().await
    }

    /// Does what is requested, for as long as this replica leads.
    pub(crate) async fn run(self, fence: Fence) {
        let mut failures = 0;
        loop {
            let rest = match self.run_job(&fence).await {
                Ok(()) => {
                    failures = 0;
                    POLL_INTERVAL
                }
                Err(RekeyError::Change(ChangeError::Fenced(_))) => return,
                Err(error) => {
                    tracing::warn!(error = %ErrorChain(&error), "change the key, will be tried again");
                    self.record_error(&error, &fence).await;
                    failures += 1;
                    Backoff::NETWORK.delay(failures, random())
                }
            };
            if failures == 0 {
                // An job of another replica's is found by looking.
                let _ = timeout(rest, self.requested.notified()).await;
            } else {
                sleep(rest).await;
            }
        }
    }

    /// Goes through all rows once for an job, and again where the current key got another version
    /// meanwhile.
    async fn run_job(&self, fence: &Fence) -> Result<(), RekeyError> {
        let mut job = self.job().await?;
        if !job.running {
            return Ok(());
        }
        let mut current = self.store.current_key().await?;
        tracing::info!(key = %current, "values come under the current key");
        (job.failures, job.failed, job.error) = (0, Vec::new(), None);
        let mut from = Position::default();
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
                (current, from) = (now, Position::default());
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
        tracing::info!(key = %current, done = job.done, failures = job.failures, "values are under the current key");
        job.running = false;
        job.error = job.summary();
        self.save(&job, Some(fence)).await
    }

    /// Lets whoever asks how far it is know why it does not go on.
    async fn record_error(&self, error: &RekeyError, fence: &Fence) {
        let Ok(mut job) = self.job().await else { return };
        job.error = Some(ErrorChain(error).to_string());
        if let Err(error) = self.save(&job, Some(fence)).await {
            tracing::info!(error = %ErrorChain(&error), "what keeps the key from changing not written down");
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
            tracing::error!(row, "value does not open, and stays under its key");
            if self.failed.len() < MAX_NAMED {
                self.failed.push(row);
            }
        }
    }

    /// What is left undone, in words.
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
    fn what_is_left_undone_is_named_and_bounded() {
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
