//! Who read a secret, newest first: reads of it, and deliveries of bundles that had it.

use std::collections::{BTreeMap, BTreeSet};

use audit::Record;
use contract::{BundleRef, Generation, Scope, SecretName, Version};
use jiff::Timestamp;

use crate::audit::MAX_TEXT_CHARS;
use crate::policy::{AuditReach, Delivered, delivered};
use crate::repository::{Membership, ReadQuery, Repository, RepositoryError, service_parts};

/// The most bundles that one question looks at.
pub(crate) const MAX_BUNDLES: usize = 500;

/// The most changes of bundles with the secret that one question reads: a version in a bundle is
/// one.
const MAX_MEMBERSHIPS: u32 = 100_000;

/// The most events of one bundle that one page looks at.
const MAX_LOOKED_AT: usize = 20_000;

/// Which reads are asked for.
#[derive(Clone, Debug)]
pub(crate) struct ReadsWanted {
    pub(crate) scope: Scope,
    pub(crate) secret: SecretName,
    /// Only deliveries and reads of this bundle.
    pub(crate) bundle: Option<Scope>,
    /// The kind of who read.
    pub(crate) actor_type: Option<&'static str>,
    pub(crate) since: Option<Timestamp>,
    pub(crate) until: Option<Timestamp>,
    /// Only events before this number.
    pub(crate) before: u64,
    pub(crate) limit: u32,
}

/// One read.
#[derive(Clone, Debug)]
pub(crate) struct FoundRead {
    pub(crate) record: Record,
    pub(crate) version: Option<Version>,
    /// The bundle that had it.
    pub(crate) bundle: Option<Scope>,
    /// Whether the event does not tell if it had this secret.
    pub(crate) uncertain: bool,
}

/// Why the reads cannot be listed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SecretReadsError {
    /// The secret was never written.
    #[error("there is no secret {1} in {0}")]
    NotFound(Scope, SecretName),
    /// It was in too many bundles.
    #[error(
        "the secret is or was in {0} bundles, more than {MAX_BUNDLES}; name one of them: \
            bundle=<project.environment.service>"
    )]
    TooManyBundles(usize),
    /// Its versions were in too many bundles.
    #[error(
        "the versions of the secret were in bundles more than {MAX_MEMBERSHIPS} times; name one \
            of them: bundle=<project.environment.service>"
    )]
    TooManyMemberships,
    /// The ledger cannot be read.
    #[error(transparent)]
    Repository(#[from] RepositoryError),
}

/// A page of reads.
#[derive(Debug, Default)]
pub(crate) struct FoundReads {
    pub(crate) reads: Vec<FoundRead>,
    /// The `before` of the next page.
    pub(crate) next: Option<u64>,
    /// Deliveries before this time may be missing: what generations held then was pruned.
    pub(crate) known_since: Option<Timestamp>,
}

/// The reads of a secret within what the caller may audit. A bundle that has it only in a value
/// that refers to it may be of another scope, and so `elsewhere`.
pub(crate) async fn reads_of(
    repository: &Repository,
    wanted: &ReadsWanted,
    (reach, elsewhere): (&AuditReach, Option<&AuditReach>),
) -> Result<FoundReads, SecretReadsError> {
    let missing = || SecretReadsError::NotFound(wanted.scope.clone(), wanted.secret.clone());
    let id = repository.secret_id(&wanted.scope, &wanted.secret).await?.ok_or_else(missing)?;
    let mut bundles: BTreeMap<Scope, Vec<Membership>> = BTreeMap::new();
    let memberships =
        repository.memberships(id, wanted.bundle.as_ref(), MAX_MEMBERSHIPS + 1).await?;
    if memberships.len() > MAX_MEMBERSHIPS as usize {
        return Err(SecretReadsError::TooManyMemberships);
    }
    let may_audit = |bundle: &Scope| {
        is_within(reach, bundle) || elsewhere.is_some_and(|reach| is_within(reach, bundle))
    };
    for membership in memberships.into_iter().filter(|it| may_audit(&it.bundle)) {
        bundles.entry(membership.bundle.clone()).or_default().push(membership);
    }
    if bundles.len() > MAX_BUNDLES {
        return Err(SecretReadsError::TooManyBundles(bundles.len()));
    }
    let seen = |bundle: &Scope| {
        is_within(reach, bundle) && wanted.bundle.as_ref().is_none_or(|asked| asked == bundle)
    };
    let known = repository.known_since(&wanted.scope).await?;
    let known_since = known.into_iter().filter(|(bundle, _)| seen(bundle)).map(|it| it.1).max();
    let mut page = Page::new(wanted);
    if wanted.bundle.is_none() && is_within(reach, &wanted.scope) {
        page.add_own(repository).await?;
    }
    for (bundle, memberships) in bundles {
        page.add_bundle(repository, &bundle, &memberships).await?;
    }
    let (reads, next) = page.finish();
    Ok(FoundReads { reads, next, known_since })
}

