//! Which refusals become audit events of their own, and which are counted. Pure: the caller passes
//! `now`.
//!
//! Anyone can cause refusals, as many as they like, and an audit event can never be deleted. So
//! each principal has a number of events, and each new reason of a principal one more; what goes
//! beyond is counted by principal and reason, and the count becomes an event. Every refusal is in
//! an event or in a count, and the number of both is bounded, whatever the number of clients.

use std::collections::HashMap;
use std::time::Duration;

use runtime::address::AddressGroup;
use tokio::time::Instant;

use crate::audit::{Action, Actor, Event, Origin, Outcome, Resource, ResourceKind};
use crate::token_bucket::TokenBucket;

/// Counts become events after this time.
pub(super) const INTERVAL: Duration = Duration::from_secs(300);

/// Events of one principal at once, and then one in each interval.
const BURST_OF_PRINCIPAL: u32 = 60;

/// Events of all principals at once, and then one in [`REFILL`].
const BURST: u32 = 1000;
const REFILL: Duration = Duration::from_secs(5);

/// Principals that are told apart. Further ones are counted together.
pub(super) const MAX_PRINCIPALS: usize = 1000;

/// Reasons of one principal that are told apart. Further ones are counted together.
const MAX_REASONS: usize = 8;

/// Counts of an interval that become events of their own. The smallest are counted together.
const MAX_COUNTS: usize = 64;

/// All refusals of late.
#[derive(Debug)]
pub(super) struct RefusalTable {
    all: TokenBucket,
    principals: HashMap<RefusedPrincipal, PrincipalRefusals>,
}

/// Who is refused, as far as it is told apart: a namespace and not its pods, a network and not its
/// addresses, because one tenant can make many of them.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum RefusedPrincipal {
    Address(Option<AddressGroup>),
    Namespace(String),
    Named(&'static str, String),
    /// All that there is no room for.
    Others,
}

#[derive(Debug)]
struct PrincipalRefusals {
    own: TokenBucket,
    counts: HashMap<RefusalReason, RefusalCount>,
}

/// What was refused and why. `None` for all that there is no room for.
type RefusalReason = Option<(Action, ResourceKind, String, Option<String>, Option<String>)>;

#[derive(Debug)]
struct RefusalCount {
    /// The first refusal that is counted.
    event: Event,
    refusals: u64,
    since: Instant,
}

/// PrincipalRefusals that become one event.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct CountedRefusals {
    /// The first of them.
    pub(super) event: Event,
    pub(super) refusals: u64,
    /// How long ago the first one was.
    pub(super) within: Duration,
}

impl RefusalTable {
    pub(super) fn new(now: Instant) -> Self {
        Self { all: TokenBucket::new(BURST, REFILL, now), principals: HashMap::new() }
    }

    /// Takes note of a refusal. Returns whether it becomes an event of its own. With `only_count`
    /// it never does.
    pub(super) fn note(&mut self, event: &Event, only_count: bool, now: Instant) -> bool {
        let principal = self.principal(event, now);
        let refusals =
            self.principals.entry(principal).or_insert_with(|| PrincipalRefusals::new(now));
        let reason = refusals.reason(event);
        let is_new = !refusals.counts.contains_key(&reason);
        if !only_count && self.all.is_available(now) {
            if refusals.own.take(now) {
                return self.all.take(now);
            }
            if is_new {
                refusals.counts.insert(reason, RefusalCount::new(event, 0, now));
                return self.all.take(now);
            }
        }
        refusals
            .counts
            .entry(reason)
            .or_insert_with(|| RefusalCount::new(event, 0, now))
            .add(event);
        false
    }

    /// Counts refusals again that could not be written.
    pub(super) fn put_back(&mut self, refused: CountedRefusals, now: Instant) {
        let principal = self.principal(&refused.event, now);
        let refusals =
            self.principals.entry(principal).or_insert_with(|| PrincipalRefusals::new(now));
        let reason = refusals.reason(&refused.event);
        let count = refusals.counts.entry(reason);
        count.or_insert_with(|| RefusalCount::new(&refused.event, 0, now)).refusals +=
            refused.refusals;
    }

