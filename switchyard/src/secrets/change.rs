//! Changes without a new value: rollback, delete, undelete and destroy.

use std::collections::BTreeMap;

use contract::api::{BundleState, Destroyed, Written};
use contract::{Scope, SecretName, Version};
use jiff::Timestamp;

use super::metadata::{Annotation, details};
use super::{Caller, Secrets, SecretsError, WriteOptions, written_response};
use crate::audit::Action;
use crate::repository::{ChangeError, RespondFn};

/// The result of a delete.
#[derive(Clone, Debug)]
pub(crate) struct DeletedSecret {
    /// The bundles that no longer contain the secret.
    pub(crate) bundles: Vec<BundleState>,
    /// Until when it can be restored.
    pub(crate) recoverable_until: Timestamp,
}

/// The result of a destroy.
#[derive(Clone, Debug)]
pub(crate) struct DestroyedVersions {
    /// Versions of which nothing is left. The retention job destroys the rest.
    pub(crate) destroyed: Vec<Version>,
}

impl Secrets {
    /// Makes an older version active, as a new generation. Its value is read first, so that a
    /// rollback never activates an unreadable version.
    pub(crate) async fn rollback(
        &self,
        caller: &Caller,
        scope: &Scope,
        name: &SecretName,
        to: Version,
        options: &WriteOptions,
    ) -> Result<Written, SecretsError> {
        self.refuse_replay(options).await?;
        let path = || format!("{scope}/{name}");
        let Some(row) = self.repository.find_version(scope, name, to).await? else {
            return Err(match self.repository.find(scope, name).await? {
                Some(_) => ChangeError::NoVersion { secret: path(), version: to },
                None => ChangeError::NotFound(path()),
            }
            .into());
        };
        if self.is_gone(&row).await? {
            return Err(ChangeError::Destroyed { secret: path(), version: to }.into());
        }
        self.store.read_version(scope, name, &row.stored()).await?;
        let details = details(
            options.rule.as_deref(),
            &Annotation { message: options.message.as_ref(), ..Annotation::default() },
        );
        let event = caller.event(Action::Rollback, scope, name, Some(to), details);
        let versions = BTreeMap::from([(name.clone(), to)]);
        let change = self.change(
            caller,
            scope,
            options,
            vec![event],
            written_response(scope, &versions, false),
        );
        let moved = self.repository.rollback(&change, name, to, options.condition).await?;
        let bundles = self.push(scope, moved);
        Ok(Written { scope: scope.clone(), versions, bundles, created: false })
    }

    /// Deletes a secret: bundles no longer contain it. It can be restored for the retention time.
    pub(crate) async fn delete(
        &self,
        caller: &Caller,
        scope: &Scope,
        name: &SecretName,
        options: &WriteOptions,
    ) -> Result<DeletedSecret, SecretsError> {
        self.refuse_replay(options).await?;
        let event = caller.event(Action::Delete, scope, name, None, options.rule.clone());
        let until = self.recoverable_until(Timestamp::now());
        let (of, named) = (scope.clone(), name.clone());
        let respond = RespondFn::new(move |bundles| {
            let bundles: Vec<BundleState> =
                bundles.iter().filter(|it| of.contains(&it.scope)).map(super::state_of).collect();
            serde_json::json!({ "scope": of, "name": named, "bundles": bundles,
                "recoverable_until": until.to_string() })
            .to_string()
        });
        let change = self.change(caller, scope, options, vec![event], respond);
        let moved = self.repository.delete(&change, name, options.condition).await?;
        Ok(DeletedSecret { bundles: self.push(scope, moved), recoverable_until: until })
    }

    /// Until when a secret deleted at `deleted_at` can be restored at least. The retention counts
    /// only time in which switchyard ran.
    pub(crate) fn recoverable_until(&self, deleted_at: Timestamp) -> Timestamp {
        deleted_at.checked_add(self.retention).unwrap_or(Timestamp::MAX)
    }

    /// Restores a deleted secret.
    pub(crate) async fn undelete(
        &self,
        caller: &Caller,
        scope: &Scope,
        name: &SecretName,
        options: &WriteOptions,
    ) -> Result<Written, SecretsError> {
        self.refuse_replay(options).await?;
        // If it is not deleted, version 0 never matches and the change itself reports the reason
        // atomically. A second query here could race with a delete.
        let version = self.repository.deleted_at_version(scope, name).await?.unwrap_or(Version(0));
        let versions = BTreeMap::from([(name.clone(), version)]);
        let event =
            caller.event(Action::Undelete, scope, name, Some(version), options.rule.clone());
        let change = self.change(
            caller,
            scope,
            options,
            vec![event],
            written_response(scope, &versions, false),
        );
        let moved = self.repository.undelete(&change, name, version).await?;
        let bundles = self.push(scope, moved);
        Ok(Written { scope: scope.clone(), versions, bundles, created: false })
    }

    /// Destroys versions: the ledger stops reads immediately, then the store destroys the values.
    pub(crate) async fn destroy(
        &self,
        caller: &Caller,
        scope: &Scope,
        name: &SecretName,
        versions: &[Version],
        options: &WriteOptions,
    ) -> Result<DestroyedVersions, SecretsError> {
        let event = |version: &Version| {
            caller.event(Action::Destroy, scope, name, Some(*version), options.rule.clone())
        };
        let (of, named, numbers) = (scope.clone(), name.clone(), versions.to_vec());
        let respond = RespondFn::new(move |_| {
            serde_json::json!({ "scope": of, "name": named, "versions": numbers }).to_string()
        });
        let change =
            self.change(caller, scope, options, versions.iter().map(event).collect(), respond);
        let changed = match self.refuse_replay(options).await {
            Ok(()) => self.repository.destroy(&change, name, versions).await.map_err(Into::into),
            Err(error) => Err(error),
        };
        match changed {
            Ok(()) => {}
            Err(SecretsError::Change(ChangeError::Replayed(stored))) => {
                let response = self.with_pending(scope, name, stored).await?;
                return Err(ChangeError::Replayed(response).into());
            }
            Err(error) => return Err(error),
        }
        Ok(DestroyedVersions { destroyed: self.destroy_pending(scope, name, versions).await })
    }

    /// Adds to the stored response of a destroy which of its versions are still pending now.
    async fn with_pending(
        &self,
        scope: &Scope,
        name: &SecretName,
        stored: String,
    ) -> Result<String, SecretsError> {
        let Ok(mut response) = serde_json::from_str::<Destroyed>(&stored) else {
            return Ok(stored);
        };
        let pending = self.repository.pending_destroys_of(scope, name).await?;
        let pending = pending.into_iter().map(|it| it.stored.version);
        response.pending = pending.filter(|it| response.versions.contains(it)).collect();
        Ok(serde_json::to_string(&response).unwrap_or(stored))
    }

    /// Rejects a replayed request, with its stored response.
    pub(super) async fn refuse_replay(&self, options: &WriteOptions) -> Result<(), SecretsError> {
        let Some(request) = &options.idempotency else { return Ok(()) };
        self.repository
            .stored_response(request)
            .await?
            .map_or(Ok(()), |response| Err(ChangeError::Replayed(response).into()))
    }
}
