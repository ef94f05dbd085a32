//! The keys in use: one that wraps, and others that only unwrap.

use std::sync::Arc;

use super::{KeyId, KeyWrapper};

/// The key that new values are sealed under, and keys that older values may still need.
#[derive(Clone, Debug)]
pub struct KeyRing {
    current: Arc<dyn KeyWrapper>,
    previous: Vec<Arc<dyn KeyWrapper>>,
}

impl KeyRing {
    /// Builds a ring. A key may appear in it twice.
    #[must_use]
    pub fn new(current: Arc<dyn KeyWrapper>, previous: Vec<Arc<dyn KeyWrapper>>) -> Self {
        Self { current, previous }
    }

    /// The key that wraps.
    #[must_use]
    pub fn current(&self) -> &dyn KeyWrapper {
        &*self.current
    }

    /// The key that a row names, if the ring has it.
    #[must_use]
    pub fn find(&self, id: &KeyId) -> Option<&dyn KeyWrapper> {
        self.all().find(|key| key.name() == id.name())
    }

    /// The names of all keys, for a message.
    #[must_use]
    pub fn names(&self) -> String {
        self.all().map(KeyWrapper::name).collect::<Vec<_>>().join(", ")
    }

    fn all(&self) -> impl Iterator<Item = &dyn KeyWrapper> {
        [&self.current].into_iter().chain(&self.previous).map(|key| &**key)
    }
}
