//! What should be published where, and the steps from what is published to that. Pure.

use std::collections::BTreeMap;

use contract::secret_bundle::Status;
use contract::{BundleRef, Scope};

use crate::namespaces::Bindings;
use crate::repository::service_parts;

/// The key of an announcement.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct SecretBundleKey {
    /// The namespace.
    pub namespace: String,
    /// The bundle's name, which is the object's.
    pub bundle: String,
}

/// One thing to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PublishStep {
    /// Make an announcement say this.
    Put(SecretBundleKey, Status),
    /// Take an announcement back.
    Remove(SecretBundleKey),
}

/// What should be published: each bundle in each namespace of its project and environment.
#[must_use]
pub fn desired(
    bundles: &[(Scope, Status)],
    namespaces: &Bindings,
) -> BTreeMap<SecretBundleKey, Status> {
    let mut all = BTreeMap::new();
    for (scope, status) in bundles {
        let Some((project, environment, service)) = service_parts(scope) else { continue };
        let bundle = BundleRef::of(service, environment);
        let bound = namespaces.iter().filter(|(_, binding)| {
            binding.project == *project && binding.environment == *environment
        });
        for (namespace, _) in bound {
            all.insert(
                SecretBundleKey {
                    namespace: namespace.clone(),
                    bundle: bundle.as_str().to_owned(),
                },
                status.clone(),
            );
        }
    }
    all
}

/// The steps from `found` to `wanted`.
#[must_use]
pub fn steps(
    wanted: &BTreeMap<SecretBundleKey, Status>,
    found: &BTreeMap<SecretBundleKey, Option<Status>>,
) -> Vec<PublishStep> {
    let differs = |(key, status): &(&SecretBundleKey, &Status)| {
        found.get(key).is_none_or(|found| found.as_ref() != Some(status))
    };
    let puts = wanted
        .iter()
        .filter(differs)
        .map(|(key, status)| PublishStep::Put(key.clone(), status.clone()));
    let removals = found
        .keys()
        .filter(|key| !wanted.contains_key(key))
        .map(|key| PublishStep::Remove(key.clone()));
    puts.chain(removals).collect()
}

#[cfg(test)]
mod tests {
    use contract::Generation;

    use super::*;
    use crate::policy::Binding;

    fn status(key: &str) -> Status {
        Status { keys: [key.to_owned()].into(), scope: None, generation: Some(Generation(1)) }
    }

    fn key(namespace: &str, bundle: &str) -> SecretBundleKey {
        SecretBundleKey { namespace: namespace.into(), bundle: bundle.into() }
    }

    fn namespaces() -> Bindings {
        let bound = |project: &str, environment: &str| Binding {
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
    fn each_bundle_in_each_namespace_of_its_own() {
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
    fn only_what_differs_is_done() {
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
