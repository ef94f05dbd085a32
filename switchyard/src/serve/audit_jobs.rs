//! Starts the optional audit jobs: signing checkpoints and exporting events.

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

/// The lease of the checkpoint signer. Lease names are stored in the database.
const CHECKPOINT_LEASE: &str = "audit checkpoints";

/// Signs a checkpoint after everything else has ended.
pub(super) struct FinalCheckpoint {
    signer: CheckpointSigner,
    leader: LeaderElector,
    repository: Repository,
}

/// What the rest of the process needs from the audit jobs.
#[derive(Default)]
pub(super) struct AuditJobs {
    /// The public key of the checkpoint signer in PEM, if checkpoints are signed.
    pub(super) public_key: Option<String>,
    pub(super) final_checkpoint: Option<FinalCheckpoint>,
}

impl FinalCheckpoint {
    /// Signs for the events since the last checkpoint, unless another replica holds the lease and
    /// does so itself.
    pub(super) async fn sign(self) {
        let Self { signer, leader, repository } = self;
        // Events that could not be flushed may be lost, so they must not be signed.
        if !repository.is_lost() {
            leader.lead_once(CHECKPOINT_LEASE, |fence| signer.sign_final(fence)).await;
        }
    }
}

/// Starts the configured jobs.
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