fn is_within(reach: &AuditReach, scope: &Scope) -> bool {
    match reach {
        AuditReach::Everything => true,
        AuditReach::Scopes(scopes) => is_below(scopes, scope),
    }
}

fn is_below(scopes: &BTreeSet<Scope>, scope: &Scope) -> bool {
    scopes.iter().any(|it| it.contains(scope))
}

/// The newest reads so far, by number: at most one more than a page.
struct Page<'a> {
    wanted: &'a ReadsWanted,
    size: usize,
    newest: BTreeMap<u64, FoundRead>,
    /// Only what is newer than this was looked at completely.
    looked_until: u64,
}

impl<'a> Page<'a> {
    fn new(wanted: &'a ReadsWanted) -> Self {
        let size = usize::try_from(wanted.limit).unwrap_or(usize::MAX);
        Self { wanted, size, newest: BTreeMap::new(), looked_until: 0 }
    }

    /// What is older has no room.
    fn floor(&self) -> u64 {
        let oldest = self.newest.keys().next().copied().unwrap_or_default();
        let room = if self.newest.len() > self.size { oldest } else { 0 };
        room.max(self.looked_until)
    }

    fn add(&mut self, read: FoundRead) {
        self.newest.insert(read.record.sequence, read);
        while self.newest.len() > self.size.saturating_add(1) {
            self.newest.pop_first();
        }
    }

    fn query(&self, resource_type: &'static str, scope: &Scope, resource: String) -> ReadQuery {
        ReadQuery {
            scope: scope.clone(),
            resource_type,
            resource,
            after: self.floor(),
            before: self.wanted.before,
            actor_type: self.wanted.actor_type,
            since: self.wanted.since,
            until: self.wanted.until,
            limit: self.wanted.limit.saturating_add(1),
        }
    }

    async fn add_own(&mut self, repository: &Repository) -> Result<(), RepositoryError> {
        let query = self.query("secret", &self.wanted.scope, self.wanted.secret.to_string());
        for record in repository.reads(&query).await? {
            let version = record.version.map(Version);
            self.add(FoundRead { record, version, bundle: None, uncertain: false });
        }
        Ok(())
    }

    async fn add_bundle(
        &mut self,
        repository: &Repository,
        bundle: &Scope,
        memberships: &[Membership],
    ) -> Result<(), RepositoryError> {
        let Some((_, environment, service)) = service_parts(bundle) else { return Ok(()) };
        let name = BundleRef::of(service, environment).as_str().to_owned();
        let mut query = self.query("bundle", bundle, name);
        let mut looked_at = 0;
        loop {
            query.after = self.floor();
            let records = repository.reads(&query).await?;
            let is_last = u32::try_from(records.len()).is_ok_and(|count| count < query.limit);
            looked_at += records.len();
            let Some(last) = records.last() else { return Ok(()) };
            query.before = last.sequence;
            for record in records {
                if let Some(read) = self.delivery(record, bundle, memberships) {
                    self.add(read);
                }
            }
            if is_last {
                return Ok(());
            }
            if looked_at >= MAX_LOOKED_AT {
                // The next page goes on here.
                self.looked_until = self.looked_until.max(query.before.saturating_sub(1));
                self.newest = self.newest.split_off(&query.before);
                return Ok(());
            }
        }
    }

    /// The read of the secret that an event of its bundle is, if it is one.
    fn delivery(
        &self,
        record: Record,
        bundle: &Scope,
        memberships: &[Membership],
    ) -> Option<FoundRead> {
        let generation = Generation(record.version?);
        let details = record.details.as_deref().unwrap_or_default();
        let is_cut = details.chars().count() >= MAX_TEXT_CHARS;
        let is_pod = record.pod.is_some();
        // The secret itself, and each value that it is a part of.
        let held = memberships.iter().filter(|it| it.holds_in(generation)).filter_map(|it| {
            // A person or a token gets the whole bundle, or none of it.
            let delivered = if is_pod {
                delivered(details, is_cut, &it.member.name, &it.member.scope)
            } else {
                Delivered::Yes
            };
            match delivered {
                Delivered::Yes => Some((false, it)),
                Delivered::Unknown => Some((true, it)),
                Delivered::No => None,
            }
        });
        let (uncertain, member) = held.min_by_key(|(uncertain, _)| *uncertain)?;
        let (version, bundle) = (Some(member.version), Some(bundle.clone()));
        Some(FoundRead { record, version, bundle, uncertain })
    }

    fn finish(self) -> (Vec<FoundRead>, Option<u64>) {
        let mut reads: Vec<FoundRead> = self.newest.into_values().rev().collect();
        let more = reads.len() > self.size;
        reads.truncate(self.size);
        let next = match reads.last().filter(|_| more) {
            Some(last) => Some(last.record.sequence),
            None if self.looked_until > 0 => Some(self.looked_until + 1),
            None => None,
        };
        (reads, next)
    }
}
