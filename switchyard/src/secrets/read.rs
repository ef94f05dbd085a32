//! Reads of values. The audit event is durable before a value leaves.

use std::collections::BTreeMap;

use contract::api::SecretValue;
use contract::stream::{HeldBundle, HeldSecret};
use contract::{Generation, Scope, SecretName, Version};
use lockbox::ActiveSecret;

use super::composed::target_events;
use super::{Caller, Secrets, SecretsError};
use crate::audit::Action;
use crate::policy::MemberFilter;
use crate::repository::{Bundle, Member, Resolved, Secret, VersionRow};

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
    /// What its references lead to, if they are resolved.
    pub(crate) resolved: Option<Resolved>,
}

/// Whether references in a value are resolved.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ReadForm {
    /// As pods get it.
    Resolved,
    /// As it was written.
    Raw,
}

impl Secrets {
    /// The active values of secrets. Their events are written together.
    pub(crate) async fn read_many(
        &self,
        caller: &Caller,
        found: Vec<FoundSecret>,
    ) -> Result<Vec<ReadSecret>, SecretsError> {
        let (mut read, mut events) = (Vec::new(), Vec::new());
        for FoundSecret { scope, secret, rule, resolved } in found {
            let Secret { name, stored, updated_at, metadata, tag, .. } = secret;
            let value = self.store.read_version(&scope, &name, &stored).await?;
            let targets = resolved.as_ref().map(|it| &it.targets);
            let value = self.composed((&scope, &name), value, targets).await?;
            let version = stored.version;
            events.push(caller.event(Action::Read, &scope, &name, Some(version), rule));
            events.extend(target_events(caller, (&scope, &name), targets));
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
        (scope, name): (&Scope, &SecretName),
        form: ReadForm,
        rule: Option<String>,
    ) -> Result<ReadSecret, SecretsError> {
        let missing = || SecretsError::NotFound { scope: scope.clone(), name: name.clone() };
        let secret = self.repository.find(scope, name).await?.ok_or_else(missing)?;
        let references = secret.references.as_ref().filter(|_| form == ReadForm::Resolved);
        let resolved = self.resolve((scope, name), references).await?;
        let found = FoundSecret { scope: scope.clone(), secret, rule, resolved };
        self.read_many(caller, vec![found]).await?.pop().ok_or_else(missing)
    }

    /// The value of one version of a secret. References lead to the active versions of their
    /// targets.
    pub(crate) async fn read_version(
        &self,
        caller: &Caller,
        (scope, name): (&Scope, &SecretName),
        version: Version,
        form: ReadForm,
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
        let references = row.references.as_ref().filter(|_| form == ReadForm::Resolved);
        let resolved = self.resolve((scope, name), references).await?;
        let targets = resolved.as_ref().map(|it| &it.targets);
        let value = self.store.read_version(scope, name, &row.stored()).await?;
        let value = self.composed((scope, name), value, targets).await?;
        let mut events = vec![caller.event(Action::Read, scope, name, Some(version), rule)];
        events.extend(target_events(caller, (scope, name), targets));
        self.audit.record_all(events).await?;
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
        let members: Vec<(SecretName, Member)> = members
            .into_iter()
            .filter(|(name, member)| filter.matches(name, &member.scope))
            .collect();
        let wanted: Vec<ActiveSecret> = members
            .iter()
            .map(|(name, Member { scope, stored, .. })| ActiveSecret {
                scope: scope.clone(),
                name: name.clone(),
                stored: stored.clone(),
            })
            .collect();
        let values = self.store.read_versions(&wanted).await?;
        let mut secrets = BTreeMap::new();
        for ((name, Member { scope, stored, targets }), value) in members.into_iter().zip(values) {
            let value = self.composed((&scope, &name), value, targets.as_ref()).await?;
            secrets.insert(name, HeldSecret { version: stored.version, value });
        }
        let tag = bundle.tag_of(generation);
        Ok(HeldBundle { bundle: bundle.name.clone(), generation, tag, secrets })
    }
}
