//! Imports values that people change in the store directly: each becomes the secret's next version.
//! One replica runs this at a time.
//!
//! The store reports what differs from the active versions. Each change is written like any other
//! value, on the condition that the version it is based on is still active, and audited under the
//! name that the store reports. After a crash, the next scan finds the same changes again.

#[cfg(test)]
mod tests;

use std::collections::HashSet;
use std::time::Duration;

use contract::Version;
use contract::layout::MAX_VALUE_BYTES;
use lockbox::ExternalChange;
use runtime::backoff::random;
use runtime::logs::ErrorChain;

use super::{Caller, Rotation, Secrets, SecretsError, WriteOptions};
use crate::audit::{Action, Actor, Origin, Outcome, sanitize};
use crate::repository::{ChangeError, Condition, Fence};

/// The time limit for one scan, so that an unresponsive store does not end the job.
const SCAN_TIMEOUT: Duration = Duration::from_secs(300);

/// Scans for changes while this replica holds the lease.
pub(crate) async fn import_store_changes(secrets: Secrets, interval: Duration, fence: Fence) {
    let mut refused = HashSet::new();
    loop {
        match tokio::time::timeout(SCAN_TIMEOUT, secrets.import_once(&fence, &mut refused)).await {
            Ok(Ok(_)) => {}
            Ok(Err(SecretsError::Change(ChangeError::Fenced(_)))) => return,
            Ok(Err(error)) => {
                tracing::warn!(error = %ErrorChain(&error), "import store changes")
            }
            Err(_) => {
                tracing::warn!(timeout = ?SCAN_TIMEOUT, "import store changes: timed out")
            }
        }
        tokio::time::sleep(interval.mul_f64(0.75 + random() / 2.0)).await;
    }
}

impl Secrets {
    /// Scans once and returns how many changes became versions. `refused` collects changes that
    /// cannot become versions, so that each is reported once.
    pub(super) async fn import_once(
        &self,
        fence: &Fence,
        refused: &mut HashSet<String>,
    ) -> Result<usize, SecretsError> {
        let in_use = self.repository.in_use().await?;
        let changes = self.store.poll_changes(&in_use).await?;
        refused.retain(|revision| changes.iter().any(|change| change.revision == *revision));
        let mut imported = 0;
        for change in changes {
            if refused.contains(&change.revision) {
                continue;
            }
            let ExternalChange { scope, name, on, .. } = &change;
            let person = Caller {
                actor: Actor::Store { name: sanitize(&change.by) },
                origin: Origin::default(),
            };
            match self.import_one(&person, &change, fence).await {
                Ok(version) => {
                    imported += 1;
                    tracing::info!(%scope, %name, %version, on = %on.version, "value changed in \
                        the store, imported as a new version");
                }
                Err(error @ SecretsError::Change(ChangeError::Fenced(_))) => return Err(error),
                Err(SecretsError::Change(error @ ChangeError::TooLarge { .. })) => {
                    let reason = ErrorChain(&error).to_string();
                    self.refuse(&person, &change, reason).await?;
                    refused.insert(change.revision);
                }
                // The next scan retries: a concurrent write won, or something is unavailable.
                Err(error) => {
                    tracing::warn!(%scope, %name, error = %ErrorChain(&error), "import changed \
                        value")
                }
            }
        }
        Ok(imported)
    }

    async fn import_one(
        &self,
        person: &Caller,
        change: &ExternalChange,
        fence: &Fence,
    ) -> Result<Version, SecretsError> {
        let ExternalChange { scope, name, on, value, revision, .. } = change;
        if value.len() > MAX_VALUE_BYTES {
            let source = crate::snapshot::BundleTooLarge::Bytes(value.len() as u64);
            return Err(ChangeError::TooLarge { bundle: scope.clone(), source }.into());
        }
        let rotation = Rotation {
            value: value.clone(),
            condition: Condition::Active(on.version),
            message: None,
            expires_at: None,
        };
        let options = WriteOptions {
            fence: Some(fence.clone()),
            rule: Some(format!("changed in the store itself, revision {revision}")),
            ..WriteOptions::default()
        };
        let written = self.rotate(person, scope, name, &rotation, &options).await?;
        Ok(written.versions.get(name).copied().unwrap_or(on.version))
    }

    async fn refuse(
        &self,
        person: &Caller,
        change: &ExternalChange,
        reason: String,
    ) -> Result<(), SecretsError> {
        let ExternalChange { scope, name, on, .. } = change;
        tracing::warn!(%scope, %name, reason, "value changed in the store cannot become a version");
        let mut event = person.event(Action::Rotate, scope, name, Some(on.version), Some(reason));
        event.outcome = Outcome::Failed;
        Ok(self.audit.record(event).await?)
    }
}
