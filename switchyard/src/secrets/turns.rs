//! Turns: one at a time for each scope.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use contract::Scope;
use tokio::sync::{Mutex as Queue, OwnedMutexGuard};

/// How long a write waits for those before it: a store that answers late must not gather writers
/// who have long gone.
const LIMIT: Duration = Duration::from_secs(30);

/// Whose turn it is. Clones share it.
#[derive(Clone, Debug, Default)]
pub(super) struct Turns(Arc<Mutex<HashMap<Scope, Arc<Queue<()>>>>>);

impl Turns {
    /// Waits for the turn of a scope; it ends when what is returned is dropped. `None` where those
    /// before take too long.
    pub(super) async fn take(&self, scope: &Scope) -> Option<OwnedMutexGuard<()>> {
        let queue = {
            let mut queues = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            // Those that nobody waits at are not kept: scopes come and go.
            if queues.len() >= 1024 {
                queues.retain(|_, queue| Arc::strong_count(queue) > 1);
            }
            queues.entry(scope.clone()).or_default().clone()
        };
        tokio::time::timeout(LIMIT, queue.lock_owned()).await.ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn who_waits_too_long_is_told() {
        let (turns, scope) = (Turns::default(), "shop.prod.api".parse().unwrap());
        let turn = turns.take(&scope).await.unwrap();
        assert!(turns.take(&scope).await.is_none());
        drop(turn);
        assert!(turns.take(&scope).await.is_some());
    }

    #[tokio::test]
    async fn one_at_a_time_for_each_scope() {
        let turns = Turns::default();
        let (one, other): (Scope, Scope) =
            ("shop.prod.api".parse().unwrap(), "shop.prod.web".parse().unwrap());
        let turn = turns.take(&one).await.unwrap();
        drop(turns.take(&other).await.unwrap());
        let second = turns.take(&one);
        tokio::pin!(second);
        assert!(futures_util::poll!(&mut second).is_pending());
        drop(turn);
        assert!(second.await.is_some());
        for at in 0..3000 {
            drop(turns.take(&format!("p{at}").parse().unwrap()).await);
        }
        assert!(turns.0.lock().unwrap().len() <= 1025);
    }
}
