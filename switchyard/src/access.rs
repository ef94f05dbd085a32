//! Access control with the current state: the labels of namespaces, the grants in the ledger, and
//! the roles that the configuration assigns to groups. The rules themselves are in `policy`.

use std::sync::Arc;

use contract::BundleRef;
use contract::api::PrincipalKind;
use jiff::Timestamp;
use tokio::sync::watch;

use crate::audit::Pod;
use crate::namespaces::Namespaces;
use crate::policy::{
    BundleAllowed, BundleDenied, Principal, RoleAssignment, RoleScope, RoleSource,
    ServiceAccountRef, decide_bundle,
};
use crate::repository::{Repository, RepositoryError, TokenRow, TokenSubject};

mod configured_rights;
mod group_role;
mod read_count;
mod readers;
mod secret_reads;
#[cfg(test)]
mod tests;
mod verdict;
mod workload_rules;

pub(crate) use configured_rights::record_configured_rights;
pub use group_role::{GroupRole, GroupRoleError};
pub(crate) use read_count::run_read_count;
#[cfg(test)]
pub(crate) use read_count::{CountLimits, count_once};
pub(crate) use readers::{Reader, ReaderPosition};
pub(crate) use secret_reads::{FoundRead, FoundReads, ReadsWanted, SecretReadsError, reads_of};
pub(crate) use verdict::Verdict;
pub(crate) use workload_rules::WorkloadRules;

/// Decides about access. Clones share the state.
#[derive(Clone, Debug)]
pub(crate) struct AccessControl {
    namespaces: Namespaces,
    repository: Repository,
    groups: Arc<[GroupRole]>,
    workloads: Arc<WorkloadRules>,
    /// Counts the changes of grants that this replica makes.
    grant_changes: watch::Sender<u64>,
}

/// Why a pod may not read a bundle.
#[derive(Debug, thiserror::Error)]
pub(crate) enum AccessError {
    /// No rule allows it.
    #[error(transparent)]
    Denied(#[from] BundleDenied),
    /// The grants cannot be read.
    #[error("read grants")]
    Repository(#[from] RepositoryError),
}

impl AccessControl {
    pub(crate) fn new(
        namespaces: Namespaces,
        repository: Repository,
        groups: Vec<GroupRole>,
        workloads: WorkloadRules,
    ) -> Self {
        let (groups, workloads) = (groups.into(), Arc::new(workloads));
        Self { namespaces, repository, groups, workloads, grant_changes: watch::Sender::new(0) }
    }

    /// The namespaces and their changes.
    pub(crate) fn namespaces(&self) -> Namespaces {
        self.namespaces.clone()
    }

    /// Changes whenever this replica adds or removes a grant.
    pub(crate) fn subscribe_grants(&self) -> watch::Receiver<u64> {
        self.grant_changes.subscribe()
    }

    /// Notifies the subscribers that the grants changed.
    pub(crate) fn notify_grants_changed(&self) {
        self.grant_changes.send_modify(|count| *count = count.wrapping_add(1));
    }

    /// Whether a pod may read a bundle, and which secrets of it.
    pub(crate) async fn check(
        &self,
        pod: &Pod,
        bundle: &BundleRef,
    ) -> Result<BundleAllowed, AccessError> {
        let account = ServiceAccountRef { namespace: &pod.namespace, name: &pod.service_account };
        let binding = self.namespaces.binding(&pod.namespace);
        // Most pods read the bundle of their own service, which needs no query of the ledger.
        if let Ok(allowed) = decide_bundle(account, bundle, binding.as_ref(), &[]) {
            return Ok(allowed);
        }
        // Boxed, so that the others hold no room for it.
        let grants = self.repository.bundle_grants(&pod.namespace, &pod.service_account);
        let grants = Box::pin(grants).await?;
        Ok(decide_bundle(account, bundle, binding.as_ref(), &grants)?)
    }

    /// The principal of a token with its current rights.
    pub(crate) async fn principal(&self, token: &TokenRow) -> Result<Principal, RepositoryError> {
        match &token.subject {
            TokenSubject::Program { role, scope } => Ok(Principal {
                kind: PrincipalKind::Token,
                name: token.name.clone(),
                groups: Vec::new(),
                roles: vec![RoleAssignment {
                    role: *role,
                    within: scope.clone().into(),
                    source: RoleSource::Token,
                    until: token.expires_at,
                }],
                grants: Vec::new(),
            }),
            TokenSubject::Person { name, groups } => self.person(name, groups).await,
            TokenSubject::Workload { name, rules } => {
                Ok(self.workload(name, rules, token.expires_at))
            }
        }
    }

    /// A job that fulfils these rules, with what they give now. What it gives to others ends with
    /// its session, at `until`.
    pub(crate) fn workload(
        &self,
        name: &str,
        rules: &[String],
        until: Option<Timestamp>,
    ) -> Principal {
        let given = rules.iter().flat_map(|rule| self.workloads.roles(rule, until));
        Principal {
            kind: PrincipalKind::Workload,
            name: name.to_owned(),
            groups: Vec::new(),
            roles: given.collect(),
            grants: Vec::new(),
        }
    }

    /// Whether the configuration has a rule of this name, `ISSUER/RULE`.
    pub(crate) fn has_workload_rule(&self, rule: &str) -> bool {
        self.workloads.names().any(|it| it == rule)
    }

    /// A person in these groups, with the current rights.
    pub(crate) async fn person(
        &self,
        name: &str,
        groups: &[String],
    ) -> Result<Principal, RepositoryError> {
        let mut roles: Vec<RoleAssignment> = self
            .groups
            .iter()
            .filter(|it| groups.contains(&it.group))
            .map(GroupRole::assignment)
            .collect();
        let mut grants = Vec::new();
        for row in self.repository.grants_of(name, groups).await? {
            match row.access.role() {
                Some(role) => roles.push(RoleAssignment {
                    role,
                    within: RoleScope::Scope(row.scope),
                    source: RoleSource::Grant(row.id),
                    until: row.expires_at,
                }),
                None => grants.push(row.into()),
            }
        }
        Ok(Principal {
            kind: PrincipalKind::User,
            name: name.to_owned(),
            groups: groups.to_vec(),
            roles,
            grants,
        })
    }
}
