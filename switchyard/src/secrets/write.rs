//! Writes of new values. A store outside of the ledger's database gets them before the ledger, and
//! they are removed from it if the ledger rejects them.

use std::collections::BTreeMap;

use contract::api::{WriteRequest, Written};
use contract::metadata::{Message, MetadataChange, expiry};
use contract::{Redacted, Scope, SecretName, Version};
use jiff::Timestamp;
use lockbox::{Put, StagedWrite, StoredVersion};
use runtime::backoff::Backoff;
use runtime::logs::ErrorChain;
use runtime::retry::RetryPolicy;

use super::metadata::{Annotation, details};
use super::{Caller, Secrets, SecretsError, WriteOptions, written_response};
use crate::audit::Action;
use crate::ledger_key::is_reserved;
use crate::references::{Template, ValueReferences};
use crate::repository::{ChangeError, Condition, NewVersion};

/// For a write that loses races to other replicas.
const CONFLICT_RETRY: RetryPolicy = RetryPolicy::new(Backoff::QUICK, 6);

/// A value to write.
struct PendingValue<'a> {
    name: &'a SecretName,
    value: &'a Redacted,
    condition: Condition,
    message: Option<&'a Message>,
    expires_at: Option<Timestamp>,
    references: Option<ValueReferences>,
    metadata: MetadataChange,
}

/// What new values come after.
struct Base {
    /// The newest version of each secret that was written before.
    latest: BTreeMap<SecretName, Version>,
    /// Whether they are the first ones of their scope.
    created: bool,
}

/// A new value of an existing secret.
#[derive(Debug)]
pub(crate) struct Rotation {
    /// The bytes.
    pub(crate) value: Redacted,
    /// The precondition.
    pub(crate) condition: Condition,
    /// Why it is rotated.
    pub(crate) message: Option<Message>,
    /// When the new credential ends at its issuer.
    pub(crate) expires_at: Option<Timestamp>,
}

impl Secrets {
    /// Writes every value of a request as its secret's next version, all or none.
    pub(crate) async fn write(
        &self,
        caller: &Caller,
        scope: &Scope,
        request: &WriteRequest,
        conditions: impl Fn(&SecretName) -> Condition + Send + Sync,
        options: &WriteOptions,
    ) -> Result<Written, SecretsError> {
        let mut values = Vec::with_capacity(request.secrets.len());
        for (name, it) in &request.secrets {
            let template = it.references.then(|| Template::parse(it.value.expose())).transpose();
            let template = template.map_err(|source| {
                let (scope, name) = (scope.clone(), name.clone());
                SecretsError::Template { scope, name, source }
            })?;
            values.push(PendingValue {
                name,
                value: &it.value,
                condition: conditions(name),
                message: it.message.as_ref(),
                expires_at: it.expires_at,
                references: template.map(|it| it.references()),
                metadata: MetadataChange { notes: it.notes.clone(), tags: it.tags.clone() },
            });
        }
        self.store(caller, scope, Action::Write, &values, options).await
    }

    /// Writes a new value of an existing secret. Its precondition is that of the rotation.
    pub(crate) async fn rotate(
        &self,
        caller: &Caller,
        scope: &Scope,
        name: &SecretName,
        rotation: &Rotation,
        options: &WriteOptions,
    ) -> Result<Written, SecretsError> {
        self.store(caller, scope, Action::Rotate, &[pending(name, rotation)], options).await
    }

    /// Writes a new value of several existing secrets, all or none. Each has its precondition.
    pub(crate) async fn rotate_many(
        &self,
        caller: &Caller,
        scope: &Scope,
        rotations: &BTreeMap<SecretName, Rotation>,
        options: &WriteOptions,
    ) -> Result<Written, SecretsError> {
        let values: Vec<_> = rotations.iter().map(|(name, it)| pending(name, it)).collect();
        self.store(caller, scope, Action::Rotate, &values, options).await
    }

