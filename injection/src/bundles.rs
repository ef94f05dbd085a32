//! Which bundles exist and which keys they have: what a decision needs to know of the world.

use std::collections::BTreeSet;
use std::sync::Arc;

use contract::SecretName;

/// A bundle as a namespace has it. Names only; nobody could tell the webhook a value.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Bundle {
    /// The names of its secrets.
    pub keys: BTreeSet<SecretName>,
    /// The project that the namespace belongs to, where that is known.
    pub project: Option<String>,
    /// The environment that the namespace is, where that is known.
    pub environment: Option<String>,
}

impl Bundle {
    /// Whether the bundle has a secret of this name.
    #[must_use]
    pub fn has_key(&self, name: &str) -> bool {
        name.parse::<SecretName>().is_ok_and(|name| self.keys.contains(&name))
    }
}

/// Where the bundles are known from.
pub trait Bundles {
    /// The bundle called `name` in `namespace`, if there is one.
    fn bundle(&self, namespace: &str, name: &str) -> Option<Arc<Bundle>>;
}
