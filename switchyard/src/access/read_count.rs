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
    let mut batch = Batch::new(repository, limits);
    let (mut until, mut is_whole) = (from, true);
    for event in events {
        let (sequence, at) = (event.sequence, settled(event.at.min(now)));
        if !batch.read(event).await? {
            is_whole = false;
            break;
        }
        until = CountedUntil { sequence, at };
    }
    let is_done = is_whole && is_last;
    if is_done {
        until = CountedUntil { sequence: end.max(from.sequence), at: settled(now) };
    }
    repository.count_reads(batch.finish(), from, until, fence).await?;
    Ok(is_done)
}

/// What a batch has read of the ledger.
struct Batch<'a> {
    repository: &'a Repository,
    limits: CountLimits,
    /// The last reads by the id of the secret.
    reads: BTreeMap<i64, LastRead>,
    /// The ids of secrets, `None` where there is none. A few are read again and again.
    ids: BTreeMap<(Scope, SecretName), Option<i64>>,
    /// What generations hold.
    held: BTreeMap<(Scope, Generation), Vec<BundleMemberId>>,
    /// A thousand pods of one deployment get the same, which is looked through once.
    generations: BTreeMap<ReadGeneration, LastRead>,
    /// How many members there are to look through.
    members: usize,
}

/// A read of a generation, as far as it says which members were read.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct ReadGeneration {
    bundle: (Scope, Generation),
    is_to_pod: bool,
    details: String,
}

impl<'a> Batch<'a> {
    fn new(repository: &'a Repository, limits: CountLimits) -> Self {
        let (reads, ids) = (BTreeMap::new(), BTreeMap::new());
        let (held, generations) = (BTreeMap::new(), BTreeMap::new());
        Self { repository, limits, reads, ids, held, generations, members: 0 }
    }

    /// Adds what the event says. Returns `false`, and adds nothing, if that is too much for this
    /// batch.
    async fn read(&mut self, event: ReadEvent) -> Result<bool, RepositoryError> {
        let Some(read) = last_read(&event.actor_type, event.at) else { return Ok(true) };
        let scope = event.scope.as_deref().and_then(|scope| scope.parse::<Scope>().ok());
        let Some(scope) = scope else { return Ok(true) };
        match (event.resource_type.as_str(), event.version) {
            ("secret", _) => {
                let Ok(name) = event.resource.parse::<SecretName>() else { return Ok(true) };
                if let Some(id) = self.id_of((scope, name)).await? {
                    add(&mut self.reads, id, read);
                }
                Ok(true)
            }
            ("bundle", Some(generation)) => {
                let bundle = (scope, Generation(generation));
                let is_to_pod = event.actor_type == "pod";
                self.delivery(ReadGeneration { bundle, is_to_pod, details: event.details }, read)
                    .await
            }
            _ => Ok(true),
        }
    }

    async fn id_of(&mut self, secret: (Scope, SecretName)) -> Result<Option<i64>, RepositoryError> {
        if let Some(id) = self.ids.get(&secret) {
            return Ok(*id);
        }
        let id = self.repository.secret_id(&secret.0, &secret.1).await?;
        self.ids.insert(secret, id);
        Ok(id)
    }

    async fn delivery(
        &mut self,
        delivery: ReadGeneration,
        read: LastRead,
    ) -> Result<bool, RepositoryError> {
        if let Some(known) = self.generations.get_mut(&delivery) {
            *known = known.latest(read);
            return Ok(true);
        }
        if self.members >= self.limits.members {
            return Ok(false);
        }
        let (bundle, generation) = &delivery.bundle;
        if !self.held.contains_key(&delivery.bundle) {
            let members = self.repository.member_ids(bundle, *generation).await?;
            self.held.insert(delivery.bundle.clone(), members);
        }
        // Looking for a generation that holds nothing is work as well.
        self.members += self.held.get(&delivery.bundle).map_or(0, Vec::len).max(1);
        self.generations.insert(delivery, read);
        Ok(true)
    }

    /// The last reads, those of deliveries among them.
    fn finish(mut self) -> BTreeMap<i64, LastRead> {
        for (delivery, read) in &self.generations {
            let is_cut = delivery.details.chars().count() >= MAX_TEXT_CHARS;
            for member in self.held.get(&delivery.bundle).into_iter().flatten() {
                if delivery.had(member, is_cut) {
                    add(&mut self.reads, member.secret, *read);
                }
            }
        }
        self.reads
    }
}

fn add(reads: &mut BTreeMap<i64, LastRead>, secret: i64, read: LastRead) {
    let known = reads.entry(secret).or_default();
    *known = known.latest(read);
}

impl ReadGeneration {
    /// Whether it had one of the members, or may have had it. A person or a token gets the whole
    /// bundle, or none of it.
    fn had(&self, member: &BundleMemberId, is_cut: bool) -> bool {
        !self.is_to_pod
            || delivered(&self.details, is_cut, &member.name, &member.scope) != Delivered::No
    }
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