    async fn store(
        &self,
        caller: &Caller,
        scope: &Scope,
        action: Action,
        values: &[PendingValue<'_>],
        options: &WriteOptions,
    ) -> Result<Written, SecretsError> {
        if is_reserved(scope) {
            return Err(SecretsError::Reserved(scope.clone()));
        }
        self.refuse_replay(options).await?;
        // A conflict means that another replica wrote between our read and our change. The retry
        // checks the precondition again.
        CONFLICT_RETRY
            .run(
                |_| self.try_store(caller, scope, action, values, options),
                |error| matches!(error, SecretsError::Change(ChangeError::Conflict(_))),
            )
            .await
    }

    async fn try_store(
        &self,
        caller: &Caller,
        scope: &Scope,
        action: Action,
        values: &[PendingValue<'_>],
        options: &WriteOptions,
    ) -> Result<Written, SecretsError> {
        let locked = self.write_locks.lock(scope, values.iter().map(|it| it.name)).await;
        let mut locks = locked.ok_or_else(|| SecretsError::Busy(scope.clone()))?;
        let last_written = locks.iter().map(|it| **it).collect();
        let Base { latest, created } = self.base(scope, values, last_written).await?;
        let next = |name: &SecretName| Version(latest.get(name).map_or(0, |it| it.0) + 1);
        let puts: Vec<Put<'_>> = values
            .iter()
            .map(|it| Put { name: it.name, version: next(it.name), value: it.value })
            .collect();
        let StagedWrite { references, statements } = self.store.stage(scope, &puts).await?;
        let in_store = statements.is_empty();
        let versions: Vec<NewVersion> = puts
            .iter()
            .zip(references)
            .zip(values)
            .map(|((put, reference), value)| NewVersion {
                name: put.name.clone(),
                stored: StoredVersion { version: put.version, reference },
                size: put.value.len() as u64,
                condition: value.condition,
                message: value.message.cloned(),
                expires_at: value.expires_at.and_then(expiry),
                references: value.references.clone(),
                metadata: value.metadata.clone(),
            })
            .collect();
        let event = |new: &NewVersion| {
            let annotation = Annotation {
                message: new.message.as_ref(),
                change: Some(&new.metadata),
                expires_at: new.expires_at.map(Some),
            };
            let details = details(options.rule.as_deref(), &annotation);
            caller.event(action, scope, &new.name, Some(new.stored.version), details)
        };
        let numbers = versions.iter().map(|new| (new.name.clone(), new.stored.version)).collect();
        let change = self.change(
            caller,
            scope,
            options,
            versions.iter().map(event).collect(),
            written_response(scope, &numbers, created),
        );
        // From here on, until it is known how this ends, the next one asks the ledger.
        for last_written in &mut locks {
            **last_written = None;
        }
        let moved = match self.repository.write(&change, &versions, statements).await {
            Ok(moved) => moved,
            Err(error) => {
                // If the database failed, the change may still have been committed.
                if in_store && !matches!(error, ChangeError::Repository(_)) {
                    self.discard(scope, &versions).await;
                }
                return Err(error.into());
            }
        };
        for (last_written, NewVersion { stored, .. }) in locks.iter_mut().zip(&versions) {
            **last_written = Some(stored.version);
        }
        drop(locks);
        let bundles = self.push(scope, moved);
        Ok(Written { scope: scope.clone(), versions: numbers, bundles, created })
    }

    /// What the values come after. `last_written` says what this process wrote last under each
    /// name: a write without a precondition needs to know no more, and asks the ledger for nothing.
    /// If a newer version is there by now, the ledger rejects the write, and it is tried again.
    async fn base(
        &self,
        scope: &Scope,
        values: &[PendingValue<'_>],
        last_written: Option<Vec<Version>>,
    ) -> Result<Base, SecretsError> {
        if let Some(last_written) = last_written
            && values.iter().all(|it| it.condition == Condition::None)
        {
            let names = values.iter().map(|it| it.name.clone());
            return Ok(Base { latest: names.zip(last_written).collect(), created: false });
        }
        let names: Vec<&SecretName> = values.iter().map(|it| it.name).collect();
        let versions_by_name = self.repository.version_numbers(scope, &names).await?;
        for PendingValue { name, condition, .. } in values {
            let active = versions_by_name.get(*name).and_then(|numbers| numbers.active);
            if !condition.holds(active) {
                let secret = format!("{scope}/{name}");
                return Err(match condition {
                    Condition::Present => ChangeError::NotFound(secret),
                    _ => ChangeError::Precondition { secret, active },
                }
                .into());
            }
        }
        let created = versions_by_name.is_empty() && !self.repository.has_secrets(scope).await?;
        let latest = versions_by_name.into_iter().map(|(name, it)| (name, it.latest)).collect();
        Ok(Base { latest, created })
    }

    /// Removes values that the ledger rejected from the store. If that fails, they stay sealed and
    /// unreferenced.
    async fn discard(&self, scope: &Scope, versions: &[NewVersion]) {
        for NewVersion { name, stored, .. } in versions {
            if let Err(error) = self.store.destroy(scope, name, stored).await {
                tracing::warn!(%scope, %name, error = %ErrorChain(&error), "value of a rejected \
                    write not removed");
            }
        }
    }
}

fn pending<'a>(name: &'a SecretName, rotation: &'a Rotation) -> PendingValue<'a> {
    let Rotation { value, condition, message, expires_at } = rotation;
    let condition = if *condition == Condition::None { Condition::Present } else { *condition };
    let (message, expires_at) = (message.as_ref(), *expires_at);
    let metadata = MetadataChange::default();
    PendingValue { name, value, condition, message, expires_at, references: None, metadata }
}
