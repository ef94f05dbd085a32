//! New values: the store has them before the ledger knows them, and gives them back where the
//! ledger does not take them.

use contract::api::{NewValue, WriteRequest, Written};
use contract::{Redacted, Scope, SecretName, Version};
use lockbox::{Put, Stored};
use runtime::backoff::{Backoff, random};
use runtime::logs::ErrorChain;

use super::{Caller, Secrets, SecretsError, Terms, written};
use crate::audit::Action;
use crate::repository::{ChangeError, Condition, NewVersion};

/// How often a write is tried that lost a race to another replica.
const TRIES: u32 = 6;

/// One value on its way in.
struct Incoming<'a> {
    name: &'a SecretName,
    value: &'a Redacted,
    condition: Condition,
}

impl Secrets {
    /// Writes every value of a request as its secret's next version: all of them, or none.
    pub(crate) async fn write(
        &self,
        caller: &Caller,
        scope: &Scope,
        request: &WriteRequest,
        conditions: impl Fn(&SecretName) -> Condition + Send + Sync,
        terms: &Terms,
    ) -> Result<Written, SecretsError> {
        let values: Vec<_> = request
            .secrets
            .iter()
            .map(|(name, NewValue { value, .. })| Incoming {
                name,
                value,
                condition: conditions(name),
            })
            .collect();
        self.store(caller, scope, Action::Write, &values, terms).await
    }

    /// Writes a new value of a secret that is there.
    pub(crate) async fn rotate(
        &self,
        caller: &Caller,
        scope: &Scope,
        name: &SecretName,
        value: &Redacted,
        terms: &Terms,
    ) -> Result<Written, SecretsError> {
        let condition =
            if terms.condition == Condition::None { Condition::Present } else { terms.condition };
        self.store(caller, scope, Action::Rotate, &[Incoming { name, value, condition }], terms)
            .await
    }

    async fn store(
        &self,
        caller: &Caller,
        scope: &Scope,
        action: Action,
        values: &[Incoming<'_>],
        terms: &Terms,
    ) -> Result<Written, SecretsError> {
        self.not_done_before(terms).await?;
        let mut tries = 1;
        loop {
            match self.try_store(caller, scope, action, values, terms).await {
                // Another replica wrote between our look at the ledger and our change of it. What
                // the caller said must hold is looked at again.
                Err(SecretsError::Change(ChangeError::Conflict(_))) if tries < TRIES => {
                    tokio::time::sleep(Backoff::QUICK.delay(tries, random())).await;
                    tries += 1;
                }
                other => return other,
            }
        }
    }

    async fn try_store(
        &self,
        caller: &Caller,
        scope: &Scope,
        action: Action,
        values: &[Incoming<'_>],
        terms: &Terms,
    ) -> Result<Written, SecretsError> {
        let turn = self.turns.take(scope).await.ok_or_else(|| SecretsError::Busy(scope.clone()))?;
        let counts = self.repository.counts(scope).await?;
        for Incoming { name, condition, .. } in values {
            let active = counts.get(*name).and_then(|counted| counted.active);
            if !condition.holds(active) {
                let secret = format!("{scope}/{name}");
                return Err(match condition {
                    Condition::Present => ChangeError::NotFound(secret),
                    _ => ChangeError::Precondition { secret, active },
                }
                .into());
            }
        }
        let next =
            |name: &SecretName| Version(counts.get(name).map_or(0, |counted| counted.latest.0) + 1);
        let puts: Vec<Put<'_>> = values
            .iter()
            .map(|it| Put { name: it.name, version: next(it.name), value: it.value })
            .collect();
        let references = self.store.write(scope, &puts).await?;
        let versions: Vec<NewVersion> = puts
            .iter()
            .zip(references)
            .zip(values)
            .map(|((put, reference), value)| NewVersion {
                name: put.name.clone(),
                stored: Stored { version: put.version, reference },
                size: put.value.len() as u64,
                condition: value.condition,
            })
            .collect();
        let event = |new: &NewVersion| {
            caller.event(action, scope, &new.name, Some(new.stored.version), terms.rule.clone())
        };
        let numbers = versions.iter().map(|new| (new.name.clone(), new.stored.version)).collect();
        let change = self.change(
            caller,
            scope,
            terms,
            versions.iter().map(event).collect(),
            written(scope, &numbers),
        );
        let moved = match self.repository.write(&change, &versions).await {
            Ok(moved) => moved,
            Err(error) => {
                // Where the database itself failed, the change may have been committed all the
                // same.
                if !matches!(error, ChangeError::Repository(_)) {
                    self.discard(scope, &versions).await;
                }
                return Err(error.into());
            }
        };
        drop(turn);
        Ok(Written { scope: scope.clone(), versions: numbers, bundles: self.push(moved) })
    }

    /// Takes back what the store has and the ledger did not take. Where that fails too, nothing
    /// refers to it, and it stays sealed.
    async fn discard(&self, scope: &Scope, versions: &[NewVersion]) {
        for NewVersion { name, stored, .. } in versions {
            if let Err(error) = self.store.destroy(scope, name, stored).await {
                tracing::warn!(%scope, %name, error = %ErrorChain(&error), "value of a refused write not taken back");
            }
        }
    }
}
