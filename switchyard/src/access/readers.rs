//! Who can read secrets of a scope: each rule that lets somebody, one after the other.
//!
//! Every rule is asked alone, by the decider that serves requests. So somebody is listed once for
//! each rule that lets them, with its end, and stays a reader until the last of them is gone.

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

use contract::api::{AccessKind, Grant, PrincipalKind, SubjectKind};
use contract::{Scope, SecretName};
use jiff::Timestamp;

use super::AccessControl;
use crate::policy::{
    AccessGrant, BundleGrant, BundleRule, PodRights, PodTarget, Principal, Reach, RoleAssignment,
    RoleScope, RoleSource, ServiceAccountRef, Target, Verb, decide, decide_pod_bundle,
};
use crate::repository::{BundleId, RepositoryError, TokenSubject, service_parts};

/// How many rows are fetched at once.
const BATCH_SIZE: u32 = 500;

/// Somebody who can read, by one rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Reader {
    pub(crate) kind: AccessKind,
    pub(crate) name: String,
    /// The rule, as the audit log has it.
    pub(crate) rule: String,
    /// The grant that is the rule.
    pub(crate) grant: Option<u64>,
    /// The bundle that brings it to pods.
    pub(crate) bundle: Option<Scope>,
    /// When the rule ends.
    pub(crate) until: Option<Timestamp>,
}

/// A place in the list: what was listed last.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum ReaderPosition {
    /// The configured role of a group, by its place on the command line.
    Group(u64),
    /// A rule for jobs of CI systems, by its place among the names.
    Rule(u64),
    /// A grant, by its number.
    Grant(u64),
    /// A token, by its id.
    Token(u64),
    /// The service account of a service, by the bundle's id and the namespace.
    Service(i64, String),
}

impl fmt::Display for ReaderPosition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Group(at) => write!(f, "group.{at}"),
            Self::Rule(at) => write!(f, "rule.{at}"),
            Self::Grant(id) => write!(f, "grant.{id}"),
            Self::Token(id) => write!(f, "token.{id}"),
            Self::Service(bundle, namespace) => write!(f, "service.{bundle}.{namespace}"),
        }
    }
}

impl FromStr for ReaderPosition {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let (kind, key) = text.split_once('.').ok_or(())?;
        let number = || key.parse().map_err(drop);
        match kind {
            "group" => number().map(Self::Group),
            "rule" => number().map(Self::Rule),
            "grant" => number().map(Self::Grant),
            "token" => number().map(Self::Token),
            "service" => {
                let (bundle, namespace) = key.split_once('.').ok_or(())?;
                Ok(Self::Service(bundle.parse().map_err(drop)?, namespace.to_owned()))
            }
            _ => Err(()),
        }
    }
}

/// A search that is full when it has as many readers as are wanted.
struct Search<'a> {
    access: &'a AccessControl,
    scope: &'a Scope,
    secret: Option<&'a SecretName>,
    /// The narrower scopes that have a secret of that name.
    narrower: BTreeSet<Scope>,
    wanted: usize,
    found: Vec<(ReaderPosition, Reader)>,
}

impl AccessControl {
    /// Those who can read `secret` of `scope`, or all of the scope, after `after`: at most `limit`,
    /// each with its place.
    ///
    /// # Errors
    /// The ledger cannot be read.
    pub(crate) async fn readers(
        &self,
        scope: &Scope,
        secret: Option<&SecretName>,
        after: Option<ReaderPosition>,
        limit: usize,
    ) -> Result<Vec<(ReaderPosition, Reader)>, RepositoryError> {
        let narrower = match secret {
            Some(secret) => self.repository.scopes_with(scope, None, secret).await?,
            None => BTreeSet::new(),
        };
        let mut search =
            Search { access: self, scope, secret, narrower, wanted: limit, found: Vec::new() };
        use ReaderPosition::{Grant, Group, Rule, Service, Token};
        let start = after.unwrap_or(Group(0));
        if let Group(at) = start {
            search.groups(at);
        }
        if start < Grant(0) {
            search.rules(if let Rule(at) = start { at } else { 0 });
        }
        if start < Token(0) {
            search.grants(if let Grant(id) = start { id } else { 0 }).await?;
        }
        if start < Service(0, String::new()) {
            search.tokens(if let Token(id) = start { id } else { 0 }).await?;
        }
        search
            .services(if let Service(bundle, of) = start { Some((bundle, of)) } else { None })
            .await?;
        Ok(search.found)
    }
}

