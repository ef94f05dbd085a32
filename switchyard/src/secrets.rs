//! Reads and changes of secrets from end to end: store, ledger, audit log, push to agents.
//!
//! A write goes to the store first and to the ledger second. If the process dies in between, the
//! store has an unreferenced value that nobody ever sees. The ledger change, the resulting
//! generations and the audit events are one transaction; the push follows it.

mod change;
mod composed;
mod history;
mod keyed_mutex;
mod metadata;
mod read;
mod retention;
mod store_changes;
#[cfg(test)]
mod tests;
mod write;

use std::collections::BTreeMap;
use std::sync::Arc;

use contract::api::{BundleState, Written};
use contract::metadata::Message;
use contract::{Scope, SecretName, SecretRef, Version};
use jiff::{SignedDuration, Timestamp};
use lockbox::{Store, StoreError};

use crate::audit::{
    Action, Actor, AuditError, AuditLog, Event, Origin, Outcome, Resource, ResourceKind,
};
use crate::bundle_updates::BundleUpdates;
use crate::references::{ComposeError, ReferenceError, TemplateError};
use crate::repository::{
    Bundle, ChangeError, Condition, Fence, Idempotency, LedgerChange, Repository, RepositoryError,
    RespondFn,
};
pub(crate) use history::{HistoryPolicy, prune_history};
use keyed_mutex::KeyedMutex;
pub(crate) use metadata::own_summary;
pub(crate) use read::{FoundSecret, ReadForm, ReadSecret};
pub(crate) use retention::enforce_retention;
pub(crate) use store_changes::import_store_changes;
pub(crate) use write::Rotation;

/// The secrets service. Clones share its state.
#[derive(Clone)]
pub(crate) struct Secrets {
    repository: Repository,
    store: Arc<dyn Store>,
    audit: AuditLog,
    updates: BundleUpdates,
    /// Serializes writes per secret: the next version number is read before the value is sealed and
    /// claimed afterwards. The ledger detects concurrent writes by other replicas.
    write_locks: KeyedMutex<LastWritten>,
    /// How long a deleted secret can be restored.
    retention: SignedDuration,
}

/// The version of a secret that this process wrote last, unless it was refused. If there is a newer
/// one, the ledger says so.
type LastWritten = Option<Version>;

/// Why an operation failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SecretsError {
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The ledger rejected the change.
    #[error(transparent)]
    Change(#[from] ChangeError),
    /// The ledger could not be read.
    #[error(transparent)]
    Repository(#[from] RepositoryError),
    /// The audit event could not be written.
    #[error(transparent)]
    Audit(#[from] AuditError),
    /// Earlier writes to the scope take too long.
    #[error("write to {0}: earlier writes take too long")]
    Busy(Scope),
    /// Switchyard itself keeps the ledger's key there.
    #[error("write to {0}: the project is reserved for the ledger's key; use another name")]
    Reserved(Scope),
    /// The secret does not exist.
    #[error("read {scope}/{name}: there is no such secret")]
    NotFound {
        /// The scope.
        scope: Scope,
        /// The name.
        name: SecretName,
    },
    /// The version does not exist.
    #[error("read {scope}/{name}: it has no version {version}")]
    NoVersion {
        /// The scope.
        scope: Scope,
        /// The name.
        name: SecretName,
        /// The version.
        version: Version,
    },
    /// The references cannot be resolved.
    #[error("read {secret}")]
    References {
        /// The secret.
        secret: SecretRef,
        /// Why.
        source: Box<ReferenceError>,
    },
    /// The value is not one with references.
    #[error("parse the value of {scope}/{name}")]
    Template {
        /// The scope.
        scope: Scope,
        /// The name.
        name: SecretName,
        /// Why.
        source: TemplateError,
    },
    /// The value cannot be composed.
    #[error("compose the value of {scope}/{name}")]
    Compose {
        /// The scope.
        scope: Scope,
        /// The name.
        name: SecretName,
        /// Why.
        source: ComposeError,
    },
    /// The version was destroyed.
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

/// Who makes a request, and from where.
#[derive(Clone, Debug)]
pub(crate) struct Caller {
    pub(crate) actor: Actor,
    pub(crate) origin: Origin,
}

/// Options of a change.
#[derive(Clone, Debug, Default)]
pub(crate) struct WriteOptions {
    /// The precondition on the one secret that changes.
    pub(crate) condition: Condition,
    /// Set for an idempotent request.
    pub(crate) idempotency: Option<Idempotency>,
    /// Set for changes made by a background job.
    pub(crate) fence: Option<Fence>,
    /// The rule that allowed the change, for the audit log.
    pub(crate) rule: Option<String>,
    /// Why the one secret that changes does so.
    pub(crate) message: Option<Message>,
}

impl Caller {
    /// An audit event about a secret.
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
        audit: AuditLog,
        updates: BundleUpdates,
        retention: SignedDuration,
    ) -> Self {
        Self { repository, store, audit, updates, write_locks: KeyedMutex::default(), retention }
    }

    fn change(
        &self,
        caller: &Caller,
        scope: &Scope,
        options: &WriteOptions,
        events: Vec<Event>,
        respond: RespondFn,
    ) -> LedgerChange {
        let idempotency = options.idempotency.clone().map(|request| (request, respond));
        LedgerChange {
            scope: scope.clone(),
            at: Timestamp::now(),
            by: author(&caller.actor),
            events,
            idempotency,
            fence: options.fence.clone(),
        }
    }

    /// Tells the streams of the bundles that moved. Returns those that see the scope that changed:
    /// of others, which only refer to it, whoever changed it may not know.
    fn push(&self, scope: &Scope, moved: Vec<Bundle>) -> Vec<BundleState> {
        let mut shown = Vec::with_capacity(moved.len());
        for bundle in moved {
            if scope.contains(&bundle.scope) {
                shown.push(state_of(&bundle));
            }
            self.updates.publish(bundle);
        }
        shown
    }
}

/// The stored response of a change that made these versions active. `created` says whether they are
/// the first of the scope.
fn written_response(
    scope: &Scope,
    versions: &BTreeMap<SecretName, Version>,
    created: bool,
) -> RespondFn {
    let (scope, versions) = (scope.clone(), versions.clone());
    RespondFn::new(move |bundles| {
        let bundles = bundles.iter().filter(|it| scope.contains(&it.scope));
        let bundles = bundles.map(state_of).collect();
        // Names and numbers always serialize.
        serde_json::to_string(&Written {
            scope: scope.clone(),
            versions: versions.clone(),
            bundles,
            created,
        })
        .unwrap_or_default()
    })
}

/// A bundle's state as API responses show it.
pub(crate) fn state_of(bundle: &Bundle) -> BundleState {
    BundleState {
        scope: bundle.scope.clone(),
        bundle: bundle.name.clone(),
        generation: bundle.rollout.stable,
        stuck: bundle.stuck.clone(),
        tag: bundle.tag_of(bundle.rollout.stable),
    }
}

/// The author of a change, as the ledger stores it.
pub(crate) fn author(actor: &Actor) -> String {
    format!("{}:{}", actor.kind(), actor.id())
}