    /// The counts that are at least `age` old, largest first.
    pub(super) fn take_older_than(&mut self, age: Duration, now: Instant) -> Vec<CountedRefusals> {
        let mut due = Vec::new();
        self.principals.retain(|_, refusals| {
            refusals.counts.retain(|_, count| {
                let within = now.saturating_duration_since(count.since);
                if within < age {
                    return true;
                }
                if count.refusals > 0 {
                    let (event, refusals) = (count.event.clone(), count.refusals);
                    due.push(CountedRefusals { event, refusals, within });
                }
                false
            });
            !refusals.counts.is_empty() || !refusals.own.is_full(now)
        });
        due.sort_by_key(|it| std::cmp::Reverse(it.refusals));
        if due.len() > MAX_COUNTS {
            let rest = due.split_off(MAX_COUNTS);
            let refusals = rest.iter().map(|it| it.refusals).sum();
            let within = rest.iter().map(|it| it.within).max().unwrap_or_default();
            due.push(CountedRefusals { event: of_others(&rest[0].event), refusals, within });
        }
        due
    }

    fn principal(&mut self, event: &Event, now: Instant) -> RefusedPrincipal {
        let principal = match &event.actor {
            Actor::Anonymous => {
                RefusedPrincipal::Address(event.origin.address.map(AddressGroup::of))
            }
            Actor::Pod(pod) => RefusedPrincipal::Namespace(pod.namespace.clone()),
            actor => RefusedPrincipal::Named(actor.kind(), actor.id()),
        };
        if self.principals.len() >= MAX_PRINCIPALS && !self.principals.contains_key(&principal) {
            self.principals.retain(|_, it| !it.counts.is_empty() || !it.own.is_full(now));
            if self.principals.len() >= MAX_PRINCIPALS {
                return RefusedPrincipal::Others;
            }
        }
        principal
    }
}

impl PrincipalRefusals {
    fn new(now: Instant) -> Self {
        let own = TokenBucket::new(BURST_OF_PRINCIPAL, INTERVAL, now);
        Self { own, counts: HashMap::new() }
    }

    fn reason(&self, event: &Event) -> RefusalReason {
        let Event { action, resource, details, .. } = event;
        let Resource { kind, id, scope } = resource;
        let reason = Some((*action, *kind, id.clone(), scope.clone(), details.clone()));
        let known = self.counts.contains_key(&reason) || self.counts.len() < MAX_REASONS;
        if known { reason } else { None }
    }
}

impl RefusalCount {
    fn new(event: &Event, refusals: u64, since: Instant) -> Self {
        Self { event: event.clone(), refusals, since }
    }

    fn add(&mut self, event: &Event) {
        // The event before the first counted one has been written as it was.
        if self.refusals == 0 {
            self.event.clone_from(event);
        } else if self.event.resource != event.resource || self.event.details != event.details {
            self.event.resource = anything();
            self.event.details = Some("for different reasons".to_owned());
        }
        self.refusals += 1;
    }
}

/// The event for refusals of several clients.
fn of_others(first: &Event) -> Event {
    Event {
        actor: Actor::Anonymous,
        action: first.action,
        resource: anything(),
        version: None,
        outcome: Outcome::Denied,
        origin: Origin::default(),
        details: Some("of different clients".to_owned()),
    }
}

fn anything() -> Resource {
    Resource { kind: ResourceKind::Api, id: "api".to_owned(), scope: None }
}

#[cfg(test)]
mod tests {
    use std::net::{IpAddr, Ipv6Addr};

    use super::*;
    use crate::audit::Pod;

    fn event(actor: Actor, resource: &str, address: IpAddr) -> Event {
        let resource =
            Resource { kind: ResourceKind::Secret, id: resource.to_owned(), scope: None };
        Event {
            actor,
            action: Action::Denied,
            resource,
            version: None,
            outcome: Outcome::Denied,
            origin: Origin { address: Some(address), ..Origin::default() },
            details: Some("read: rule deny-by-default".to_owned()),
        }
    }

    fn token(name: &str, resource: &str) -> Event {
        event(Actor::Token { name: name.to_owned() }, resource, Ipv6Addr::LOCALHOST.into())
    }

