//! Answers to 'may A do B, and by which rule', by the deciders that serve requests.

use std::collections::BTreeSet;

use contract::{Scope, SecretName};

use super::AccessControl;
use crate::policy::{
    Allowed, Denied, PodDenied, PodRights, PodTarget, Principal, ServiceAccountRef, Target, Verb,
    candidate_bundles, decide, decide_audit, decide_pod, listable_secrets, remedy_for,
};
use crate::repository::RepositoryError;

/// Whether something is allowed, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Verdict {
    pub(crate) allowed: bool,
    /// The rule that decided, as the audit log has it.
    pub(crate) rule: String,
    /// The bundle that brings it to a pod.
    pub(crate) bundle: Option<Scope>,
    /// What would allow it.
    pub(crate) remedy: Option<String>,
}

impl Verdict {
    fn allowed(rule: String, bundle: Option<Scope>) -> Self {
        Self { allowed: true, rule, bundle, remedy: None }
    }

    fn denied(rule: String, remedy: String) -> Self {
        Self { allowed: false, rule, bundle: None, remedy: Some(remedy) }
    }

    /// Of a person or a program. A list of a scope, and the audit log, are answered in part; this
    /// says whether with any part.
    pub(crate) fn of_principal(principal: &Principal, verb: Verb, target: Target<'_>) -> Self {
        let decision: Result<Allowed, Denied> = match (verb, target) {
            (Verb::List, Target::Scope(scope)) => listable_secrets(principal, scope).map(|it| it.1),
            (Verb::Audit, _) => decide_audit(principal, target.scope()).map(|it| it.1),
            _ => decide(principal, verb, target),
        };
        match decision {
            Ok(Allowed { rule }) => Self::allowed(rule.to_string(), None),
            Err(denied) => Self::denied(denied.rule.to_string(), denied.hint),
        }
    }

    /// Of all members of a group, whatever else they have.
    pub(crate) fn of_group(
        group: &str,
        members: &Principal,
        verb: Verb,
        target: Target<'_>,
    ) -> Self {
        let verdict = Self::of_principal(members, verb, target);
        let subject = format!("group:{group}");
        Self { remedy: verdict.remedy.map(|_| remedy_for(&subject, verb, target)), ..verdict }
    }
}

impl AccessControl {
    /// Whether the pods of a service account do `verb` to secrets of a scope.
    ///
    /// # Errors
    /// The ledger cannot be read.
    pub(crate) async fn pods_may(
        &self,
        account: ServiceAccountRef<'_>,
        verb: Verb,
        scope: &Scope,
        secret: Option<&SecretName>,
    ) -> Result<Verdict, RepositoryError> {
        if verb != Verb::Read {
            return Ok(Verdict::denied(
                "rule pods-only-read: a pod reads bundles and does nothing else".to_owned(),
                "give a program a token: enclii tokens create".to_owned(),
            ));
        }
        let rights = self.pod_rights(account).await?;
        let mut bundles = BTreeSet::new();
        for candidate in candidate_bundles(account, &rights, scope) {
            if self.repository.bundle(&candidate).await?.is_some() {
                bundles.insert(candidate);
            }
        }
        let narrower = match (secret, &rights.binding) {
            (Some(secret), Some(binding)) => {
                self.repository.scopes_with(scope, Some(&binding.environment), secret).await?
            }
            _ => BTreeSet::new(),
        };
        let target = PodTarget { scope, secret, narrower: &narrower, bundles: &bundles };
        Ok(match decide_pod(account, &rights, target) {
            Ok(allowed) => Verdict::allowed(allowed.printed(), Some(allowed.scope)),
            Err(PodDenied { rule, remedy }) => Verdict::denied(rule, remedy),
        })
    }

    /// The current rights of the pods of a service account.
    ///
    /// # Errors
    /// The ledger cannot be read.
    pub(crate) async fn pod_rights(
        &self,
        account: ServiceAccountRef<'_>,
    ) -> Result<PodRights, RepositoryError> {
        let grants = self.repository.bundle_grants(account.namespace, account.name).await?;
        Ok(PodRights { binding: self.namespaces.binding(account.namespace), grants })
    }
}
