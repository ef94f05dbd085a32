//! Changes that bring no new value: back to an older version, deleted, brought back, destroyed.

use std::collections::BTreeMap;

use contract::api::{BundleState, Written};
use contract::{Scope, SecretName, Version};
use jiff::Timestamp;

use super::{Caller, Secrets, SecretsError, Terms, written};
use crate::audit::Action;
use crate::repository::{ChangeError, Respond};

/// What a delete left.
#[derive(Clone, Debug)]
pub(crate) struct Removed {
    /// The bundles that no longer hold it.
    pub(crate) bundles: Vec<BundleState>,
    /// Until when it can be brought back.
    pub(crate) recoverable_until: Timestamp,
}

/// What a destroy left.
#[derive(Clone, Debug)]
pub(crate) struct Destroyed {
    /// Those that the store has let go of already; the others follow.
    pub(crate) gone: Vec<Version>,
}

impl Secrets {
    /// Makes an older version the active one, as a new generation. Its value is read first: nothing
    /// goes back to what cannot be read.
    pub(crate) async fn rollback(
        &self,
        caller: &Caller,
        scope: &Scope,
        name: &SecretName,
        to: Version,
        terms: &Terms,
    ) -> Result<Written, SecretsError> {
        self.not_done_before(terms).await?;
        let path = || format!("{scope}/{name}");
        let Some(row) = self.repository.find_version(scope, name, to).await? else {
            return Err(match self.repository.find(scope, name).await? {
                Some(_) => ChangeError::NoVersion { secret: path(), version: to },
                None => ChangeError::NotFound(path()),
            }
            .into());
        };
        if row.state == contract::api::VersionState::Destroyed {
            return Err(ChangeError::Destroyed { secret: path(), version: to }.into());
        }
        self.store.read_version(scope, name, &row.stored()).await?;
        let event = caller.event(Action::Rollback, scope, name, Some(to), terms.rule.clone());
        let versions = BTreeMap::from([(name.clone(), to)]);
        let change = self.change(caller, scope, terms, vec![event], written(scope, &versions));
        let moved = self.repository.rollback(&change, name, to, terms.condition).await?;
        Ok(Written { scope: scope.clone(), versions, bundles: self.push(moved) })
    }

    /// Deletes a secret: no bundle holds it from now on. It can be brought back for a while.
    pub(crate) async fn delete(
        &self,
        caller: &Caller,
        scope: &Scope,
        name: &SecretName,
        terms: &Terms,
    ) -> Result<Removed, SecretsError> {
        self.not_done_before(terms).await?;
        let event = caller.event(Action::Delete, scope, name, None, terms.rule.clone());
        let until = self.recoverable_until(Timestamp::now());
        let (of, named) = (scope.clone(), name.clone());
        let respond = Respond::new(move |bundles| {
            let bundles: Vec<BundleState> = bundles.iter().map(super::state_of).collect();
            serde_json::json!({ "scope": of, "name": named, "bundles": bundles, "recoverable_until": until.to_string() }).to_string()
        });
        let change = self.change(caller, scope, terms, vec![event], respond);
        let moved = self.repository.delete(&change, name, terms.condition).await?;
        Ok(Removed { bundles: self.push(moved), recoverable_until: until })
    }

    /// Until when what was deleted at that time can be brought back.
    pub(crate) fn recoverable_until(&self, deleted_at: Timestamp) -> Timestamp {
        deleted_at.checked_add(self.retention).unwrap_or(Timestamp::MAX)
    }

    /// Brings a deleted secret back.
    pub(crate) async fn undelete(
        &self,
        caller: &Caller,
        scope: &Scope,
        name: &SecretName,
        terms: &Terms,
    ) -> Result<Written, SecretsError> {
        self.not_done_before(terms).await?;
        // Where it is not deleted there is no such version, and the change itself says why, in one
        // look: a second look here could find it deleted by then, and say that it never was.
        let version = self.repository.deleted_at_version(scope, name).await?.unwrap_or(Version(0));
        let versions = BTreeMap::from([(name.clone(), version)]);
        let event = caller.event(Action::Undelete, scope, name, Some(version), terms.rule.clone());
        let change = self.change(caller, scope, terms, vec![event], written(scope, &versions));
        let moved = self.repository.undelete(&change, name, version).await?;
        Ok(Written { scope: scope.clone(), versions, bundles: self.push(moved) })
    }

    /// Destroys versions: the ledger forbids reading them at once, and then the store lets go of
    /// them.
    pub(crate) async fn destroy(
        &self,
        caller: &Caller,
        scope: &Scope,
        name: &SecretName,
        versions: &[Version],
        terms: &Terms,
    ) -> Result<Destroyed, SecretsError> {
        self.not_done_before(terms).await?;
        let event = |version: &Version| {
            caller.event(Action::Destroy, scope, name, Some(*version), terms.rule.clone())
        };
        let (of, named, numbers) = (scope.clone(), name.clone(), versions.to_vec());
        let respond = Respond::new(move |_| {
            serde_json::json!({ "scope": of, "name": named, "versions": numbers }).to_string()
        });
        let change =
            self.change(caller, scope, terms, versions.iter().map(event).collect(), respond);
        self.repository.destroy(&change, name, versions).await?;
        Ok(Destroyed { gone: self.let_go(scope, name, versions).await })
    }

    /// Refuses, with the answer that was given, what was done before.
    pub(super) async fn not_done_before(&self, terms: &Terms) -> Result<(), SecretsError> {
        let Some(once) = &terms.once else { return Ok(()) };
        self.repository
            .answered(once)
            .await?
            .map_or(Ok(()), |answer| Err(ChangeError::Repeated(answer).into()))
    }
}
