//! Broadcasts the current state of each bundle to the tasks in this process that serve it.
//!
//! The ledger is the source of truth; this only saves its subscribers from polling it. Updates may
//! arrive out of order, so a bundle's revision decides which one is newer.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use contract::Scope;
use tokio::sync::watch;
use tokio::time::Instant;

use crate::repository::Bundle;

/// The state of a bundle, and when this process learned of it.
#[derive(Clone, Debug)]
pub struct BundleUpdate {
    /// The bundle.
    pub bundle: Arc<Bundle>,
    /// When the update was published in this process.
    pub published_at: Instant,
}

/// Receives the updates of one bundle. Holds `None` until the first update.
pub(crate) type BundleSubscription = watch::Receiver<Option<Arc<BundleUpdate>>>;

type BundleSender = watch::Sender<Option<Arc<BundleUpdate>>>;

/// Publishes bundle updates. Clones share their subscribers.
#[derive(Clone, Debug)]
pub struct BundleUpdates {
    bundles: Arc<Mutex<HashMap<Scope, BundleSender>>>,
    published: watch::Sender<u64>,
}

impl Default for BundleUpdates {
    fn default() -> Self {
        Self { bundles: Arc::default(), published: watch::Sender::new(0) }
    }
}

impl BundleUpdates {
    /// Publishes the state of a bundle. A state that is not newer than the last one is dropped.
    pub fn publish(&self, bundle: Bundle) {
        let mut is_newer = false;
        let mut bundles = self.bundles.lock().unwrap_or_else(PoisonError::into_inner);
        let sender =
            bundles.entry(bundle.scope.clone()).or_insert_with(|| watch::Sender::new(None));
        sender.send_if_modified(|last| {
            is_newer = last.as_ref().is_none_or(|last| last.bundle.revision < bundle.revision);
            if is_newer {
                let (bundle, published_at) = (Arc::new(bundle), Instant::now());
                *last = Some(Arc::new(BundleUpdate { bundle, published_at }));
            }
            is_newer
        });
        drop(bundles);
        if is_newer {
            self.published.send_modify(|count| *count = count.wrapping_add(1));
        }
    }

    /// Subscribes to the bundle of a service scope. Read the ledger and publish what it says after
    /// subscribing, so that no update in between is lost.
    #[must_use]
    pub fn subscribe(&self, scope: &Scope) -> BundleSubscription {
        let mut bundles = self.bundles.lock().unwrap_or_else(PoisonError::into_inner);
        bundles.entry(scope.clone()).or_insert_with(|| watch::Sender::new(None)).subscribe()
    }

    /// Changes on each published update of any bundle.
    #[must_use]
    pub fn subscribe_all(&self) -> watch::Receiver<u64> {
        self.published.subscribe()
    }
}

#[cfg(test)]
mod tests {
    use contract::Generation;

    use super::*;
    use crate::delivery::RolloutState;
    use crate::repository::BundleId;

    fn bundle(revision: u64) -> Bundle {
        let rollout = RolloutState { stable: Generation(revision * 10), target: None };
        Bundle {
            id: BundleId(1),
            scope: "shop.prod.api".parse().unwrap(),
            name: "api-prod".parse().unwrap(),
            rollout,
            revision,
            stuck: None,
            stable_tag: None,
        }
    }

    #[test]
    fn an_older_update_does_not_replace_a_newer_one() {
        let updates = BundleUpdates::default();
        let mut subscription = updates.subscribe(&bundle(1).scope);
        let all = updates.subscribe_all();
        assert!(subscription.borrow_and_update().is_none());
        updates.publish(bundle(2));
        updates.publish(bundle(1));
        updates.publish(bundle(2));
        assert!(subscription.has_changed().unwrap());
        let stable =
            subscription.borrow_and_update().as_ref().map(|update| update.bundle.rollout.stable);
        assert_eq!(stable, Some(Generation(20)));
        assert!(!subscription.has_changed().unwrap());
        assert_eq!(*all.borrow(), 1);
    }
}
