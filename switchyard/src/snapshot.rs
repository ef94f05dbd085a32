//! Resolves what a bundle holds: the secrets that its service sees, where the narrowest scope wins.
//! Pure.

use std::collections::BTreeMap;

use contract::layout::{MAX_BUNDLE_SECRETS, MAX_POD_BYTES};
use contract::{Scope, SecretName, Version};

/// A secret that a bundle may hold, at its active version.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CandidateSecret {
    /// The row id of the secret.
    pub secret: i64,
    /// Its scope.
    pub scope: Scope,
    /// Its name.
    pub name: SecretName,
    /// The active version.
    pub version: Version,
    /// The value's length in bytes.
    pub size: u64,
}

/// A secret in a generation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BundleMember {
    /// The row id of the secret.
    pub secret: i64,
    /// The version.
    pub version: Version,
}

/// Why a bundle does not fit into a pod.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BundleTooLarge {
    /// Too many names.
    #[error("it would hold {0} secrets; the maximum of a bundle is {MAX_BUNDLE_SECRETS}")]
    Secrets(usize),
    /// Too many bytes.
    #[error("it would hold {0} bytes; the maximum of a pod is {MAX_POD_BYTES}")]
    Bytes(u64),
}

/// What the bundle of `service` holds of the `candidates`.
///
/// # Errors
/// If that does not fit into a pod.
pub fn resolve(
    service: &Scope,
    candidates: &[CandidateSecret],
) -> Result<BTreeMap<SecretName, BundleMember>, BundleTooLarge> {
    let mut narrowest: BTreeMap<&SecretName, &CandidateSecret> = BTreeMap::new();
    for candidate in candidates.iter().filter(|it| it.scope.contains(service)) {
        let best = narrowest.entry(&candidate.name).or_insert(candidate);
        if best.scope.contains(&candidate.scope) {
            *best = candidate;
        }
    }
    let bytes: u64 = narrowest.values().map(|it| it.size).sum();
    if narrowest.len() > MAX_BUNDLE_SECRETS {
        return Err(BundleTooLarge::Secrets(narrowest.len()));
    }
    if bytes > MAX_POD_BYTES as u64 {
        return Err(BundleTooLarge::Bytes(bytes));
    }
    Ok(narrowest
        .into_iter()
        .map(|(name, it)| (name.clone(), BundleMember { secret: it.secret, version: it.version }))
        .collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn candidate(secret: i64, scope: &str, name: &str, size: u64) -> CandidateSecret {
        CandidateSecret {
            secret,
            scope: scope.parse().unwrap(),
            name: name.parse().unwrap(),
            version: Version(1),
            size,
        }
    }

    fn held(service: &str, candidates: &[CandidateSecret]) -> Vec<(String, i64)> {
        let held = resolve(&service.parse().unwrap(), candidates).unwrap();
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

    #[test]
    fn a_bundle_that_does_not_fit_into_a_pod_is_refused() {
        let service: Scope = "shop.prod.api".parse().unwrap();
        let many: Vec<_> =
            (0..=MAX_BUNDLE_SECRETS).map(|at| candidate(1, "shop", &format!("N{at}"), 0)).collect();
        assert_eq!(resolve(&service, &many), Err(BundleTooLarge::Secrets(MAX_BUNDLE_SECRETS + 1)));
        assert!(resolve(&service, &many[1..]).is_ok());
        let limit = MAX_POD_BYTES as u64;
        assert!(resolve(&service, &[candidate(1, "shop", "A", limit)]).is_ok());
        assert_eq!(
            resolve(&service, &[candidate(1, "shop", "A", limit), candidate(2, "shop", "B", 1)]),
            Err(BundleTooLarge::Bytes(limit + 1))
        );
        // A secret that a narrower scope hides does not count.
        assert!(
            resolve(
                &service,
                &[candidate(1, "shop", "A", limit), candidate(2, "shop.prod", "A", limit)]
            )
            .is_ok()
        );
    }
}
