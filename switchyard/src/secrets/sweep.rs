//! What time does to secrets: deleted ones are destroyed when their retention is over, destroyed
//! ones leave the store, and answers to old requests are forgotten. One replica does it.

use std::time::Duration;

use contract::{Scope, SecretName, Version};
use jiff::Timestamp;
use lockbox::StoreError;
use runtime::logs::ErrorChain;

use super::{Caller, Secrets, SecretsError};
use crate::audit::{Action, Actor, Origin};
use crate::repository::{Change, Doomed, Fence};

/// How often.
const EVERY: Duration = Duration::from_secs(60);

/// How many at once.
const BATCH: u32 = 200;

/// Sweeps for as long as this replica leads.
pub(crate) async fn sweep(secrets: Secrets, fence: Fence) {
    loop {
        if let Err(error) = secrets.sweep_once(&fence).await {
            tracing::warn!(error = %ErrorChain(&error), "sweep secrets");
        }
        tokio::time::sleep(EVERY).await;
    }
}

impl Secrets {
    pub(super) async fn sweep_once(&self, fence: &Fence) -> Result<(), SecretsError> {
        let now = Timestamp::now();
        let before = now.checked_sub(self.retention).unwrap_or(Timestamp::MIN);
        let system =
            Caller { actor: Actor::System { part: "retention" }, origin: Origin::default() };
        for (scope, name) in self.repository.expired(before, BATCH).await? {
            let events = vec![system.event(
                Action::Destroy,
                &scope,
                &name,
                None,
                Some("deleted, and past its retention".to_owned()),
            )];
            let by = super::by(&system.actor);
            let change = Change {
                scope: scope.clone(),
                at: now,
                by,
                events,
                once: None,
                fence: Some(fence.clone()),
            };
            self.repository.expire(&change, &name, before).await?;
            tracing::info!(%scope, %name, "deleted secret is past its retention, its versions are destroyed");
        }
        for doomed in self.repository.doomed(BATCH).await? {
            self.let_one_go(&doomed, Some(fence)).await?;
        }
        self.repository.forget_answers().await?;
        Ok(())
    }

    /// Has the store let go of destroyed versions, and says which it has. What fails is found again
    /// by the sweep.
    pub(super) async fn let_go(
        &self,
        scope: &Scope,
        name: &SecretName,
        versions: &[Version],
    ) -> Vec<Version> {
        let mut gone = Vec::new();
        let doomed = match self.repository.doomed_of(scope, name).await {
            Ok(doomed) => doomed,
            Err(error) => {
                tracing::warn!(%scope, %name, error = %ErrorChain(&error), "find values to destroy");
                return gone;
            }
        };
        for doomed in doomed.into_iter().filter(|it| versions.contains(&it.stored.version)) {
            match self.let_one_go(&doomed, None).await {
                Ok(()) => gone.push(doomed.stored.version),
                Err(error) => {
                    tracing::warn!(%scope, %name, error = %ErrorChain(&error), "destroy value, will be tried again")
                }
            }
        }
        gone
    }

    async fn let_one_go(&self, doomed: &Doomed, fence: Option<&Fence>) -> Result<(), SecretsError> {
        match self.store.destroy(&doomed.scope, &doomed.name, &doomed.stored).await {
            // It is gone already: a crash came between the store and the ledger.
            Ok(()) | Err(StoreError::NotFound(_) | StoreError::Destroyed(_)) => {}
            Err(error) => return Err(error.into()),
        }
        Ok(self.repository.destroyed(doomed, Timestamp::now(), fence).await?)
    }
}
