//! The bundles that a decision can refer to.

use std::collections::BTreeSet;
use std::sync::Arc;

use contract::secret_bundle::VaultMapping;
use contract::{Label, SecretName};

/// A bundle in a namespace. Holds names only, never a value.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Bundle {
    /// The names of its secrets.
    pub keys: BTreeSet<SecretName>,
    /// Where its secrets are in Vault, which only counts where Vault is the source.
    pub vault: VaultMapping,
    /// The project that the namespace belongs to, if known.
    pub project: Option<Label>,
    /// The environment that the namespace belongs to, if known.
    pub environment: Option<Label>,
}

/// Looks bundles up.
pub trait BundleLookup {
    /// The bundle called `name` in `namespace`, if it exists.
    fn bundle(&self, namespace: &str, name: &str) -> Option<Arc<Bundle>>;
}
