//! Computes the bundles to publish, and the steps from the actual to the desired state. Pure.

use std::collections::BTreeMap;

use contract::secret_bundle::Status;
use contract::{BundleRef, Scope};

use crate::namespaces::NamespaceBindings;
use crate::repository::service_parts;
use crate::secret_bundle_ref::SecretBundleRef;

/// A step towards the desired state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PublishStep {
    /// Create or update a bundle's status.
    Put(SecretBundleRef, Status),
    /// Remove a bundle.
    Remove(SecretBundleRef),
}

/// The desired state: each bundle in each namespace of its project and environment.
#[must_use]
pub fn desired(
    bundles: &[(Scope, Status)],
    namespaces: &NamespaceBindings,
) -> BTreeMap<SecretBundleRef, Status> {
    let mut all = BTreeMap::new();
    for (scope, status) in bundles {
        let Some((project, environment, service)) = service_parts(scope) else { continue };
        let bundle = BundleRef::of(service, environment);
        let bound = namespaces.iter().filter(|(_, binding)| {
            binding.project == *project && binding.environment == *environment
        });
        for (namespace, _) in bound {
            all.insert(
                SecretBundleRef {
                    namespace: namespace.clone(),
                    bundle: bundle.as_str().to_owned(),
                },
                status.clone(),
            );
        }
    }
    all
}

/// The steps from `actual` to `desired`.
#[must_use]
pub fn steps(
    desired: &BTreeMap<SecretBundleRef, Status>,
    actual: &BTreeMap<SecretBundleRef, Option<Status>>,
) -> Vec<PublishStep> {
    let differs = |(key, status): &(&SecretBundleRef, &Status)| {
        actual.get(key).is_none_or(|found| found.as_ref() != Some(status))
    };
    let puts = desired
        .iter()
        .filter(differs)
        .map(|(key, status)| PublishStep::Put(key.clone(), status.clone()));
    let removals = actual
        .keys()
        .filter(|key| !desired.contains_key(key))
        .map(|key| PublishStep::Remove(key.clone()));
    puts.chain(removals).collect()
}

#[cfg(test)]
mod tests {
    use contract::Generation;

    use super::*;
    use crate::policy::NamespaceBinding;

    fn status(key: &str) -> Status {
        Status::new([key.parse().unwrap()].into(), None, Some(Generation(1)))
    }

    fn key(namespace: &str, bundle: &str) -> SecretBundleRef {
        SecretBundleRef { namespace: namespace.into(), bundle: bundle.into() }
    }

    fn namespaces() -> NamespaceBindings {
        let bound = |project: &str, environment: &str| NamespaceBinding {
            project: project.parse().unwrap(),
            environment: environment.parse().unwrap(),
        };
        [
            ("shop-prod".to_owned(), bound("shop", "prod")),
            ("shop-prod-2".to_owned(), bound("shop", "prod")),
            ("shop-dev".to_owned(), bound("shop", "dev")),
            ("other".to_owned(), bound("other", "prod")),
        ]
        .into()
    }

    #[test]
    fn bundles_are_published_in_their_own_namespaces() {
        let bundles = [
            ("shop.prod.api".parse().unwrap(), status("A")),
            ("shop.dev.api".parse().unwrap(), status("B")),
        ];
        let wanted = desired(&bundles, &namespaces());
        let expected = [
            (key("shop-dev", "api-dev"), status("B")),
            (key("shop-prod", "api-prod"), status("A")),
            (key("shop-prod-2", "api-prod"), status("A")),
        ];
        assert_eq!(wanted, expected.into());
    }

    #[test]
    fn only_differences_become_steps() {
        let wanted = [
            (key("n", "same"), status("A")),
            (key("n", "new"), status("A")),
            (key("n", "other"), status("A")),
        ]
        .into();
        let found = [
            (key("n", "same"), Some(status("A"))),
            (key("n", "other"), Some(status("B"))),
            (key("n", "gone"), Some(status("A"))),
            (key("n", "broken"), None),
        ]
        .into();
        assert_eq!(
            steps(&wanted, &found),
            [
                PublishStep::Put(key("n", "new"), status("A")),
                PublishStep::Put(key("n", "other"), status("A")),
                PublishStep::Remove(key("n", "broken")),
                PublishStep::Remove(key("n", "gone")),
            ]
        );
    }
}
