//! Writes, reads and deletes from end to end: store, ledger, audit trail, push.
//!
//! A write goes to the store first and into the ledger second. Where the process dies in between,
//! the store has a value that nothing refers to, and nobody ever sees it. The ledger's change, the
//! generations that follow from it and its audit events are one transaction; the push comes after
//! it.

mod adopt;
mod change;
mod read;
mod sweep;
#[cfg(test)]
mod tests;
mod turns;
mod write;

use std::collections::BTreeMap;
use std::sync::Arc;

use contract::api::{BundleState, Written};
use contract::{Scope, SecretName, Version};
use jiff::{SignedDuration, Timestamp};
use lockbox::{Store, StoreError};

use crate::audit::{
    Action, Actor, Audit, AuditError, Event, Origin, Outcome, Resource, ResourceKind,
};
use crate::live::Live;
use crate::repository::{
    Bundle, Change, ChangeError, Condition, Fence, Idempotency, Repository, RepositoryError,
    Respond,
};
pub(crate) use adopt::adopt;
pub(crate) use sweep::sweep;
use turns::Turns;

/// Everything that a write or a read touches. Clones share it.
#[derive(Clone)]
pub(crate) struct Secrets {
    repository: Repository,
    store: Arc<dyn Store>,
    audit: Audit,
    live: Live,
    /// One write of a scope at a time: the next version is read before the store is written and
    /// claimed after. Another replica's write in between is noticed by the ledger.
    turns: Turns,
    /// How long a deleted secret can be brought back.
    retention: SignedDuration,
}

/// Why a write, read or delete did not happen.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SecretsError {
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The ledger did not take the change.
    #[error(transparent)]
    Change(#[from] ChangeError),
    /// The ledger could not be read.
    #[error(transparent)]
    Repository(#[from] RepositoryError),
    /// The audit trail could not be written.
    #[error(transparent)]
    Audit(#[from] AuditError),
    /// Writes to the same scope that came before take too long.
    #[error("wait for the turn to write to {0}")]
    Busy(Scope),
    /// There is no such secret.
    #[error("read {scope}/{name}: there is no such secret")]
    NotFound {
        /// The scope.
        scope: Scope,
        /// The name.
        name: SecretName,
    },
    /// There is no such version.
    #[error("read {scope}/{name}: it has no version {version}")]
    NoVersion {
        /// The scope.
        scope: Scope,
        /// The name.
        name: SecretName,
        /// The version.
        version: Version,
    },
    /// The version's value is gone.
    #[error("read {scope}/{name}: version {version} was destroyed")]
    Gone {
        /// The scope.
        scope: Scope,
        /// The name.
        name: SecretName,
        /// The version.
        version: Version,
    },
}

/// Who asks, and from where.
#[derive(Clone, Debug)]
pub(crate) struct Caller {
    pub(crate) actor: Actor,
    pub(crate) origin: Origin,
}

/// What a change is told besides what it changes.
#[derive(Clone, Debug, Default)]
pub(crate) struct Terms {
    /// What must hold, of the one secret that the change is about.
    pub(crate) condition: Condition,
    /// Where the request may be sent again.
    pub(crate) once: Option<Idempotency>,
    /// Where a leader's job does it.
    pub(crate) fence: Option<Fence>,
    /// The rule that allowed it, for the audit trail.
    pub(crate) rule: Option<String>,
}

impl Caller {
    /// An event about a secret.
    pub(crate) fn event(
        &self,
        action: Action,
        scope: &Scope,
        name: &SecretName,
        version: Option<Version>,
        details: Option<String>,
    ) -> Event {
        Event {
            actor: self.actor.clone(),
            action,
            resource: Resource {
                kind: ResourceKind::Secret,
                id: name.as_str().to_owned(),
                scope: Some(scope.to_string()),
            },
            version: version.map(|version| version.0),
            outcome: Outcome::Allowed,
            origin: self.origin.clone(),
            details,
        }
    }
}

impl Secrets {
    pub(crate) fn new(
        repository: Repository,
        store: Arc<dyn Store>,
        audit: Audit,
        live: Live,
        retention: SignedDuration,
    ) -> Self {
        Self { repository, store, audit, live, turns: Turns::default(), retention }
    }

    fn change(
        &self,
        caller: &Caller,
        scope: &Scope,
        terms: &Terms,
        events: Vec<Event>,
        respond: Respond,
    ) -> Change {
        let once = terms.once.clone().map(|once| (once, respond));
        Change {
            scope: scope.clone(),
            at: Timestamp::now(),
            by: by(&caller.actor),
            events,
            once,
            fence: terms.fence.clone(),
        }
    }

    fn push(&self, moved: Vec<Bundle>) -> Vec<BundleState> {
        moved
            .into_iter()
            .map(|bundle| {
                let state = state_of(&bundle);
                self.live.tell(bundle);
                state
            })
            .collect()
    }
}

/// The answer to a change that made these versions active.
fn written(scope: &Scope, versions: &BTreeMap<SecretName, Version>) -> Respond {
    let (scope, versions) = (scope.clone(), versions.clone());
    Respond::new(move |bundles| {
        let bundles = bundles.iter().map(state_of).collect();
        // Names and numbers always become JSON.
        serde_json::to_string(&Written {
            scope: scope.clone(),
            versions: versions.clone(),
            bundles,
        })
        .unwrap_or_default()
    })
}

/// A bundle as answers name it.
pub(crate) fn state_of(bundle: &Bundle) -> BundleState {
    BundleState {
        scope: bundle.scope.clone(),
        bundle: bundle.name.clone(),
        generation: bundle.standing.stable,
    }
}

/// Who did it, for people who read the ledger.
pub(crate) fn by(actor: &Actor) -> String {
    format!("{}:{}", actor.kind(), actor.id())
}
