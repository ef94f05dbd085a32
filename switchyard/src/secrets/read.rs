//! Reads of values. The audit event is durable before a value leaves.

use std::collections::BTreeMap;

use contract::api::SecretValue;
use contract::stream::{HeldBundle, HeldSecret};
use contract::{Generation, Scope, SecretName, Version};

use super::{Caller, Secrets, SecretsError};
use crate::audit::Action;
use crate::policy::MemberFilter;
use crate::repository::{Bundle, Member, Secret, VersionRow};

/// A value that was read, and the tag of its version.
#[derive(Debug)]
pub(crate) struct ReadSecret {
    pub(crate) value: SecretValue,
    pub(crate) tag: String,
}

/// A secret whose active value is to be read.
#[derive(Debug)]
pub(crate) struct FoundSecret {
    pub(crate) scope: Scope,
    pub(crate) secret: Secret,
    /// The rule that allows the read, for the audit log.
    pub(crate) rule: Option<String>,
}

impl Secrets {
    /// The active values of secrets. Their events are written together.
    pub(crate) async fn read_many(
        &self,
        caller: &Caller,
        found: Vec<FoundSecret>,
    ) -> Result<Vec<ReadSecret>, SecretsError> {
        let (mut read, mut events) = (Vec::new(), Vec::new());
        for FoundSecret { scope, secret, rule } in found {
            let Secret { name, stored, updated_at, metadata, tag, .. } = secret;
            let value = self.store.read_version(&scope, &name, &stored).await?;
            let version = stored.version;
            events.push(caller.event(Action::Read, &scope, &name, Some(version), rule));
            let value = SecretValue { scope, name, version, updated_at, value, metadata };
            read.push(ReadSecret { value, tag });
        }
        self.audit.record_all(events).await?;
        Ok(read)
    }

    /// The active value of a secret.
    pub(crate) async fn read(
        &self,
        caller: &Caller,
        scope: &Scope,
        name: &SecretName,
        rule: Option<String>,
    ) -> Result<ReadSecret, SecretsError> {
        let missing = || SecretsError::NotFound { scope: scope.clone(), name: name.clone() };
        let secret = self.repository.find(scope, name).await?.ok_or_else(missing)?;
        let value = self.store.read_version(scope, name, &secret.stored).await?;
        self.audit
            .record(caller.event(Action::Read, scope, name, Some(secret.stored.version), rule))
            .await?;
        let (scope, name, version) = (scope.clone(), name.clone(), secret.stored.version);
        let Secret { updated_at, metadata, tag, .. } = secret;
        let value = SecretValue { scope, name, version, updated_at, value, metadata };
        Ok(ReadSecret { value, tag })
    }

    /// The value of one version of a secret.
    pub(crate) async fn read_version(
        &self,
        caller: &Caller,
        scope: &Scope,
        name: &SecretName,
        version: Version,
        rule: Option<String>,
    ) -> Result<ReadSecret, SecretsError> {
        let (in_scope, named) = (|| scope.clone(), || name.clone());
        let Some(row) = self.repository.find_version(scope, name, version).await? else {
            return Err(match self.repository.find(scope, name).await? {
                Some(_) => SecretsError::NoVersion { scope: in_scope(), name: named(), version },
                None => SecretsError::NotFound { scope: in_scope(), name: named() },
            });
        };
        if self.is_gone(&row).await? {
            return Err(SecretsError::Gone { scope: in_scope(), name: named(), version });
        }
        let updated_at = row.created_at;
        let value = self.store.read_version(scope, name, &row.stored()).await?;
        self.audit.record(caller.event(Action::Read, scope, name, Some(version), rule)).await?;
        let VersionRow { metadata, tag, .. } = row;
        let (scope, name) = (in_scope(), named());
        let value = SecretValue { scope, name, version, updated_at, value, metadata };
        Ok(ReadSecret { value, tag })
    }

    /// The values of a generation, restricted to the members in `filter`. The caller must write the
    /// audit event before sending them.
    pub(crate) async fn open(
        &self,
        bundle: &Bundle,
        generation: Generation,
        filter: &MemberFilter,
    ) -> Result<HeldBundle, SecretsError> {
        let members = self.repository.members(bundle, generation).await?;
        let mut secrets = BTreeMap::new();
        for (name, Member { scope, stored }) in
            members.into_iter().filter(|(name, member)| filter.matches(name, &member.scope))
        {
            let value = self.store.read_version(&scope, &name, &stored).await?;
            secrets.insert(name, HeldSecret { version: stored.version, value });
        }
        let tag = bundle.tag_of(generation);
        Ok(HeldBundle { bundle: bundle.name.clone(), generation, tag, secrets })
    }
}
