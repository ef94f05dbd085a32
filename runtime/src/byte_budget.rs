//! A budget of bytes for what peers make a process hold: bodies that are arriving and answers that
//! are not read. Each owner has a share, so that one cannot use up the budget of all.
//!
//! Only owners that hold bytes are remembered.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::{Instant, timeout_at};

/// The budget. Clones share it.
#[derive(Clone, Debug)]
pub struct ByteBudget {
    shared: Arc<SharedBudget>,
}

#[derive(Debug)]
struct SharedBudget {
    max: usize,
    max_per_owner: usize,
    used: Mutex<HeldBytes>,
    freed: Notify,
}

#[derive(Debug, Default)]
struct HeldBytes {
    all: usize,
    owners: HashMap<String, usize>,
}

/// Which part of the budget is used up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BudgetError {
    /// The owner's share.
    #[error("hold bytes: the owner holds the most that it may, {0} bytes")]
    Owner(usize),
    /// The budget of all.
    #[error("hold bytes: all owners hold the most that they may, {0} bytes")]
    All(usize),
}

/// Bytes of the budget, returned when it is dropped.
#[derive(Debug)]
pub struct ByteLease {
    budget: ByteBudget,
    owner: String,
    bytes: usize,
}

impl ByteBudget {
    /// A budget of `max` bytes, of which one owner may hold `max_per_owner`.
    #[must_use]
    pub fn new(max: usize, max_per_owner: usize) -> Self {
        let (used, freed) = (Mutex::default(), Notify::new());
        Self { shared: Arc::new(SharedBudget { max, max_per_owner, used, freed }) }
    }

    /// A lease of no bytes yet.
    #[must_use]
    pub fn lease(&self, owner: &str) -> ByteLease {
        ByteLease { budget: self.clone(), owner: owner.to_owned(), bytes: 0 }
    }

    /// The bytes that are held now.
    #[must_use]
    pub fn used(&self) -> usize {
        self.lock().all
    }

    fn lock(&self) -> MutexGuard<'_, HeldBytes> {
        self.shared.used.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl ByteLease {
    /// Changes the lease to `bytes`. What is larger than an owner's share counts as the share: it
    /// is held alone.
    ///
    /// # Errors
    /// If the budget is used up; the lease is then as it was.
    pub fn resize(&mut self, bytes: usize) -> Result<(), BudgetError> {
        let SharedBudget { max, max_per_owner, freed, .. } = &*self.budget.shared;
        let bytes = bytes.min(*max_per_owner);
        let mut used = self.budget.lock();
        if bytes > self.bytes {
            let more = bytes - self.bytes;
            let held = used.owners.get(&self.owner).copied().unwrap_or_default();
            if held + more > *max_per_owner {
                return Err(BudgetError::Owner(*max_per_owner));
            }
            if used.all + more > *max {
                return Err(BudgetError::All(*max));
            }
            used.all += more;
            *used.owners.entry(self.owner.clone()).or_default() += more;
        } else if bytes < self.bytes {
            let less = self.bytes - bytes;
            used.all -= less;
            if let Some(held) = used.owners.get_mut(&self.owner) {
                *held -= less;
                if *held == 0 {
                    used.owners.remove(&self.owner);
                }
            }
            freed.notify_waiters();
        }
        self.bytes = bytes;
        Ok(())
    }

    /// As [`ByteLease::resize`], but waits for at most `limit` until there is room. Whoever waits
    /// must hold no bytes already, or two could wait for each other.
    ///
    /// # Errors
    /// If the budget stays used up.
    pub async fn wait_resize(&mut self, bytes: usize, limit: Duration) -> Result<(), BudgetError> {
        let deadline = Instant::now() + limit;
        loop {
            let shared = Arc::clone(&self.budget.shared);
            let mut freed = std::pin::pin!(shared.freed.notified());
            // From here on no release is missed.
            freed.as_mut().enable();
            let Err(error) = self.resize(bytes) else { return Ok(()) };
            if timeout_at(deadline, freed).await.is_err() {
                return Err(error);
            }
        }
    }
}

impl Drop for ByteLease {
    fn drop(&mut self) {
        // Less never fails.
        let _ = self.resize(0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_owner_cannot_use_up_the_budget_of_all() {
        let budget = ByteBudget::new(100, 60);
        let mut one = budget.lease("one");
        assert_eq!(one.resize(40), Ok(()));
        let mut two = budget.lease("one");
        assert_eq!(two.resize(21), Err(BudgetError::Owner(60)));
        assert_eq!(two.resize(20), Ok(()));
        let mut other = budget.lease("other");
        assert_eq!(other.resize(41), Err(BudgetError::All(100)));
        assert_eq!(other.resize(40), Ok(()));
        assert_eq!((one.resize(10), budget.used()), (Ok(()), 70));
        drop((one, two, other));
        assert_eq!(budget.used(), 0);
        assert!(budget.lock().owners.is_empty());
    }

    #[test]
    fn what_is_larger_than_a_share_is_held_alone() {
        let budget = ByteBudget::new(100, 60);
        let mut large = budget.lease("one");
        assert_eq!(large.resize(1_000), Ok(()));
        assert_eq!(budget.lease("one").resize(1), Err(BudgetError::Owner(60)));
        drop(large);
        assert_eq!(budget.used(), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn a_wait_ends_with_room_or_in_time() {
        let budget = ByteBudget::new(100, 100);
        let (mut first, mut second) = (budget.lease("one"), budget.lease("two"));
        first.resize(80).unwrap();
        let second_limit = Duration::from_secs(10);
        let (ended, ()) = tokio::join!(second.wait_resize(50, second_limit), async {
            tokio::time::sleep(Duration::from_secs(5)).await;
            first.resize(50).unwrap();
        });
        assert_eq!(ended, Ok(()));
        let mut third = budget.lease("three");
        assert_eq!(third.wait_resize(1, second_limit).await, Err(BudgetError::All(100)));
    }
}
