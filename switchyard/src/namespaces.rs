//! The project and environment of each namespace, kept up to date by a watch of the cluster.

use std::collections::BTreeMap;
use std::sync::Arc;

use contract::layout::{ENVIRONMENT_LABEL, PROJECT_LABEL};
use tokio::sync::watch;

use crate::policy::NamespaceBinding;

/// The namespaces with a project and an environment, by name.
pub type NamespaceBindings = BTreeMap<String, NamespaceBinding>;

/// The current bindings of namespaces, and their changes.
#[derive(Clone, Debug)]
pub struct Namespaces(watch::Receiver<Arc<NamespaceBindings>>);

impl Namespaces {
    /// Wraps the receiver of a watch.
    #[must_use]
    pub fn new(receiver: watch::Receiver<Arc<NamespaceBindings>>) -> Self {
        Self(receiver)
    }

    /// The current binding of a namespace.
    #[must_use]
    pub fn binding(&self, namespace: &str) -> Option<NamespaceBinding> {
        self.0.borrow().get(namespace).cloned()
    }

    /// All current bindings.
    #[must_use]
    pub fn all(&self) -> Arc<NamespaceBindings> {
        Arc::clone(&self.0.borrow())
    }

    /// Waits for the next change. Waits forever if the watch has ended.
    pub async fn changed(&mut self) {
        if self.0.changed().await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}

/// The binding that the labels of a namespace set. `None` if one is missing or invalid.
#[must_use]
pub fn binding_of(labels: &BTreeMap<String, String>) -> Option<NamespaceBinding> {
    let label = |key| labels.get(key)?.parse().ok();
    Some(NamespaceBinding {
        project: label(PROJECT_LABEL)?,
        environment: label(ENVIRONMENT_LABEL)?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_labels_are_needed() {
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