    fn total(counts: &[CountedRefusals]) -> u64 {
        counts.iter().map(|it| it.refusals).sum()
    }

    #[test]
    fn every_refusal_is_an_event_or_in_a_count() {
        let now = Instant::now();
        let mut table = RefusalTable::new(now);
        let mut events = 0;
        for number in 0..10_000 {
            events += u64::from(table.note(&token("ci", "A"), false, now));
            // A scan of names has a reason for each of them.
            events += u64::from(table.note(&token("scan", &format!("S{number}")), false, now));
        }
        // Another one is not affected.
        assert!(table.note(&token("other", "A"), false, now));
        let most = u64::from(BURST_OF_PRINCIPAL) + MAX_REASONS as u64 + 1;
        assert!(events <= 2 * most, "{events}");
        assert_eq!(table.take_older_than(INTERVAL, now), []);
        let counts = table.take_older_than(INTERVAL, now + INTERVAL);
        assert!(counts.len() <= 2 + MAX_REASONS, "{}", counts.len());
        assert_eq!(total(&counts) + events, 20_000);
        let of_scan = counts.iter().find(|it| it.event.actor.id() == "scan").unwrap();
        assert_eq!(of_scan.event.details.as_deref(), Some("for different reasons"));
        let of_ci = counts.iter().find(|it| it.event.actor.id() == "ci").unwrap();
        assert_eq!((of_ci.event.resource.id.as_str(), of_ci.within), ("A", INTERVAL));
        // The next one after an interval is an event at once.
        let later = now + 2 * INTERVAL;
        assert!(table.note(&token("ci", "A"), false, later));
        assert_eq!(table.take_older_than(INTERVAL, later), []);
    }

    #[test]
    fn the_pods_of_a_namespace_are_one_principal() {
        let now = Instant::now();
        let mut table = RefusalTable::new(now);
        let pod = |number: u32| {
            let pod = Pod {
                namespace: "stranger".into(),
                service_account: "api".into(),
                name: format!("api-{number}"),
                uid: number.to_string(),
            };
            event(Actor::Pod(pod), "A", Ipv6Addr::LOCALHOST.into())
        };
        let events = (0..1000).filter(|number| table.note(&pod(*number), false, now)).count();
        assert!(events <= BURST_OF_PRINCIPAL as usize + MAX_REASONS, "{events}");
        assert_eq!(total(&table.take_older_than(Duration::ZERO, now)), 1000 - events as u64);
    }

    #[test]
    fn any_number_of_addresses_makes_a_bounded_number_of_events() {
        let now = Instant::now();
        let mut table = RefusalTable::new(now);
        let mut events = 0;
        for number in 0..20_000 {
            let address = Ipv6Addr::from_bits((0x2001_0db8 << 96) + (number << 64));
            let refused = event(Actor::Anonymous, "api", address.into());
            events += u64::from(table.note(&refused, false, now));
            assert!(table.principals.len() <= MAX_PRINCIPALS + 1);
        }
        assert!(events <= u64::from(BURST), "{events}");
        let counts = table.take_older_than(Duration::ZERO, now + INTERVAL);
        assert!(counts.len() <= MAX_COUNTS + 1, "{}", counts.len());
        assert_eq!(total(&counts) + events, 20_000);
        // What is quiet is forgotten.
        table.take_older_than(Duration::ZERO, now + INTERVAL * (BURST_OF_PRINCIPAL + 1));
        assert!(table.principals.is_empty());
    }

    #[test]
    fn a_full_disk_and_a_failed_write_lose_no_count() {
        let now = Instant::now();
        let mut table = RefusalTable::new(now);
        assert!((0..100).all(|_| !table.note(&token("ci", "A"), true, now)));
        for refused in table.take_older_than(Duration::ZERO, now) {
            table.put_back(refused, now);
        }
        table.put_back(
            CountedRefusals { event: token("late", "A"), refusals: 1, within: Duration::ZERO },
            now,
        );
        assert_eq!(total(&table.take_older_than(Duration::ZERO, now)), 101);
    }
}
