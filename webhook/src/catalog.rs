//! The known bundles, in memory.
//!
//! [`kubernetes`] or [`directory`] fills the catalog. A review only reads it, so no review waits
//! for the network.

pub mod directory;
pub mod kubernetes;
mod object;

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError, RwLock};

use injection::{Bundle, BundleLookup};

/// The bundles of all namespaces. Clones share them.
#[derive(Clone, Debug, Default)]
pub struct Catalog {
    namespaces: Arc<RwLock<Namespaces>>,
}

/// Bundles by namespace and name.
pub(crate) type Namespaces = BTreeMap<String, BTreeMap<String, Arc<Bundle>>>;

impl Catalog {
    /// Adds or replaces a bundle.
    pub fn set(&self, namespace: &str, name: &str, bundle: Bundle) {
        let mut namespaces = self.namespaces.write().unwrap_or_else(PoisonError::into_inner);
        namespaces
            .entry(namespace.to_owned())
            .or_default()
            .insert(name.to_owned(), Arc::new(bundle));
    }

    /// Removes a bundle.
    pub fn remove(&self, namespace: &str, name: &str) {
        let mut namespaces = self.namespaces.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(bundles) = namespaces.get_mut(namespace) {
            bundles.remove(name);
            if bundles.is_empty() {
                namespaces.remove(namespace);
            }
        }
    }

    /// Replaces all bundles, after a complete list.
    pub(crate) fn replace(&self, all: Namespaces) {
        *self.namespaces.write().unwrap_or_else(PoisonError::into_inner) = all;
    }

    /// The number of bundles.
    #[must_use]
    pub fn len(&self) -> usize {
        self.namespaces
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .values()
            .map(BTreeMap::len)
            .sum()
    }

    /// Whether the catalog has no bundle.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.namespaces.read().unwrap_or_else(PoisonError::into_inner).is_empty()
    }
}

impl BundleLookup for Catalog {
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
    fn a_bundle_belongs_to_its_namespace() {
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
