//! KeyedMutex: one at a time for each secret, with what the last one left for the next.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use contract::{Scope, SecretName};
use tokio::sync::{Mutex as AsyncMutex, OwnedMutexGuard};

/// How long a write waits for earlier ones. A slow store must not accumulate writers whose clients
/// have given up.
const LOCK_TIMEOUT: Duration = Duration::from_secs(30);

/// Unused mutexes are dropped when there are this many.
const MAX_IDLE: usize = 1024;

/// A secret, by scope and name.
type SecretKey = (Scope, SecretName);

/// A set of mutexes keyed by secret, each over a `T`. Clones share them.
#[derive(Clone, Debug)]
pub(super) struct KeyedMutex<T>(MutexMap<T>);

type MutexMap<T> = Arc<Mutex<HashMap<SecretKey, Arc<AsyncMutex<T>>>>>;

impl<T> Default for KeyedMutex<T> {
    fn default() -> Self {
        Self(Arc::default())
    }
}

impl<T: Default> KeyedMutex<T> {
    /// Locks secrets of a scope until the guards are dropped, which are in the order of the names.
    /// Returns `None` on timeout.
    pub(super) async fn lock<'n>(
        &self,
        scope: &Scope,
        names: impl Iterator<Item = &'n SecretName>,
    ) -> Option<Vec<OwnedMutexGuard<T>>> {
        // In one order for everybody, so that two writes never wait for each other.
        let names: BTreeSet<&SecretName> = names.collect();
        let mutexes = self.mutexes(scope, &names);
        let locking = async {
            let mut guards = Vec::with_capacity(mutexes.len());
            for mutex in mutexes {
                guards.push(mutex.lock_owned().await);
            }
            guards
        };
        tokio::time::timeout(LOCK_TIMEOUT, locking).await.ok()
    }

    fn mutexes(&self, scope: &Scope, names: &BTreeSet<&SecretName>) -> Vec<Arc<AsyncMutex<T>>> {
        let mut mutexes = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        // Drop unused mutexes, because secrets come and go.
        if mutexes.len() >= MAX_IDLE {
            mutexes.retain(|_, mutex| Arc::strong_count(mutex) > 1);
        }
        let key = |name: &SecretName| (scope.clone(), name.clone());
        names.iter().map(|name| mutexes.entry(key(name)).or_default().clone()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(names: &[&str]) -> Vec<SecretName> {
        names.iter().map(|name| name.parse().unwrap()).collect()
    }

    #[tokio::test(start_paused = true)]
    async fn waiting_too_long_fails() {
        let (write_locks, scope) = (KeyedMutex::<()>::default(), "shop.prod.api".parse().unwrap());
        let (a, both) = (names(&["A"]), names(&["B", "A"]));
        let guard = write_locks.lock(&scope, a.iter()).await.unwrap();
        assert!(write_locks.lock(&scope, both.iter()).await.is_none());
        drop(guard);
        assert!(write_locks.lock(&scope, both.iter()).await.is_some());
    }

    #[tokio::test]
    async fn locks_are_exclusive_per_secret() {
        let write_locks = KeyedMutex::<()>::default();
        let (one, other): (Scope, Scope) =
            ("shop.prod.api".parse().unwrap(), "shop.prod.web".parse().unwrap());
        let (a, b) = (names(&["A"]), names(&["B"]));
        let guard = write_locks.lock(&one, a.iter()).await.unwrap();
        drop(write_locks.lock(&other, a.iter()).await.unwrap());
        drop(write_locks.lock(&one, b.iter()).await.unwrap());
        let second = write_locks.lock(&one, a.iter());
        tokio::pin!(second);
        assert!(futures_util::poll!(&mut second).is_pending());
        drop(guard);
        assert!(second.await.is_some());
        for at in 0..3000 {
            let scope = format!("p{at}").parse().unwrap();
            drop(write_locks.lock(&scope, a.iter()).await);
        }
        assert!(write_locks.0.lock().unwrap().len() <= 1025);
    }
}