impl Search<'_> {
    fn is_full(&self) -> bool {
        self.found.len() >= self.wanted
    }

    fn target(&self) -> Target<'_> {
        self.secret.map_or(Target::Scope(self.scope), |it| Target::Secret(self.scope, it))
    }

    /// The rule that lets a principal read.
    fn rule(&self, principal: &Principal) -> Option<String> {
        decide(principal, Verb::Read, self.target()).ok().map(|it| it.rule.to_string())
    }

    /// The configured roles of groups that follow the first `after`.
    fn groups(&mut self, after: u64) {
        let access = self.access;
        let skip = usize::try_from(after).unwrap_or(usize::MAX);
        for (at, role) in (1_u64..).zip(access.groups.iter()).skip(skip) {
            if self.is_full() {
                return;
            }
            let one = with_one_right(PrincipalKind::User, vec![role.assignment()], vec![]);
            if let Some(rule) = self.rule(&one) {
                let (kind, name) = (AccessKind::Group, role.group.clone());
                let reader = Reader { kind, name, rule, grant: None, bundle: None, until: None };
                self.found.push((ReaderPosition::Group(at), reader));
            }
        }
    }

    /// The rules for jobs that follow the first `after`.
    fn rules(&mut self, after: u64) {
        let access = self.access;
        let skip = usize::try_from(after).unwrap_or(usize::MAX);
        for (at, name) in (1_u64..).zip(access.workloads.names()).skip(skip) {
            if self.is_full() {
                return;
            }
            let jobs = access.workload("", &[name.to_owned()], None);
            if let Some(rule) = self.rule(&jobs) {
                let (kind, name) = (AccessKind::Workload, name.to_owned());
                let reader = Reader { kind, name, rule, grant: None, bundle: None, until: None };
                self.found.push((ReaderPosition::Rule(at), reader));
            }
        }
    }

    async fn grants(&mut self, mut after: u64) -> Result<(), RepositoryError> {
        loop {
            let rows = self.access.repository.grants(after, BATCH_SIZE).await?;
            let Some(last) = rows.last() else { return Ok(()) };
            after = last.id;
            for grant in rows {
                if self.is_full() {
                    return Ok(());
                }
                if let Some(reader) = self.by_grant(&grant).await? {
                    self.found.push((ReaderPosition::Grant(grant.id), reader));
                }
            }
        }
    }

    async fn by_grant(&self, grant: &Grant) -> Result<Option<Reader>, RepositoryError> {
        let reader = |kind, rule, bundle| Reader {
            kind,
            name: grant.subject.name.clone(),
            rule,
            grant: Some(grant.id),
            bundle,
            until: grant.expires_at,
        };
        let kind = match grant.subject.kind {
            SubjectKind::User => AccessKind::User,
            SubjectKind::Group => AccessKind::Group,
            SubjectKind::ServiceAccount => {
                let allowed = self.pods_by_grant(grant).await?;
                return Ok(allowed
                    .map(|(rule, bundle)| reader(AccessKind::ServiceAccount, rule, Some(bundle))));
            }
        };
        let (roles, grants) = match grant.access.role() {
            Some(role) => {
                let within = RoleScope::Scope(grant.scope.clone());
                let source = RoleSource::Grant(grant.id);
                (vec![RoleAssignment { role, within, source, until: grant.expires_at }], vec![])
            }
            None => {
                let (scope, secret) = (grant.scope.clone(), grant.secret.clone());
                (vec![], vec![AccessGrant { grant: grant.id, access: grant.access, scope, secret }])
            }
        };
        let one = with_one_right(PrincipalKind::User, roles, grants);
        Ok(self.rule(&one).map(|rule| reader(kind, rule, None)))
    }

    /// The rule by which a grant brings it to the pods of a service account, and the bundle.
    async fn pods_by_grant(
        &self,
        grant: &Grant,
    ) -> Result<Option<(String, Scope)>, RepositoryError> {
        let Some((namespace, name)) = grant.subject.name.split_once('/') else { return Ok(None) };
        if !self.scope.contains(&grant.scope) || service_parts(&grant.scope).is_none() {
            return Ok(None);
        }
        let one = BundleGrant {
            namespace: namespace.to_owned(),
            service_account: name.to_owned(),
            bundle: grant.scope.clone(),
            secret: grant.secret.clone(),
            reach: grant.reach.as_ref().map_or(Reach::Service, Reach::of),
        };
        let binding = self.access.namespaces.binding(namespace);
        let rights = PodRights { binding, grants: vec![one] };
        let bundle = self.access.repository.bundle(&grant.scope).await?;
        let account = ServiceAccountRef { namespace, name };
        let rule = self.pods(account, &rights, bundle.map(|it| it.scope));
        // Its own service's bundle is listed by that rule.
        Ok(rule.filter(|(rule, _)| rule != BundleRule::OwnService.as_str()))
    }

    fn pods(
        &self,
        account: ServiceAccountRef<'_>,
        rights: &PodRights,
        bundle: Option<Scope>,
    ) -> Option<(String, Scope)> {
        let bundle = bundle?;
        let (scope, secret, narrower) = (self.scope, self.secret, &self.narrower);
        let bundles = BTreeSet::from([bundle.clone()]);
        let target = PodTarget { scope, secret, narrower, bundles: &bundles };
        let allowed = decide_pod_bundle(account, rights, target, &bundle).ok()?;
        Some((allowed.printed(), allowed.scope))
    }

    async fn tokens(&mut self, mut after: u64) -> Result<(), RepositoryError> {
        loop {
            let rows = self.access.repository.tokens(after, BATCH_SIZE).await?;
            let Some(last) = rows.last() else { return Ok(()) };
            after = last.id;
            for row in rows {
                if self.is_full() {
                    return Ok(());
                }
                // A person is listed by the grants that the sessions use, a job by its rules.
                let TokenSubject::Program { .. } = row.subject else { continue };
                let principal = self.access.principal(&row).await?;
                if let Some(rule) = self.rule(&principal) {
                    let (kind, name) = (AccessKind::Token, row.name);
                    let (grant, bundle, until) = (None, None, row.expires_at);
                    let reader = Reader { kind, name, rule, grant, bundle, until };
                    self.found.push((ReaderPosition::Token(row.id), reader));
                }
            }
        }
    }

    /// The service accounts that have the name of a service, in each namespace of its environment.
    async fn services(&mut self, after: Option<(i64, String)>) -> Result<(), RepositoryError> {
        let (mut from, mut skipped) = match after {
            Some((bundle, namespace)) => (bundle.saturating_sub(1), Some((bundle, namespace))),
            None => (0, None),
        };
        let namespaces = self.access.namespaces.all();
        loop {
            let rows = self.access.repository.bundles_after(BundleId(from), BATCH_SIZE).await?;
            let Some(last) = rows.last() else { return Ok(()) };
            from = last.id.0;
            for bundle in rows {
                let Some((project, environment, service)) = service_parts(&bundle.scope) else {
                    continue;
                };
                let seen = skipped.take_if(|(id, _)| *id == bundle.id.0).map(|it| it.1);
                let here = namespaces.iter().filter(|(name, binding)| {
                    binding.project == *project
                        && binding.environment == *environment
                        && seen.as_ref().is_none_or(|seen| *name > seen)
                });
                for (namespace, binding) in here {
                    if self.is_full() {
                        return Ok(());
                    }
                    let account = ServiceAccountRef { namespace, name: service.as_str() };
                    let rights = PodRights { binding: Some(binding.clone()), grants: vec![] };
                    let rule = self.pods(account, &rights, Some(bundle.scope.clone()));
                    if let Some((rule, of)) = rule {
                        let (kind, name) = (AccessKind::ServiceAccount, account.to_string());
                        let (grant, until) = (None, None);
                        let reader = Reader { kind, name, rule, grant, bundle: Some(of), until };
                        let position = ReaderPosition::Service(bundle.id.0, namespace.clone());
                        self.found.push((position, reader));
                    }
                }
            }
        }
    }
}

/// Somebody who has this right and no other one.
fn with_one_right(
    kind: PrincipalKind,
    roles: Vec<RoleAssignment>,
    grants: Vec<AccessGrant>,
) -> Principal {
    Principal { kind, name: String::new(), groups: Vec::new(), roles, grants }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn positions_round_trip_in_the_order_of_the_list() {
        use ReaderPosition::{Grant, Group, Rule, Service, Token};
        let all = [
            Group(0),
            Group(7),
            Rule(2),
            Grant(1),
            Grant(12),
            Token(3),
            Service(2, "a-b".into()),
            Service(11, "a".into()),
        ];
        assert!(all.is_sorted());
        for position in all {
            assert_eq!(position.to_string().parse(), Ok(position));
        }
        for text in ["", "group", "group.", "group.x", "pod.1", "service.1", "grant.-1"] {
            assert_eq!(text.parse::<ReaderPosition>(), Err(()), "{text}");
        }
    }
}
