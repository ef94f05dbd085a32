//! Which generation's names a token was last given, so that polling does not fill the audit log.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Mutex, PoisonError};

use contract::Generation;

use crate::repository::BundleId;

/// Pairs of tokens and bundles that are remembered. Beyond, the oldest one is forgotten, and its
/// next poll is an event again.
const MAX_REMEMBERED: usize = 10_000;

/// The last generation of each bundle whose names each token was given. A generation never changes,
/// so the same one has no name that the token does not have.
#[derive(Debug, Default)]
pub(crate) struct ListedBundles(Mutex<Remembered>);

#[derive(Debug, Default)]
struct Remembered {
    last: BTreeMap<(u64, BundleId), Generation>,
    /// In order of insertion.
    order: VecDeque<(u64, BundleId)>,
}

impl ListedBundles {
    /// Whether the names of this generation are the last that the token was given.
    pub(crate) fn has(&self, token: u64, bundle: BundleId, generation: Generation) -> bool {
        let remembered = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        remembered.last.get(&(token, bundle)) == Some(&generation)
    }

    /// Remembers that the token is given the names of this generation. Their event is written.
    pub(crate) fn remember(&self, token: u64, bundle: BundleId, generation: Generation) {
        let mut remembered = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let Remembered { last, order } = &mut *remembered;
        if last.insert((token, bundle), generation).is_some() {
            return;
        }
        order.push_back((token, bundle));
        if order.len() > MAX_REMEMBERED
            && let Some(oldest) = order.pop_front()
        {
            last.remove(&oldest);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_names_of_a_generation_are_given_once() {
        let listed = ListedBundles::default();
        let is_new = |token, bundle, generation| {
            let (bundle, generation) = (BundleId(bundle), Generation(generation));
            let is_new = !listed.has(token, bundle, generation);
            listed.remember(token, bundle, generation);
            is_new
        };
        assert!(is_new(1, 1, 1) && !is_new(1, 1, 1));
        assert!(is_new(2, 1, 1) && is_new(1, 2, 1) && is_new(1, 1, 2));
        // After a rollback, the older one is another one than before.
        assert!(is_new(1, 1, 1) && !is_new(1, 1, 1));
        for token in 0..20_000 {
            assert!(is_new(100 + token, 1, 1));
        }
        let remembered = listed.0.lock().unwrap();
        assert_eq!((remembered.last.len(), remembered.order.len()), (10_000, 10_000));
    }
}
