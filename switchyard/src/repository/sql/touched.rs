//! What a change did, for the generations that follow from it.

use contract::SecretName;

/// What a change did, for the generations that follow from it.
#[derive(Debug)]
pub(super) struct Touched {
    /// The secrets whose active version became another one, or none.
    pub(super) names: Vec<SecretName>,
    /// Whether it may add to a bundle, which is then created if it does not exist.
    pub(super) adds: bool,
    /// Whether the ledger changed at all. If not, no event is appended.
    pub(super) changed: bool,
}

impl Touched {
    pub(super) fn added(names: Vec<SecretName>) -> Self {
        Self { names, adds: true, changed: true }
    }

    pub(super) fn switched(name: SecretName) -> Self {
        Self { names: vec![name], adds: false, changed: true }
    }

    /// Rows changed, but no active version.
    pub(super) fn nothing() -> Self {
        Self { names: Vec::new(), adds: false, changed: true }
    }

    /// The change was not needed.
    pub(super) fn unchanged() -> Self {
        Self { names: Vec::new(), adds: false, changed: false }
    }
}
