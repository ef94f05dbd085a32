//! The news of this moment: where each bundle stands, told to whoever follows it.
//!
//! The ledger is the truth; this only saves everybody from asking it. News may overtake each other,
//! so a bundle's revision decides which are newer.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use contract::Scope;
use tokio::sync::watch;
use tokio::time::Instant;

use crate::repository::Bundle;

/// Where a bundle stands, and since when that is known here.
#[derive(Clone, Debug)]
pub struct News {
    /// The bundle.
    pub bundle: Bundle,
    /// When it was told.
    pub since: Instant,
}

/// Follows one bundle. `None` until the first news.
pub(crate) type Following = watch::Receiver<Option<Arc<News>>>;

type NewsSender = watch::Sender<Option<Arc<News>>>;

/// Tells the news. Clones share them.
#[derive(Clone, Debug)]
pub struct Live {
    bundles: Arc<Mutex<HashMap<Scope, NewsSender>>>,
    any: watch::Sender<u64>,
}

impl Default for Live {
    fn default() -> Self {
        Self { bundles: Arc::default(), any: watch::Sender::new(0) }
    }
}

impl Live {
    /// Tells where a bundle stands. Older news than those that were told are dropped.
    pub fn tell(&self, bundle: Bundle) {
        let mut told = false;
        let mut bundles = self.bundles.lock().unwrap_or_else(PoisonError::into_inner);
        let sender =
            bundles.entry(bundle.scope.clone()).or_insert_with(|| watch::Sender::new(None));
        sender.send_if_modified(|news| {
            told = news.as_ref().is_none_or(|known| known.bundle.revision < bundle.revision);
            if told {
                *news = Some(Arc::new(News { bundle, since: Instant::now() }));
            }
            told
        });
        drop(bundles);
        if told {
            self.any.send_modify(|count| *count = count.wrapping_add(1));
        }
    }

    /// Follows the bundle of a service scope. The caller then tells what the ledger says, so that
    /// news from before are there too.
    #[must_use]
    pub fn follow(&self, scope: &Scope) -> Following {
        let mut bundles = self.bundles.lock().unwrap_or_else(PoisonError::into_inner);
        bundles.entry(scope.clone()).or_insert_with(|| watch::Sender::new(None)).subscribe()
    }

    /// Changes whenever anything was told.
    #[must_use]
    pub fn any(&self) -> watch::Receiver<u64> {
        self.any.subscribe()
    }
}

#[cfg(test)]
mod tests {
    use contract::Generation;

    use super::*;
    use crate::delivery::Standing;
    use crate::repository::BundleId;

    fn bundle(revision: u64) -> Bundle {
        let standing = Standing { stable: Generation(revision * 10), target: None };
        Bundle {
            id: BundleId(1),
            scope: "shop.prod.api".parse().unwrap(),
            name: "api-prod".parse().unwrap(),
            standing,
            revision,
        }
    }

    #[test]
    fn older_news_do_not_replace_newer_ones() {
        let live = Live::default();
        let mut following = live.follow(&bundle(1).scope);
        let any = live.any();
        assert!(following.borrow_and_update().is_none());
        live.tell(bundle(2));
        live.tell(bundle(1));
        live.tell(bundle(2));
        assert!(following.has_changed().unwrap());
        let stable = following.borrow_and_update().as_ref().map(|news| news.bundle.standing.stable);
        assert_eq!(stable, Some(Generation(20)));
        assert!(!following.has_changed().unwrap());
        assert_eq!(*any.borrow(), 1);
    }
}
