//! The open connections of one listener: how many there are, of whom, and which one makes room.
//!
//! When the table is full, the connection that has been idle for the longest is closed, of the
//! address that has the most. So whoever opens connections and says nothing closes their own, and
//! a client with a request gets in. A connection that is answering a request is never closed.

use std::cmp::Reverse;
use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::Limits;
use super::activity::Activity;
use crate::address::AddressGroup;

/// A connection is idle for at least this long before another one may take its place: it has time
/// for a handshake and a request. Without it, more clients than the limit would only close each
/// other.
const GRACE: Duration = Duration::from_secs(1);

/// The connections of one listener.
#[derive(Clone, Debug)]
pub(super) struct ConnectionTable {
    entries: Arc<Mutex<OpenConnections>>,
    /// Told when a connection ends or becomes idle.
    changed: Arc<Notify>,
    max: usize,
    max_per_address: usize,
}

#[derive(Debug, Default)]
struct OpenConnections {
    next: u64,
    open: HashMap<u64, OpenConnection>,
    /// Connections of each address, without those that are being closed.
    groups: HashMap<AddressGroup, usize>,
}

#[derive(Debug)]
struct OpenConnection {
    group: AddressGroup,
    activity: Arc<Activity>,
    evicted: CancellationToken,
}

/// The place of one connection, until it is dropped.
#[derive(Debug)]
pub(super) struct Slot {
    table: ConnectionTable,
    id: u64,
    pub(super) activity: Arc<Activity>,
    /// Cancelled when another connection takes this place.
    pub(super) evicted: CancellationToken,
}

/// Whether a connection may be opened now.
enum Admission {
    Admitted(Slot),
    /// The address has its share, and none of it can make room.
    Refused,
    /// A connection is being closed, or can be closed from this moment on if no other one ends.
    Full(Option<Instant>),
}

impl ConnectionTable {
    pub(super) fn new(limits: &Limits) -> Self {
        Self {
            entries: Arc::default(),
            changed: Arc::default(),
            max: limits.max_connections,
            max_per_address: limits.max_per_address,
        }
    }

    /// Waits for a place for a connection from `address`. `None` when the address has more
    /// connections than it may have and uses all of them.
    pub(super) async fn admit(&self, address: IpAddr) -> Option<Slot> {
        let group = AddressGroup::of(address);
        loop {
            let wait = match self.try_admit(group, Instant::now()) {
                Admission::Admitted(slot) => return Some(slot),
                Admission::Refused => return None,
                Admission::Full(wait) => wait,
            };
            let changed = self.changed.notified();
            match wait {
                Some(until) => {
                    let _ = tokio::time::timeout_at(until, changed).await;
                }
                None => changed.await,
            }
        }
    }

    fn try_admit(&self, group: AddressGroup, now: Instant) -> Admission {
        let mut entries = self.lock();
        let held = entries.groups.get(&group).copied().unwrap_or_default();
        if held >= self.max_per_address && !group.is_loopback() {
            match entries.oldest_idle(|it| it.group == group) {
                Some((id, since)) if since + GRACE <= now => entries.evict(id),
                _ => return Admission::Refused,
            }
        }
        if entries.open.len() >= self.max {
            if entries.open.values().any(|it| it.evicted.is_cancelled()) {
                return Admission::Full(None);
            }
            return match entries.oldest_idle(|_| true) {
                Some((id, since)) if since + GRACE <= now => {
                    entries.evict(id);
                    Admission::Full(None)
                }
                Some((_, since)) => Admission::Full(Some(since + GRACE)),
                None => Admission::Full(None),
            };
        }
        let activity = Activity::new(Arc::clone(&self.changed));
        let evicted = CancellationToken::new();
        let id = entries.next;
        entries.next += 1;
        *entries.groups.entry(group).or_default() += 1;
        let entry =
            OpenConnection { group, activity: Arc::clone(&activity), evicted: evicted.clone() };
        entries.open.insert(id, entry);
        Admission::Admitted(Slot { table: self.clone(), id, activity, evicted })
    }

