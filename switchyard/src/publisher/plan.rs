//! What should be announced where, and the steps from what is announced to that. Pure.

use std::collections::BTreeMap;

use contract::secret_bundle::Status;
use contract::{BundleRef, Scope};

use crate::identity::Bindings;
use crate::repository::service_parts;

/// The place of an announcement.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Announcement {
    /// The namespace.
    pub namespace: String,
    /// The bundle's name, which is the object's.
    pub bundle: String,
}

/// One thing to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// Make an announcement say this.
    Put(Announcement, Status),
    /// Take an announcement back.
    Remove(Announcement),
}

/// What should be announced: each bundle in each namespace of its project and environment.
#[must_use]
pub fn desired(
    bundles: &[(Scope, Status)],
    namespaces: &Bindings,
) -> BTreeMap<Announcement, Status> {
    let mut all = BTreeMap::new();
    for (scope, status) in bundles {
        let Some((project, environment, service)) = service_parts(scope) else { continue };
        let bundle = BundleRef::of(service, environment);
        let bound = namespaces.iter().filter(|(_, binding)| {
            binding.project == *project && binding.environment == *environment
        });
        for (namespace, _) in bound {
            all.insert(
                Announcement { namespace: namespace.clone(), bundle: bundle.as_str().to_owned() },
                status.clone(),
            );
        }
    }
    all
}

/// The steps from `found` to `wanted`.
#[must_use]
pub fn steps(
    wanted: &BTreeMap<Announcement, Status>,
    found: &BTreeMap<Announcement, Option<Status>>,
) -> Vec<Step> {
    let differs = |(place, status): &(&Announcement, &Status)| {
        found.get(place).is_none_or(|said| said.as_ref() != Some(status))
    };
    let puts = wanted
        .iter()
        .filter(differs)
        .map(|(place, status)| Step::Put(place.clone(), status.clone()));
    let removals = found
        .keys()
        .filter(|place| !wanted.contains_key(place))
        .map(|place| Step::Remove(place.clone()));
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

    fn place(namespace: &str, bundle: &str) -> Announcement {
        Announcement { namespace: namespace.into(), bundle: bundle.into() }
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
            (place("shop-dev", "api-dev"), status("B")),
            (place("shop-prod", "api-prod"), status("A")),
            (place("shop-prod-2", "api-prod"), status("A")),
        ];
        assert_eq!(wanted, expected.into());
    }

    #[test]
    fn only_what_differs_is_done() {
        let wanted = [
            (place("n", "same"), status("A")),
            (place("n", "new"), status("A")),
            (place("n", "other"), status("A")),
        ]
        .into();
        let found = [
            (place("n", "same"), Some(status("A"))),
            (place("n", "other"), Some(status("B"))),
            (place("n", "gone"), Some(status("A"))),
            (place("n", "broken"), None),
        ]
        .into();
        assert_eq!(
            steps(&wanted, &found),
            [
                Step::Put(place("n", "new"), status("A")),
                Step::Put(place("n", "other"), status("A")),
                Step::Remove(place("n", "broken")),
                Step::Remove(place("n", "gone")),
            ]
        );
    }
}
