//! The jobs that take the audit trail out of the database, as far as the operator asked for them.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use runtime::tasks::Tasks;

use super::ServeError;
use crate::args::AuditArgs;
use crate::audit::{CheckpointSchedule, CheckpointSigner, Exporter, read_sinks, signing_key};
use crate::metrics::Metrics;
use crate::replicas::LeaderElector;
use crate::repository::Repository;

/// The lease of whoever signs.
const CHECKPOINT_LEASE: &str = "audit checkpoints";

/// What is left to do when everything else has ended.
pub(super) struct FinalCheckpoint {
    signer: CheckpointSigner,
    leader: LeaderElector,
    repository: Repository,
}

/// What the others need to know of it.
#[derive(Default)]
pub(super) struct AuditJobs {
    /// The public key that checkpoints are signed with, as PEM, where they are.
    pub(super) public_key: Option<String>,
    pub(super) final_checkpoint: Option<FinalCheckpoint>,
}

impl FinalCheckpoint {
    /// Signs for what happened since the last checkpoint, unless another replica leads now: then
    /// that one does.
    pub(super) async fn sign(self) {
        let Self { signer, leader, repository } = self;
        // What could not be flushed may not be there tomorrow, and is not to be signed.
        if !repository.is_lost() {
            leader.lead_once(CHECKPOINT_LEASE, |fence| signer.sign_final(fence)).await;
        }
    }
}

/// Starts them.
pub(super) fn start(
    args: &AuditArgs,
    data: &Path,
    repository: &Repository,
    leader: &LeaderElector,
    metrics: &Metrics,
    tasks: &Tasks,
) -> Result<AuditJobs, ServeError> {
    let AuditArgs {
        audit_checkpoint_directory,
        audit_checkpoint_interval,
        audit_checkpoint_events,
        audit_signing_key_file,
        audit_sinks,
    } = args;
    if let Some(file) = audit_sinks {
        let exporter = Exporter::new(repository.clone(), read_sinks(file)?, metrics.clone());
        leader.lead("audit export", tasks, move |fence| exporter.clone().run(fence));
    }
    let Some(directory) = audit_checkpoint_directory else { return Ok(AuditJobs::default()) };
    let key = Arc::new(signing_key(
        &audit_signing_key_file.clone().unwrap_or_else(|| data.join("audit-key")),
    )?);
    let public_key = Some(key.public().to_pem());
    let pace = CheckpointSchedule {
        interval: Duration::from_secs(*audit_checkpoint_interval),
        events: *audit_checkpoint_events,
    };
    let signer =
        CheckpointSigner::new(repository.clone(), key, directory.clone(), pace, metrics.clone());
    let final_checkpoint = Some(FinalCheckpoint {
        signer: signer.clone(),
        leader: leader.clone(),
        repository: repository.clone(),
    });
    leader.lead(CHECKPOINT_LEASE, tasks, move |fence| signer.clone().run(fence));
    Ok(AuditJobs { public_key, final_checkpoint })
}
