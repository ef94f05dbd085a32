//! The retention job: destroys versions that were deleted long enough ago, finishes pending
//! destroys in the store and deletes expired responses. One replica runs it at a time. It also
//! counts the lived time, by which both are old.

use std::time::Duration;

use contract::api::VersionState;
use contract::{Scope, SecretName, Version};
use jiff::Timestamp;
use lockbox::StoreError;
use runtime::backoff::Backoff;
use runtime::logs::ErrorChain;
use tokio::time::Instant;

use super::{Caller, Secrets, SecretsError};
use crate::audit::{Action, Actor, Origin};
use crate::repository::{Fence, LedgerChange, LivedTime, PendingDestroy, VersionRow};

/// How often lived time is counted: half of what it may lag behind.
const COUNT_INTERVAL: Duration = Duration::from_secs(15);

/// How often the job sweeps.
const SWEEP_INTERVAL: Duration = Duration::from_secs(60);

/// The maximum number of items of each kind per run.
const MAX_BATCH: u32 = 200;

/// Runs while this replica holds the lease.
pub(crate) async fn enforce_retention(secrets: Secrets, fence: Fence) {
    let mut delays = Backoff::NETWORK.delays();
    let (mut counted_until, mut sweep_at) = (Instant::now(), Instant::now());
    loop {
        let now = Instant::now();
        // More than that was not lived through: the machine was suspended, or the clock is wrong.
        let lived = (now - counted_until).min(LivedTime::MAX_STEP);
        counted_until = now;
        let sweeps = now >= sweep_at;
        let done = if sweeps {
            secrets.enforce_retention_once(&fence, lived).await
        } else {
            let counted = secrets.repository.advance_lived_time(lived, &fence).await;
            counted.map(drop).map_err(SecretsError::from)
        };
        let pause = match done {
            Ok(()) => {
                delays.reset();
                if sweeps {
                    sweep_at = now + SWEEP_INTERVAL;
                }
                COUNT_INTERVAL
            }
            // A leader that was suspended may hold the ledger's lock until the database ends its
            // transaction.
            Err(error) => {
                tracing::warn!(error = %ErrorChain(&error), "enforce retention, will retry");
                delays.next_delay()
            }
        };
        tokio::time::sleep(pause).await;
    }
}

impl Secrets {
    /// Sweeps once, after `lived` has passed since the last time.
    pub(super) async fn enforce_retention_once(
        &self,
        fence: &Fence,
        lived: Duration,
    ) -> Result<(), SecretsError> {
        let now = Timestamp::now();
        let before = self.repository.advance_lived_time(lived, fence).await?.before(self.retention);
        let system =
            Caller { actor: Actor::System { part: "retention" }, origin: Origin::default() };
        for (scope, name) in self.repository.expired(before, MAX_BATCH).await? {
            let events = vec![system.event(
                Action::Destroy,
                &scope,
                &name,
                None,
                Some("deleted, and past its retention".to_owned()),
            )];
            let by = super::author(&system.actor);
            let change = LedgerChange {
                scope: scope.clone(),
                at: now,
                by,
                events,
                idempotency: None,
                fence: Some(fence.clone()),
            };
            self.repository.expire(&change, &name, before).await?;
            tracing::info!(%scope, %name, "destroyed versions of a deleted secret past its \
                retention");
        }
        let pending = self.repository.pending_destroys(MAX_BATCH).await?;
        self.destroy_in_store(pending, Some(fence)).await?;
        self.repository.delete_expired_responses().await?;
        Ok(())
    }

    /// Whether a version was destroyed, or is only not yet: its delete is past the retention.
    pub(super) async fn is_gone(&self, row: &VersionRow) -> Result<bool, SecretsError> {
        if row.state == VersionState::Destroyed {
            return Ok(true);
        }
        let Some(deleted) = row.deleted else { return Ok(false) };
        Ok(deleted <= self.repository.lived_time().await?.before(self.retention))
    }

    /// Destroys pending versions in the store and returns those of which nothing is left. The
    /// retention job retries the rest.
    pub(super) async fn destroy_pending(
        &self,
        scope: &Scope,
        name: &SecretName,
        versions: &[Version],
    ) -> Vec<Version> {
        let destroying = async {
            let mut pending = self.repository.pending_destroys_of(scope, name).await?;
            pending.retain(|it| versions.contains(&it.stored.version));
            self.destroy_in_store(pending, None).await
        };
        destroying.await.unwrap_or_else(|error| {
            let error = ErrorChain(&error);
            tracing::warn!(%scope, %name, %error, "destroy values, will retry");
            Vec::new()
        })
    }

    /// Destroys values, then their traces in the store's files, and only then records it.
    async fn destroy_in_store(
        &self,
        pending: Vec<PendingDestroy>,
        fence: Option<&Fence>,
    ) -> Result<Vec<Version>, SecretsError> {
        let mut gone = Vec::with_capacity(pending.len());
        for it in pending {
            match self.store.destroy(&it.scope, &it.name, &it.stored).await {
                // Already destroyed: a crash came between the store and the ledger.
                Ok(()) | Err(StoreError::NotFound(_) | StoreError::Destroyed(_)) => gone.push(it),
                Err(error) => {
                    tracing::warn!(scope = %it.scope, name = %it.name, error = %ErrorChain(&error),
                        "destroy value, will retry");
                }
            }
        }
        if gone.is_empty() {
            return Ok(Vec::new());
        }
        if !self.store.purge().await? {
            tracing::warn!(
                values = gone.len(),
                "a reader keeps traces of destroyed values in the \
                store's files, will retry"
            );
            return Ok(Vec::new());
        }
        let versions = gone.iter().map(|it| it.stored.version).collect();
        self.repository.mark_destroyed(gone, Timestamp::now(), fence).await?;
        Ok(versions)
    }
}
