//! Writes, reads and deletes from end to end: store, ledger, audit trail, push.
//!
//! A write goes to the store first and into the ledger second. Where the process dies in between, the
//! store has a value that nothing refers to, and nobody ever sees it. The ledger's change, the
//! generations that follow from it and its audit events are one transaction; the push comes after it.

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::sync::Arc;

use contract::api::{BundleState, Deleted, NewValue, SecretValue, WriteRequest, Written};
use contract::stream::{HeldBundle, HeldSecret};
use contract::{Generation, Scope, SecretName, Version};
use jiff::Timestamp;
use lockbox::{Put, Store, StoreError, Stored};
use runtime::logs::Chain;
use tokio::sync::Mutex;

use crate::audit::{Action, Actor, Audit, AuditError, Event, Origin, Outcome, Resource, ResourceKind};
use crate::live::Live;
use crate::repository::{Bundle, Change, ChangeError, Member, NewVersion, Repository, RepositoryError};

/// Everything that a write or a read touches. Clones share it.
#[derive(Clone)]
pub(crate) struct Secrets {
    repository: Repository,
    store: Arc<dyn Store>,
    audit: Audit,
    live: Live,
    // One write at a time: the next version is read before the store is written and claimed after.
    turn: Arc<Mutex<()>>,
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
    /// There is no such secret.
    #[error("read {scope}/{name}: there is no such secret")]
    NotFound {
        /// The scope.
        scope: Scope,
        /// The name.
        name: SecretName,
    },
}

/// Who asks, and from where.
#[derive(Clone, Debug)]
pub(crate) struct Caller {
    pub(crate) actor: Actor,
    pub(crate) origin: Origin,
}

impl Caller {
    /// An event about a secret.
    fn event(&self, action: Action, scope: &Scope, name: &SecretName, version: Option<Version>) -> Event {
        Event {
            actor: self.actor.clone(),
            action,
            resource: Resource { kind: ResourceKind::Secret, id: name.as_str().to_owned(), scope: Some(scope.to_string()) },
            version: version.map(|version| version.0),
            outcome: Outcome::Allowed,
            origin: self.origin.clone(),
            details: None,
        }
    }
}

impl Secrets {
    pub(crate) fn new(repository: Repository, store: Arc<dyn Store>, audit: Audit, live: Live) -> Self {
        Self { repository, store, audit, live, turn: Arc::default() }
    }

    /// Writes every value of a request as its secret's next version: all of them, or none.
    pub(crate) async fn write(&self, caller: &Caller, scope: &Scope, request: &WriteRequest) -> Result<Written, SecretsError> {
        let turn = self.turn.lock().await;
        let counts = self.repository.counts(scope).await?;
        let next = |name: &SecretName| Version(counts.get(name).map_or(0, |version| version.0) + 1);
        let puts: Vec<Put<'_>> =
            request.secrets.iter().map(|(name, NewValue { value })| Put { name, version: next(name), value }).collect();
        let references = self.store.write(scope, &puts).await?;
        let versions: Vec<NewVersion> = puts
            .iter()
            .zip(references)
            .map(|(put, reference)| NewVersion {
                name: put.name.clone(),
                stored: Stored { version: put.version, reference },
                size: put.value.len() as u64,
            })
            .collect();
        let events = versions.iter().map(|new| caller.event(Action::Write, scope, &new.name, Some(new.stored.version))).collect();
        let change = Change { scope: scope.clone(), at: Timestamp::now(), by: by(&caller.actor), events };
        let moved = match self.repository.write(&change, &versions).await {
            Ok(moved) => moved,
            Err(error) => {
                // Where the database itself failed, the change may have been committed all the same.
                if matches!(error, ChangeError::Conflict(_) | ChangeError::TooLarge { .. }) {
                    self.discard(scope, &versions).await;
                }
                return Err(error.into());
            }
        };
        drop(turn);
        let versions = versions.into_iter().map(|new| (new.name, new.stored.version)).collect();
        Ok(Written { scope: scope.clone(), versions, bundles: self.push(moved) })
    }

    /// Takes back what the store has and the ledger did not take. Where that fails too, nothing refers
    /// to it, and it stays sealed.
    async fn discard(&self, scope: &Scope, versions: &[NewVersion]) {
        for NewVersion { name, stored, .. } in versions {
            if let Err(error) = self.store.destroy(scope, name, stored).await {
                tracing::warn!(%scope, %name, error = %Chain(&error), "value of a refused write not taken back");
            }
        }
    }

    /// The active value of a secret. That it was read is durable when this returns.
    pub(crate) async fn read(&self, caller: &Caller, scope: &Scope, name: &SecretName) -> Result<SecretValue, SecretsError> {
        let missing = || SecretsError::NotFound { scope: scope.clone(), name: name.clone() };
        let secret = self.repository.find(scope, name).await?.ok_or_else(missing)?;
        let value = self.store.read_version(scope, name, &secret.stored).await?;
        self.audit.record(caller.event(Action::Read, scope, name, Some(secret.stored.version))).await?;
        let (scope, name, version) = (scope.clone(), name.clone(), secret.stored.version);
        Ok(SecretValue { scope, name, version, updated_at: secret.updated_at.to_string(), value })
    }

    /// Deletes a secret: no bundle holds it from now on.
    pub(crate) async fn delete(&self, caller: &Caller, scope: &Scope, name: &SecretName) -> Result<Deleted, SecretsError> {
        let turn = self.turn.lock().await;
        let events = vec![caller.event(Action::Delete, scope, name, None)];
        let change = Change { scope: scope.clone(), at: Timestamp::now(), by: by(&caller.actor), events };
        let moved = self.repository.delete(&change, name).await?;
        drop(turn);
        Ok(Deleted { scope: scope.clone(), name: name.clone(), bundles: self.push(moved) })
    }

    /// The values of a generation. Whoever hands them out writes down to whom first.
    pub(crate) async fn open(&self, bundle: &Bundle, generation: Generation) -> Result<HeldBundle, SecretsError> {
        let members = self.repository.members(bundle.id, generation).await?;
        let mut secrets = BTreeMap::new();
        for (name, Member { scope, stored }) in members {
            let value = self.store.read_version(&scope, &name, &stored).await?;
            secrets.insert(name, HeldSecret { version: stored.version, value });
        }
        Ok(HeldBundle { bundle: bundle.name.clone(), generation, secrets })
    }

    fn push(&self, moved: Vec<Bundle>) -> Vec<BundleState> {
        moved
            .into_iter()
            .map(|bundle| {
                let state = BundleState { scope: bundle.scope.clone(), bundle: bundle.name.clone(), generation: bundle.standing.stable };
                self.live.tell(bundle);
                state
            })
            .collect()
    }
}

/// Who did it, for people who read the ledger.
fn by(actor: &Actor) -> String {
    format!("{}:{}", actor.kind(), actor.id())
}
