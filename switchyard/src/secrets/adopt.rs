//! Values that people change in the store itself: each becomes the secret's next version. One
//! replica looks for them.
//!
//! The store says what differs from the version in use; the ledger takes it like any other write,
//! on the condition that this version is still in use; the trail has it from whoever the store
//! names. Who dies in between finds the same change at the next look.

#[cfg(test)]
mod tests;

use std::collections::HashSet;
use std::time::Duration;

use contract::Version;
use contract::layout::MAX_VALUE_BYTES;
use lockbox::Changed;
use runtime::backoff::random;
use runtime::logs::ErrorChain;

use super::{Caller, Secrets, SecretsError, Terms};
use crate::audit::{Action, Actor, Origin, Outcome};
use crate::repository::{ChangeError, Condition, Fence};

/// How long one look may take: a store that answers nothing must not end the looking.
const LOOK: Duration = Duration::from_secs(300);

/// Looks for changes for as long as this replica leads.
pub(crate) async fn adopt(secrets: Secrets, every: Duration, fence: Fence) {
    let mut refused = HashSet::new();
    loop {
        match tokio::time::timeout(LOOK, secrets.adopt_once(&fence, &mut refused)).await {
            Ok(Ok(_)) => {}
            Ok(Err(SecretsError::Change(ChangeError::Fenced(_)))) => return,
            Ok(Err(error)) => {
                tracing::warn!(error = %ErrorChain(&error), "look for changes in the store")
            }
            Err(_) => {
                tracing::warn!(limit = ?LOOK, "look for changes in the store: not done in time")
            }
        }
        tokio::time::sleep(every.mul_f64(0.75 + random() / 2.0)).await;
    }
}

impl Secrets {
    /// Looks once, and says how many changes became versions. Those that can become none are in
    /// `refused` afterwards, so that each is told of once.
    pub(super) async fn adopt_once(
        &self,
        fence: &Fence,
        refused: &mut HashSet<String>,
    ) -> Result<usize, SecretsError> {
        let in_use = self.repository.in_use().await?;
        let changes = self.store.changes(&in_use).await?;
        refused.retain(|revision| changes.iter().any(|change| change.revision == *revision));
        let mut adopted = 0;
        for change in changes {
            if refused.contains(&change.revision) {
                continue;
            }
            let Changed { scope, name, on, .. } = &change;
            let person = Caller {
                actor: Actor::Store { name: change.by.clone() },
                origin: Origin::default(),
            };
            match self.adopt_one(&person, &change, fence).await {
                Ok(version) => {
                    adopted += 1;
                    tracing::info!(%scope, %name, %version, on = %on.version, "somebody changed the value in the store: a new version");
                }
                Err(error @ SecretsError::Change(ChangeError::Fenced(_))) => return Err(error),
                Err(SecretsError::Change(error @ ChangeError::TooLarge { .. })) => {
                    let reason = ErrorChain(&error).to_string();
                    self.refuse(&person, &change, reason).await?;
                    refused.insert(change.revision);
                }
                // It is looked at again: another write came in between, or something is away.
                Err(error) => {
                    tracing::warn!(%scope, %name, error = %ErrorChain(&error), "adopt changed value")
                }
            }
        }
        Ok(adopted)
    }

    async fn adopt_one(
        &self,
        person: &Caller,
        change: &Changed,
        fence: &Fence,
    ) -> Result<Version, SecretsError> {
        let Changed { scope, name, on, value, revision, .. } = change;
        if value.len() > MAX_VALUE_BYTES {
            let source = crate::snapshot::TooLarge::Bytes(value.len() as u64);
            return Err(ChangeError::TooLarge { bundle: scope.clone(), source }.into());
        }
        let terms = Terms {
            condition: Condition::Active(on.version),
            fence: Some(fence.clone()),
            rule: Some(format!("changed in the store itself, revision {revision}")),
            ..Terms::default()
        };
        let written = self.rotate(person, scope, name, value, &terms).await?;
        Ok(written.versions.get(name).copied().unwrap_or(on.version))
    }

    async fn refuse(
        &self,
        person: &Caller,
        change: &Changed,
        reason: String,
    ) -> Result<(), SecretsError> {
        let Changed { scope, name, on, .. } = change;
        tracing::warn!(%scope, %name, reason, "a value that somebody changed in the store cannot become a version");
        let mut event = person.event(Action::Rotate, scope, name, Some(on.version), Some(reason));
        event.outcome = Outcome::Failed;
        Ok(self.audit.record(event).await?)
    }
}