    fn lock(&self) -> MutexGuard<'_, OpenConnections> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl OpenConnections {
    /// The connection to close: of the address with the most connections, the one that has been
    /// idle for the longest. Also since when it is idle.
    fn oldest_idle(&self, among: impl Fn(&OpenConnection) -> bool) -> Option<(u64, Instant)> {
        let candidates = self.open.iter().filter(|(_, it)| !it.evicted.is_cancelled() && among(it));
        candidates
            .filter_map(|(id, it)| {
                let since = it.activity.idle_since()?;
                let share = self.groups.get(&it.group).copied().unwrap_or_default();
                Some(((share, Reverse(since), Reverse(*id)), *id, since))
            })
            .max_by_key(|(rank, ..)| *rank)
            .map(|(_, id, since)| (id, since))
    }

    fn evict(&mut self, id: u64) {
        if let Some(entry) = self.open.get(&id) {
            entry.evicted.cancel();
            let group = entry.group;
            self.leave(group);
        }
    }

    fn leave(&mut self, group: AddressGroup) {
        if let Some(count) = self.groups.get_mut(&group) {
            *count -= 1;
            if *count == 0 {
                self.groups.remove(&group);
            }
        }
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        let mut entries = self.table.lock();
        if let Some(entry) = entries.open.remove(&self.id)
            && !entry.evicted.is_cancelled()
        {
            entries.leave(entry.group);
        }
        drop(entries);
        self.table.changed.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(max_connections: usize, max_per_address: usize) -> ConnectionTable {
        ConnectionTable::new(&Limits { max_connections, max_per_address, ..Limits::default() })
    }

    fn address(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    async fn admitted(table: &ConnectionTable, from: &str) -> Slot {
        table.admit(address(from)).await.unwrap()
    }

    async fn pass(milliseconds: u64) {
        tokio::time::advance(Duration::from_millis(milliseconds)).await;
    }

    #[tokio::test(start_paused = true)]
    async fn the_oldest_idle_connection_of_the_largest_address_makes_room() {
        let table = table(4, 4);
        let other = admitted(&table, "192.0.2.9").await;
        pass(10).await;
        let busy = admitted(&table, "192.0.2.1").await;
        let request = busy.activity.begin();
        let old = admitted(&table, "192.0.2.1").await;
        pass(10).await;
        let new = admitted(&table, "192.0.2.1").await;
        let open = table.clone();
        let waiting = tokio::join!(admitted(&open, "192.0.2.7"), async {
            old.evicted.cancelled().await;
            assert!(![&other, &busy, &new].iter().any(|it| it.evicted.is_cancelled()));
            drop(old);
        });
        drop((waiting, request));
    }

    #[tokio::test(start_paused = true)]
    async fn an_address_with_its_share_closes_its_own() {
        let table = table(100, 2);
        let one = admitted(&table, "2001:db8::1").await;
        let two = admitted(&table, "2001:db8::2").await;
        assert!(table.admit(address("2001:db8::3")).await.is_none(), "both are young");
        admitted(&table, "2001:db8:0:1::3").await;
        pass(1_000).await;
        let three = admitted(&table, "2001:db8::3").await;
        assert!(one.evicted.is_cancelled() && !two.evicted.is_cancelled());
        let busy = (two.activity.begin(), three.activity.begin());
        pass(10_000).await;
        assert!(table.admit(address("2001:db8::4")).await.is_none(), "both are busy");
        drop((busy, one, two, three));
        assert!(table.lock().groups.is_empty() && table.lock().open.is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn loopback_has_no_share_of_its_own() {
        let table = table(3, 1);
        let mut all = Vec::new();
        for _ in 0..3 {
            all.push(admitted(&table, "127.0.0.1").await);
        }
        let first = all[0].evicted.clone();
        let open = table.clone();
        tokio::join!(admitted(&open, "::1"), async {
            first.cancelled().await;
            drop(all.remove(0));
        });
    }

    #[tokio::test(start_paused = true)]
    async fn a_full_table_waits_for_the_end_of_a_request() {
        let table = table(1, 1);
        let slot = admitted(&table, "192.0.2.1").await;
        let request = slot.activity.begin();
        let hour = Duration::from_secs(3600);
        let other = address("192.0.2.2");
        assert!(tokio::time::timeout(hour, table.admit(other)).await.is_err());
        drop(request);
        tokio::join!(table.admit(other), async {
            slot.evicted.cancelled().await;
            drop(slot);
        });
    }
}
