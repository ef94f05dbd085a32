//! Who may do what, from what is known now: the namespaces' labels, the grants, and what the
//! configuration gives to groups. The decisions themselves are in `policy`.

use std::sync::Arc;

use contract::BundleRef;
use contract::api::PrincipalKind;
use tokio::sync::watch;

use crate::audit::Pod;
use crate::namespaces::Namespaces;
use crate::policy::{
    Account, Assigned, BundleAllowed, BundleDenied, Principal, Reach, Source, decide_bundle,
};
use crate::repository::{Repository, RepositoryError, TokenRow, TokenSubject};

mod mapping;
#[cfg(test)]
mod tests;

pub use mapping::{GroupRole, GroupRoleError};

/// Decides with what the cluster, the ledger and the configuration say.
#[derive(Clone, Debug)]
pub(crate) struct Access {
    namespaces: Namespaces,
    repository: Repository,
    groups: Arc<[GroupRole]>,
    /// Grows with every change of the grants that is made here.
    changes: watch::Sender<u64>,
}

/// Why a bundle is not handed out.
#[derive(Debug, thiserror::Error)]
pub(crate) enum AccessError {
    /// The rules say no.
    #[error(transparent)]
    Denied(#[from] BundleDenied),
    /// The grants could not be read.
    #[error("read grants")]
    Repository(#[from] RepositoryError),
}

impl Access {
    pub(crate) fn new(
        namespaces: Namespaces,
        repository: Repository,
        groups: Vec<GroupRole>,
    ) -> Self {
        Self { namespaces, repository, groups: groups.into(), changes: watch::Sender::new(0) }
    }

    /// The news of namespaces, for whoever has to ask again.
    pub(crate) fn namespaces(&self) -> Namespaces {
        self.namespaces.clone()
    }

    /// The news of grants that were given or taken back here.
    pub(crate) fn grants(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }

    /// Tells that the grants changed.
    pub(crate) fn tell_grants(&self) {
        self.changes.send_modify(|count| *count = count.wrapping_add(1));
    }

    /// Whether a pod may read a bundle, and which secrets of it.
    pub(crate) async fn check(
        &self,
        pod: &Pod,
        bundle: &BundleRef,
    ) -> Result<BundleAllowed, AccessError> {
        let account = Account { namespace: &pod.namespace, name: &pod.service_account };
        let binding = self.namespaces.binding(&pod.namespace);
        // Most pods read their own service's bundle, and need no look into the ledger.
        if let Ok(allowed) = decide_bundle(account, bundle, binding.as_ref(), &[]) {
            return Ok(allowed);
        }
        let grants = self.repository.bundle_grants(&pod.namespace, &pod.service_account).await?;
        Ok(decide_bundle(account, bundle, binding.as_ref(), &grants)?)
    }

    /// Whose a token is, with the rights of this moment: what was taken back since it was made is
    /// gone.
    pub(crate) async fn principal(&self, token: &TokenRow) -> Result<Principal, RepositoryError> {
        match &token.subject {
            TokenSubject::Program { role, scope } => Ok(Principal {
                kind: PrincipalKind::Token,
                name: token.name.clone(),
                groups: Vec::new(),
                roles: vec![Assigned {
                    role: *role,
                    within: scope.clone().into(),
                    source: Source::Token,
                }],
                permits: Vec::new(),
            }),
            TokenSubject::Person { name, groups } => self.person(name, groups).await,
        }
    }

    async fn person(&self, name: &str, groups: &[String]) -> Result<Principal, RepositoryError> {
        let mut roles: Vec<Assigned> = self
            .groups
            .iter()
            .filter(|it| groups.contains(&it.group))
            .map(GroupRole::assigned)
            .collect();
        let mut permits = Vec::new();
        for row in self.repository.grants_of(name, groups).await? {
            match row.access.role() {
                Some(role) => roles.push(Assigned {
                    role,
                    within: Reach::Scope(row.scope),
                    source: Source::Grant(row.id),
                }),
                None => permits.push(row.into()),
            }
        }
        Ok(Principal {
            kind: PrincipalKind::User,
            name: name.to_owned(),
            groups: groups.to_vec(),
            roles,
            permits,
        })
    }
}
