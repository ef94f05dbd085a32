//! Prunes history by the operator's policy: generations of bundles, what pods that are gone held,
//! and archived versions if the operator says so. One replica does it at a time, in small steps.
//!
//! Ages are in lived time, so that a clock that is set forward prunes nothing. Only generations
//! whose reads are counted go.

use std::time::Duration;

use contract::{Scope, SecretName, Version};
use jiff::{SignedDuration, Timestamp};
use runtime::backoff::Backoff;
use runtime::logs::ErrorChain;

use super::{Caller, Secrets, SecretsError};
use crate::audit::{Action, Actor, Event, Origin, Outcome, Resource, ResourceKind};
use crate::repository::{BundleId, ChangeError, Fence, LedgerChange, PrunePolicy, PrunedBundle};

/// How often the job looks for what is old.
const INTERVAL: Duration = Duration::from_secs(3600);

/// Before the first time: the start has other work, and lived time is counted first.
const FIRST: Duration = Duration::from_secs(60);

/// The pause after each step. Others use the ledger too.
const PAUSE: Duration = Duration::from_millis(250);

/// How many bundles, pods and versions one step looks at.
const BATCH: u32 = 500;

/// The part of switchyard, as the events name it.
const PART: &str = "pruning";

/// What is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct HistoryPolicy {
    /// So many of the newest generations of each bundle.
    pub(crate) generations: u64,
    /// Everything that was replaced for less than this time.
    pub(crate) age: SignedDuration,
    /// So many of the newest versions of each secret. `None` destroys no version.
    pub(crate) versions: Option<u64>,
}

/// How much was pruned.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Pruned {
    pub(crate) generations: u64,
    pub(crate) holdings: u64,
    pub(crate) versions: u64,
}

/// Runs while this replica holds the lease.
pub(crate) async fn prune_history(secrets: Secrets, policy: HistoryPolicy, fence: Fence) {
    let mut delays = Backoff::NETWORK.delays();
    let mut pause = FIRST;
    loop {
        tokio::time::sleep(pause).await;
        pause = match secrets.prune_once(policy, &fence, PAUSE).await {
            Ok(pruned) => {
                delays.reset();
                if pruned != Pruned::default() {
                    let Pruned { generations, holdings, versions } = pruned;
                    tracing::info!(generations, holdings, versions, "pruned history");
                }
                INTERVAL
            }
            Err(error) => {
                tracing::warn!(error = %ErrorChain(&error), "prune history, will retry");
                delays.next_delay()
            }
        };
    }
}

impl Secrets {
    /// Prunes all that is old now.
    pub(super) async fn prune_once(
        &self,
        policy: HistoryPolicy,
        fence: &Fence,
        pause: Duration,
    ) -> Result<Pruned, SecretsError> {
        let before = self.repository.lived_time().await?.before(policy.age);
        let mut pruned = Pruned::default();
        loop {
            let gone = self.repository.prune_holdings(before, BATCH, fence, holdings_event).await?;
            pruned.holdings += gone;
            tokio::time::sleep(pause).await;
            if gone < u64::from(BATCH) {
                break;
            }
        }
        let counted_until = self.repository.counted_reads().await?.at;
        let of_bundle = PrunePolicy { newest: policy.generations, before, counted_until };
        let mut after = BundleId(0);
        loop {
            let page = self.repository.long_bundles(policy.generations, after, BATCH).await?;
            let Some(last) = page.last() else { break };
            after = *last;
            for bundle in page {
                pruned.generations += self.prune_bundle(bundle, of_bundle, fence, pause).await?;
            }
        }
        if let Some(newest) = policy.versions {
            loop {
                let old = self.repository.old_versions(newest, before, BATCH).await?;
                let is_last = old.len() < usize::try_from(BATCH).unwrap_or(usize::MAX);
                let destroyed = self.destroy_old(old, fence).await?;
                pruned.versions += destroyed;
                tokio::time::sleep(pause).await;
                if is_last || destroyed == 0 {
                    break;
                }
            }
        }
        Ok(pruned)
    }

    async fn prune_bundle(
        &self,
        bundle: BundleId,
        policy: PrunePolicy,
        fence: &Fence,
        pause: Duration,
    ) -> Result<u64, SecretsError> {
        let mut generations = 0;
        loop {
            let done = self.repository.prune_generations(bundle, policy, fence, bundle_event);
            let Some(pruned) = done.await? else { return Ok(generations) };
            generations += pruned.generations;
            tokio::time::sleep(pause).await;
            if !pruned.is_full {
                return Ok(generations);
            }
        }
    }

    /// Marks versions as destroyed. The retention job destroys their values in the store.
    async fn destroy_old(
        &self,
        mut old: Vec<(Scope, SecretName, Version)>,
        fence: &Fence,
    ) -> Result<u64, SecretsError> {
        let system = Caller { actor: Actor::System { part: PART }, origin: Origin::default() };
        let mut destroyed = 0;
        while let Some((scope, name, _)) = old.first().cloned() {
            let is_same = |it: &mut (Scope, SecretName, Version)| it.0 == scope && it.1 == name;
            let versions: Vec<Version> = old.extract_if(.., is_same).map(|it| it.2).collect();
            let details = "archived, in no generation, and older than what is kept";
            let event = |version: &Version| {
                let details = Some(details.to_owned());
                system.event(Action::Destroy, &scope, &name, Some(*version), details)
            };
            let change = LedgerChange {
                scope: scope.clone(),
                at: Timestamp::now(),
                by: super::author(&system.actor),
                events: versions.iter().map(event).collect(),
                idempotency: None,
                fence: Some(fence.clone()),
            };
            match self.repository.destroy(&change, &name, &versions).await {
                Ok(()) => destroyed += versions.len() as u64,
                // It became active or was used by a bundle in the meantime.
                Err(error @ (ChangeError::InUse { .. } | ChangeError::NoVersion { .. })) => {
                    tracing::info!(%scope, %name, error = %ErrorChain(&error), "an old version is \
                        kept");
                }
                Err(error) => return Err(error.into()),
            }
        }
        Ok(destroyed)
    }
}

fn event(resource: Resource, details: String) -> Event {
    Event {
        actor: Actor::System { part: PART },
        action: Action::Prune,
        resource,
        version: None,
        outcome: Outcome::Allowed,
        origin: Origin::default(),
        details: Some(details),
    }
}

fn bundle_event(pruned: &PrunedBundle) -> Event {
    let PrunedBundle { bundle, generations, newest, members, known_since, is_full: _ } = pruned;
    let (kind, id) = (ResourceKind::Bundle, bundle.name.to_string());
    event(
        Resource { kind, id, scope: Some(bundle.scope.to_string()) },
        format!(
            "{generations} generations, {newest} the newest of them, with {members} entries of \
             secrets; what generations held is known since {known_since:.0}"
        ),
    )
}

fn holdings_event(pods: u64) -> Event {
    let resource = Resource { kind: ResourceKind::Ledger, id: "holdings".to_owned(), scope: None };
    event(resource, format!("what {pods} pods held that are gone"))
}
