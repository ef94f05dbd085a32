//! Resolves what a bundle holds: the secrets that its service sees, where the narrowest scope wins.
//! Pure.

use std::collections::BTreeMap;

use contract::layout::{MAX_BUNDLE_SECRETS, MAX_POD_BYTES};
use contract::{Scope, SecretName, Version};

use crate::references::ReferenceError;

/// A secret that a bundle may hold, at its active version.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CandidateSecret {
    /// Its scope.
    pub scope: Scope,
    /// Its name.
    pub name: SecretName,
    /// What the bundle would hold.
    pub member: BundleMember,
}

/// A secret in a generation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BundleMember {
    /// The row id of the secret.
    pub secret: i64,
    /// The version.
    pub version: Version,
    /// The value's length in bytes.
    pub size: u64,
    /// The MAC of the version's row; of a composed value, also of those of its targets.
    pub mac: [u8; 32],
    /// Whether and how its value is composed of others.
    pub composition: Composition,
}

/// Whether and how a value is composed of others.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Composition {
    /// It is meant as it is.
    #[default]
    None,
    /// It has references, and all of them can be resolved.
    Complete,
    /// It has references that cannot be resolved.
    Broken,
}

/// How large a bundle is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct BundleSize {
    /// How many secrets it holds.
    pub secrets: u64,
    /// The sum of their values' lengths in bytes.
    pub bytes: u64,
}

/// Why a bundle does not fit into a pod.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BundleTooLarge {
    /// Too many names.
    #[error("it would hold {0} secrets; the maximum of a bundle is {MAX_BUNDLE_SECRETS}")]
    Secrets(u64),
    /// Too many bytes.
    #[error("it would hold {0} bytes; the maximum of a pod is {MAX_POD_BYTES}")]
    Bytes(u64),
    /// A value cannot be composed: it would become too large.
    #[error("the references of {} cannot be resolved: {}", .0.0, .0.1)]
    Composed(Box<(SecretName, ReferenceError)>),
}

impl BundleSize {
    /// The size after members were replaced, added or removed.
    #[must_use]
    pub fn after(
        self,
        differences: impl Iterator<Item = (Option<BundleMember>, Option<BundleMember>)>,
    ) -> Self {
        let count = |member: Option<BundleMember>| u64::from(member.is_some());
        let bytes = |member: Option<BundleMember>| member.map_or(0, |it| it.size);
        differences.fold(self, |size, (before, after)| Self {
            secrets: (size.secrets + count(after)).saturating_sub(count(before)),
            bytes: (size.bytes + bytes(after)).saturating_sub(bytes(before)),
        })
    }

    /// Checks that a bundle of this size fits into a pod.
    ///
    /// # Errors
    /// If it does not.
    pub fn check(self) -> Result<(), BundleTooLarge> {
        if self.secrets > MAX_BUNDLE_SECRETS as u64 {
            return Err(BundleTooLarge::Secrets(self.secrets));
        }
        if self.bytes > MAX_POD_BYTES as u64 {
            return Err(BundleTooLarge::Bytes(self.bytes));
        }
        Ok(())
    }
}

/// What the bundle of `service` holds of the `candidates`.
#[must_use]
pub fn narrowest(
    service: &Scope,
    candidates: &[CandidateSecret],
) -> BTreeMap<SecretName, BundleMember> {
    let mut narrowest: BTreeMap<&SecretName, &CandidateSecret> = BTreeMap::new();
    for candidate in candidates.iter().filter(|it| it.scope.contains(service)) {
        let best = narrowest.entry(&candidate.name).or_insert(candidate);
        if best.scope.contains(&candidate.scope) {
            *best = candidate;
        }
    }
    narrowest.into_iter().map(|(name, it)| (name.clone(), it.member)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn candidate(secret: i64, scope: &str, name: &str, size: u64) -> CandidateSecret {
        CandidateSecret {
            scope: scope.parse().unwrap(),
            name: name.parse().unwrap(),
            member: BundleMember {
                secret,
                version: Version(1),
                size,
                mac: [0; 32],
                composition: Composition::None,
            },
        }
    }

    fn held(service: &str, candidates: &[CandidateSecret]) -> Vec<(String, i64)> {
        let held = narrowest(&service.parse().unwrap(), candidates);
        held.into_iter().map(|(name, entry)| (name.as_str().to_owned(), entry.secret)).collect()
    }

    #[test]
    fn the_narrower_scope_wins_in_any_order() {
        let mut all = vec![
            candidate(1, "shop", "A", 1),
            candidate(2, "shop.prod", "A", 1),
            candidate(3, "shop.prod.api", "A", 1),
            candidate(4, "shop", "B", 1),
            candidate(5, "shop.prod", "B", 1),
            candidate(6, "shop", "C", 1),
            candidate(7, "shop.dev", "B", 1),
            candidate(8, "shop.prod.web", "B", 1),
            candidate(9, "other", "D", 1),
        ];
        for _ in 0..all.len() {
            all.rotate_left(1);
            assert_eq!(
                held("shop.prod.api", &all),
                [("A".into(), 3), ("B".into(), 5), ("C".into(), 6)]
            );
            assert_eq!(
                held("shop.prod.web", &all),
                [("A".into(), 2), ("B".into(), 8), ("C".into(), 6)]
            );
            assert_eq!(
                held("shop.dev.api", &all),
                [("A".into(), 1), ("B".into(), 7), ("C".into(), 6)]
            );
        }
    }

    fn check(candidates: &[CandidateSecret]) -> Result<(), BundleTooLarge> {
        let held = narrowest(&"shop.prod.api".parse().unwrap(), candidates);
        BundleSize::default().after(held.into_values().map(|it| (None, Some(it)))).check()
    }

    #[test]
    fn a_bundle_that_does_not_fit_into_a_pod_is_refused() {
        let many: Vec<_> =
            (0..=MAX_BUNDLE_SECRETS).map(|at| candidate(1, "shop", &format!("N{at}"), 0)).collect();
        assert_eq!(check(&many), Err(BundleTooLarge::Secrets(MAX_BUNDLE_SECRETS as u64 + 1)));
        assert!(check(&many[1..]).is_ok());
        let limit = MAX_POD_BYTES as u64;
        assert!(check(&[candidate(1, "shop", "A", limit)]).is_ok());
        assert_eq!(
            check(&[candidate(1, "shop", "A", limit), candidate(2, "shop", "B", 1)]),
            Err(BundleTooLarge::Bytes(limit + 1))
        );
        // A secret that a narrower scope hides does not count.
        assert!(
            check(&[candidate(1, "shop", "A", limit), candidate(2, "shop.prod", "A", limit)])
                .is_ok()
        );
    }

    #[test]
    fn a_size_follows_its_differences() {
        let member = |size| {
            Some(BundleMember {
                secret: 1,
                version: Version(1),
                size,
                mac: [0; 32],
                composition: Composition::None,
            })
        };
        let size = BundleSize { secrets: 2, bytes: 30 };
        for (before, after, expected) in [
            (None, member(5), (3, 35)),
            (member(10), member(12), (2, 32)),
            (member(10), None, (1, 20)),
            (None, None, (2, 30)),
        ] {
            let after = size.after([(before, after)].into_iter());
            assert_eq!((after.secrets, after.bytes), expected);
        }
    }
}
