//! Which namespace is which project and environment, as far as is known now.

use std::collections::BTreeMap;
use std::sync::Arc;

use contract::layout::{ENVIRONMENT_LABEL, PROJECT_LABEL};
use tokio::sync::watch;

use crate::policy::Binding;

/// The bound namespaces by name.
pub type Bindings = BTreeMap<String, Binding>;

/// The bound namespaces, and the news of them.
#[derive(Clone, Debug)]
pub struct Namespaces(watch::Receiver<Arc<Bindings>>);

impl Namespaces {
    /// What `receiver` says.
    #[must_use]
    pub fn new(receiver: watch::Receiver<Arc<Bindings>>) -> Self {
        Self(receiver)
    }

    /// What the labels of a namespace say now.
    #[must_use]
    pub fn binding(&self, namespace: &str) -> Option<Binding> {
        self.0.borrow().get(namespace).cloned()
    }

    /// All of them now.
    #[must_use]
    pub fn all(&self) -> Arc<Bindings> {
        Arc::clone(&self.0.borrow())
    }

    /// Waits for the next change. When nobody is left who could tell of one, it waits for ever.
    pub async fn changed(&mut self) {
        if self.0.changed().await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}

/// What labels say; `None` where one is missing or is no name.
#[must_use]
pub fn binding_of(labels: &BTreeMap<String, String>) -> Option<Binding> {
    let label = |key| labels.get(key)?.parse().ok();
    Some(Binding { project: label(PROJECT_LABEL)?, environment: label(ENVIRONMENT_LABEL)? })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_labels_or_nothing() {
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
