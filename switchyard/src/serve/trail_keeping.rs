//! The jobs that take the audit trail out of the database, as far as the operator asked for them.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use runtime::tasks::Tasks;

use super::ServeError;
use crate::args::AuditArgs;
use crate::audit::{Exporter, Notary, Pace, read_sinks, signing_key};
use crate::metrics::Metrics;
use crate::replicas::Leader;
use crate::repository::Repository;

/// Starts them. The public key that checkpoints are signed with, as PEM, where they are.
pub(super) fn keep(
    args: &AuditArgs,
    data: &Path,
    repository: &Repository,
    leader: &Leader,
    metrics: &Metrics,
    tasks: &Tasks,
) -> Result<Option<String>, ServeError> {
    let AuditArgs { audit_checkpoint_directory, audit_checkpoint_interval, audit_checkpoint_events, audit_signing_key_file, audit_sinks } =
        args;
    if let Some(file) = audit_sinks {
        let exporter = Exporter::new(repository.clone(), read_sinks(file)?, metrics.clone());
        leader.lead("audit export", tasks, move |fence| exporter.clone().work(fence));
    }
    let Some(directory) = audit_checkpoint_directory else { return Ok(None) };
    let key = Arc::new(signing_key(&audit_signing_key_file.clone().unwrap_or_else(|| data.join("audit-key")))?);
    let public = key.public().to_pem();
    let pace = Pace { interval: Duration::from_secs(*audit_checkpoint_interval), events: *audit_checkpoint_events };
    let notary = Notary::new(repository.clone(), key, directory.clone(), pace, metrics.clone());
    leader.lead("audit checkpoints", tasks, move |fence| notary.clone().work(fence));
    Ok(Some(public))
}
