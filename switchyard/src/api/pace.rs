//! How fast one principal may ask. Reads and writes have a budget each, so that neither takes the
//! other's place.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use crate::limit::Budget;

/// Budgets that are kept. Where there are more principals than that, those that rested are
/// forgotten, and where nobody rested, whoever comes new shares one budget with the others that do.
const MOST: usize = 10_000;

/// The budgets of all principals.
pub(crate) struct Pace {
    rate: Option<Rate>,
    budgets: Mutex<HashMap<Key, Budget>>,
}

#[derive(Clone, Copy)]
struct Rate {
    burst: u32,
    every: Duration,
}

#[derive(Clone, PartialEq, Eq, Hash)]
struct Key {
    principal: String,
    writes: bool,
}

impl Pace {
    /// So many requests in a second, and so many at once before that counts. No limit where it is
    /// 0.
    pub(crate) fn new(per_second: u32, burst: u32) -> Self {
        let rate = (per_second > 0)
            .then(|| Rate { burst: burst.max(1), every: Duration::from_secs(1) / per_second });
        Self { rate, budgets: Mutex::default() }
    }

    /// Takes a request of this principal's budget.
    ///
    /// # Errors
    /// Where there is nothing left: how long to wait.
    pub(super) fn take(&self, principal: &str, writes: bool, now: Instant) -> Result<(), Duration> {
        let Some(Rate { burst, every }) = self.rate else { return Ok(()) };
        let mut budgets = self.budgets.lock().unwrap_or_else(PoisonError::into_inner);
        let mut key = Key { principal: principal.to_owned(), writes };
        if budgets.len() >= MOST && !budgets.contains_key(&key) {
            budgets.retain(|_, budget| !budget.is_full(now));
            if budgets.len() >= MOST {
                key.principal.clear();
            }
        }
        let budget = budgets.entry(key).or_insert_with(|| Budget::new(burst, every, now));
        if budget.take(now) { Ok(()) } else { Err(budget.wait(now)) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_principal_has_a_budget_for_reads_and_one_for_writes() {
        let (pace, now) = (Pace::new(2, 3), Instant::now());
        let take = |principal: &str, writes, at| {
            pace.take(principal, writes, now + Duration::from_millis(at))
        };
        for writes in [false, true] {
            for principal in ["token:a", "token:b"] {
                assert!((0..3).all(|_| take(principal, writes, 0).is_ok()));
                assert_eq!(take(principal, writes, 100), Err(Duration::from_millis(400)));
                assert!(take(principal, writes, 500).is_ok());
                assert!(take(principal, writes, 500).is_err());
            }
        }
        let free = Pace::new(0, 0);
        assert!((0..10_000).all(|_| free.take("token:a", true, now).is_ok()));
    }

    #[test]
    fn the_number_of_budgets_has_an_end() {
        let (pace, now) = (Pace::new(1, 1), Instant::now());
        for at in 0..2 * MOST {
            let _ = pace.take(&format!("token:{at}"), false, now);
        }
        assert!(pace.budgets.lock().unwrap().len() <= MOST + 1);
        // After a rest there is room again.
        let later = now + Duration::from_secs(5);
        assert!(
            pace.take("token:new", false, later).is_ok()
                && pace.take("token:newer", false, later).is_ok()
        );
        assert!(pace.budgets.lock().unwrap().len() < 5);
    }
}
