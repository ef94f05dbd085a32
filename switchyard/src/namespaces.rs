//! The binding of namespaces to projects and environments.

use std::collections::BTreeMap;
use std::sync::Arc;

use contract::layout::{ENVIRONMENT_LABEL, PROJECT_LABEL};
use tokio::sync::watch;

use crate::policy::Binding;

/// The bound namespaces by name.
pub type Bindings = BTreeMap<String, Binding>;

/// The current bindings, and a way to wait for changes.
#[derive(Clone, Debug)]
pub struct Namespaces(watch::Receiver<Arc<Bindings>>);

impl Namespaces {
    /// Follows `receiver`.
    #[must_use]
    pub fn new(receiver: watch::Receiver<Arc<Bindings>>) -> Self {
        Self(receiver)
    }

    /// The current binding of a namespace.
    #[must_use]
    pub fn binding(&self, namespace: &str) -> Option<Binding> {
        self.0.borrow().get(namespace).cloned()
    }

    /// All current bindings.
    #[must_use]
    pub fn all(&self) -> Arc<Bindings> {
        Arc::clone(&self.0.borrow())
    }

    /// Waits for the next change. Never returns once the sender is gone.
    pub async fn changed(&mut self) {
        if self.0.changed().await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}

/// The binding in a namespace's labels, or `None` if one is missing or invalid.
#[must_use]
pub fn binding_of(labels: &BTreeMap<String, String>) -> Option<Binding> {
    let label = |key| labels.get(key)?.parse().ok();
    Some(Binding { project: label(PROJECT_LABEL)?, environment: label(ENVIRONMENT_LABEL)? })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_binding_needs_both_labels() {
        let of = |labels: &[(&str, &str)]| {
            binding_of(&labels.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect())
        };
        let binding =
            of(&[(PROJECT_LABEL, "shop"), (ENVIRONMENT_LABEL, "prod"), ("other", "x")]).unwrap();
        assert_eq!((binding.project.as_str(), binding.environment.as_str()), ("shop", "prod"));
        assert_eq!(of(&[(PROJECT_LABEL, "shop")]), None);
        assert_eq!(of(&[(ENVIRONMENT_LABEL, "prod")]), None);
        assert_eq!(of(&[(PROJECT_LABEL, "Shop"), (ENVIRONMENT_LABEL, "prod")]), None);
        assert_eq!(of(&[(PROJECT_LABEL, ""), (ENVIRONMENT_LABEL, "prod")]), None);
        assert_eq!(of(&[(PROJECT_LABEL, "a.b"), (ENVIRONMENT_LABEL, "prod")]), None);
    }
}
