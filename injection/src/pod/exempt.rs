//! What decides whether a pod is looked at.

use contract::annotations;

use super::Pod;

impl Pod<'_> {
    /// Whether it is the mirror of a static pod, which kubelet runs from a file whatever the API
    /// server says.
    #[must_use]
    pub fn is_mirror(&self) -> bool {
        self.annotation("kubernetes.io/config.mirror").is_some()
    }

    /// Whether it has the annotation that requests secrets.
    #[must_use]
    pub fn asks_for_secrets(&self) -> bool {
        self.annotation(annotations::SECRETS).is_some()
    }
}
