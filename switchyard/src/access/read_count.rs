//! Counts the reads in the audit log: when each secret was last read, and by whom. One replica does
//! it at a time, in batches, and goes on where the last batch ended.
//!
//! A delivery counts for every secret that the pod got. If its event is too short to tell, it
//! counts for each that it may have had: nothing is called unused that a pod may use.

use std::collections::BTreeMap;
use std::time::Duration;

use contract::{Generation, Scope, SecretName};
use jiff::{SignedDuration, Timestamp};
use runtime::backoff::Backoff;
use runtime::logs::ErrorChain;

use crate::audit::MAX_TEXT_CHARS;
use crate::policy::{Delivered, delivered};
use crate::repository::{
    BundleMemberId, ChangeError, CountedUntil, Fence, LastRead, ReadEvent, Repository,
    RepositoryError,
};

/// How often reads are counted when none is waiting.
const INTERVAL: Duration = Duration::from_secs(30);

/// The pause between two batches of a log that was not counted yet. Others use the ledger too, and
/// a batch is more than they read in this time.
const PAUSE: Duration = Duration::from_secs(2);

/// How long an event may take from its time to the log, on a replica whose clock may be behind.
const SETTLED: SignedDuration = SignedDuration::from_secs(60);

/// How much one batch looks at.
#[derive(Clone, Copy, Debug)]
pub(crate) struct CountLimits {
    /// Events.
    pub(crate) events: u32,
    /// Members of generations, unless a single generation has more.
    pub(crate) members: usize,
}

const LIMITS: CountLimits = CountLimits { events: 10_000, members: 20_000 };

/// Runs while this replica holds the lease.
pub(crate) async fn run_read_count(repository: Repository, fence: Fence) {
    let mut delays = Backoff::NETWORK.delays();
    loop {
        let pause = match count_once(&repository, &fence, LIMITS).await {
            Ok(is_done) => {
                delays.reset();
                if is_done { INTERVAL } else { PAUSE }
            }
            Err(error) => {
                tracing::warn!(error = %ErrorChain(&error), "count reads, will retry");
                delays.next_delay()
            }
        };
        tokio::time::sleep(pause).await;
    }
}

/// Counts one batch. Returns whether it reached the end of the log.
///
/// # Errors
/// Another replica holds the lease, or the ledger cannot be read or written.
pub(crate) async fn count_once(
    repository: &Repository,
    fence: &Fence,
    limits: CountLimits,
) -> Result<bool, ChangeError> {
    let from = repository.counted_reads().await?;
    // Whatever was read before then is in the log up to its end now.
    let settled = |at: Timestamp| at.saturating_sub(SETTLED).unwrap_or(from.at).max(from.at);
    let now = Timestamp::now();
    let end = repository.newest_event().await?;
    let events = repository.read_events(from.sequence, end, limits.events).await?;
    let is_last = u32::try_from(events.len()).is_ok_and(|count| count < limits.events);
    let mut batch =
        Batch { repository, limits, ids: BTreeMap::new(), held: BTreeMap::new(), members: 0 };
    let mut reads = BTreeMap::new();
    let (mut until, mut is_whole) = (from, true);
    for event in events {
        if !batch.read(&event, &mut reads).await? {
            is_whole = false;
            break;
        }
        until = CountedUntil { sequence: event.sequence, at: settled(event.at.min(now)) };
    }
    let is_done = is_whole && is_last;
    if is_done {
        until = CountedUntil { sequence: end.max(from.sequence), at: settled(now) };
    }
    repository.count_reads(reads, from, until, fence).await?;
    Ok(is_done)
}

/// What a batch has read of the ledger.
struct Batch<'a> {
    repository: &'a Repository,
    limits: CountLimits,
    /// The ids of secrets, `None` where there is none. A few are read again and again.
    ids: BTreeMap<(Scope, SecretName), Option<i64>>,
    /// What generations hold. A thousand pods of one deployment get the same.
    held: BTreeMap<(Scope, Generation), Vec<BundleMemberId>>,
    members: usize,
}

impl Batch<'_> {
    /// Adds what the event says. Returns `false`, and adds nothing, if that is too much for this
    /// batch.
    async fn read(
        &mut self,
        event: &ReadEvent,
        reads: &mut BTreeMap<i64, LastRead>,
    ) -> Result<bool, RepositoryError> {
        let Some(read) = last_read(&event.actor_type, event.at) else { return Ok(true) };
        let scope = event.scope.as_deref().and_then(|scope| scope.parse::<Scope>().ok());
        let Some(scope) = scope else { return Ok(true) };
        let mut add = |secret: i64| {
            let known = reads.entry(secret).or_default();
            *known = known.latest(read);
        };
        match (event.resource_type.as_str(), event.version) {
            ("secret", _) => {
                let Ok(name) = event.resource.parse::<SecretName>() else { return Ok(true) };
                let key = (scope, name);
                let id = match self.ids.get(&key) {
                    Some(id) => *id,
                    None => {
                        let id = self.repository.secret_id(&key.0, &key.1).await?;
                        self.ids.insert(key, id);
                        id
                    }
                };
                id.into_iter().for_each(&mut add);
            }
            ("bundle", Some(generation)) => {
                let key = (scope, Generation(generation));
                if !self.held.contains_key(&key) {
                    if self.members >= self.limits.members {
                        return Ok(false);
                    }
                    let members = self.repository.member_ids(&key.0, key.1).await?;
                    // Looking for a generation that holds nothing is work as well.
                    self.members += members.len().max(1);
                    self.held.insert(key.clone(), members);
                }
                let members = self.held.get(&key).map(Vec::as_slice).unwrap_or_default();
                members.iter().filter(|it| had(event, it)).for_each(|it| add(it.secret));
            }
            _ => {}
        }
        Ok(true)
    }
}

/// Whether a read of a generation had one of its members, or may have had it.
fn had(event: &ReadEvent, member: &BundleMemberId) -> bool {
    // A person or a token gets the whole bundle, or none of it.
    if event.actor_type != "pod" {
        return true;
    }
    let is_cut = event.details.chars().count() >= MAX_TEXT_CHARS;
    delivered(&event.details, is_cut, &member.name, &member.scope) != Delivered::No
}

/// A read at this time by an actor of this kind.
fn last_read(actor_type: &str, at: Timestamp) -> Option<LastRead> {
    let (at, none) = (Some(at), LastRead::default());
    match actor_type {
        "pod" => Some(LastRead { by_pod: at, ..none }),
        "user" => Some(LastRead { by_person: at, ..none }),
        "token" | "workload" => Some(LastRead { by_program: at, ..none }),
        _ => None,
    }
}
