//! The bundles that are known, in memory: keys by namespace and name.
//!
//! [`kubernetes`] or [`directory`] fills it; a review only reads it, so no answer waits for a
//! network.

pub mod directory;
pub mod kubernetes;
mod object;

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError, RwLock};

use injection::bundles::{Bundle, Bundles};

/// The bundles of all namespaces. Clones share them.
#[derive(Clone, Debug, Default)]
pub struct Catalog {
    namespaces: Arc<RwLock<Namespaces>>,
}

/// Bundles by namespace and name.
pub(crate) type Namespaces = BTreeMap<String, BTreeMap<String, Arc<Bundle>>>;

impl Catalog {
    /// Knows a bundle from now on, or knows it anew.
    pub fn set(&self, namespace: &str, name: &str, bundle: Bundle) {
        let mut namespaces = self.namespaces.write().unwrap_or_else(PoisonError::into_inner);
        namespaces
            .entry(namespace.to_owned())
            .or_default()
            .insert(name.to_owned(), Arc::new(bundle));
    }

    /// Forgets a bundle.
    pub fn remove(&self, namespace: &str, name: &str) {
        let mut namespaces = self.namespaces.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(bundles) = namespaces.get_mut(namespace) {
            bundles.remove(name);
            if bundles.is_empty() {
                namespaces.remove(namespace);
            }
        }
    }

    /// Knows these bundles and no others: a listing is done.
    pub(crate) fn replace(&self, all: Namespaces) {
        *self.namespaces.write().unwrap_or_else(PoisonError::into_inner) = all;
    }

    /// How many bundles are known.
    #[must_use]
    pub fn len(&self) -> usize {
        self.namespaces
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .values()
            .map(BTreeMap::len)
            .sum()
    }

    /// Whether no bundle is known.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.namespaces.read().unwrap_or_else(PoisonError::into_inner).is_empty()
    }
}

impl Bundles for Catalog {
    fn bundle(&self, namespace: &str, name: &str) -> Option<Arc<Bundle>> {
        let namespaces = self.namespaces.read().unwrap_or_else(PoisonError::into_inner);
        namespaces.get(namespace)?.get(name).map(Arc::clone)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bundle(key: &str) -> Bundle {
        Bundle { keys: [key.parse().unwrap()].into(), ..Bundle::default() }
    }

    #[test]
    fn a_bundle_is_of_its_namespace() {
        let catalog = Catalog::default();
        catalog.set("a", "api-prod", bundle("A"));
        catalog.set("b", "api-prod", bundle("B"));
        assert_eq!(catalog.bundle("a", "api-prod").as_deref(), Some(&bundle("A")));
        assert_eq!(catalog.bundle("b", "api-prod").as_deref(), Some(&bundle("B")));
        assert_eq!(catalog.bundle("c", "api-prod"), None);
        catalog.remove("a", "api-prod");
        catalog.remove("a", "api-prod");
        assert_eq!((catalog.bundle("a", "api-prod"), catalog.len()), (None, 1));
        catalog.replace(Namespaces::new());
        assert!(catalog.is_empty());
    }
}
