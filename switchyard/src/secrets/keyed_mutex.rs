//! KeyedMutex: one at a time for each scope.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use contract::Scope;
use tokio::sync::{Mutex as AsyncMutex, OwnedMutexGuard};

/// How long a write waits for earlier ones. A slow store must not accumulate writers whose clients
/// have given up.
const LOCK_TIMEOUT: Duration = Duration::from_secs(30);

/// Unused mutexes are dropped when there are this many.
const MAX_IDLE: usize = 1024;

/// A set of mutexes keyed by scope. Clones share them.
#[derive(Clone, Debug, Default)]
pub(super) struct KeyedMutex(Arc<Mutex<HashMap<Scope, Arc<AsyncMutex<()>>>>>);

impl KeyedMutex {
    /// Locks a scope until the guard is dropped. Returns `None` on timeout.
    pub(super) async fn lock(&self, scope: &Scope) -> Option<OwnedMutexGuard<()>> {
        let mutex = {
            let mut mutexs = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            // Drop unused mutexes, because scopes come and go.
            if mutexs.len() >= MAX_IDLE {
                mutexs.retain(|_, mutex| Arc::strong_count(mutex) > 1);
            }
            mutexs.entry(scope.clone()).or_default().clone()
        };
        tokio::time::timeout(LOCK_TIMEOUT, mutex.lock_owned()).await.ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn waiting_too_long_fails() {
        let (write_locks, scope) = (KeyedMutex::default(), "shop.prod.api".parse().unwrap());
        let guard = write_locks.lock(&scope).await.unwrap();
        assert!(write_locks.lock(&scope).await.is_none());
        drop(guard);
        assert!(write_locks.lock(&scope).await.is_some());
    }

    #[tokio::test]
    async fn locks_are_exclusive_per_scope() {
        let write_locks = KeyedMutex::default();
        let (one, other): (Scope, Scope) =
            ("shop.prod.api".parse().unwrap(), "shop.prod.web".parse().unwrap());
        let guard = write_locks.lock(&one).await.unwrap();
        drop(write_locks.lock(&other).await.unwrap());
        let second = write_locks.lock(&one);
        tokio::pin!(second);
        assert!(futures_util::poll!(&mut second).is_pending());
        drop(guard);
        assert!(second.await.is_some());
        for at in 0..3000 {
            drop(write_locks.lock(&format!("p{at}").parse().unwrap()).await);
        }
        assert!(write_locks.0.lock().unwrap().len() <= 1025);
    }
}
