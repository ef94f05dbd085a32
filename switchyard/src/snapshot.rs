//! What a bundle holds: the secrets that its service sees, the narrower scope before the wider.
//! Pure.

use std::collections::BTreeMap;

use contract::layout::{MAX_BUNDLE_SECRETS, MAX_POD_BYTES};
use contract::{Scope, SecretName, Version};

/// A secret that a bundle may hold, at its active version.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Visible {
    /// The ledger's number of the secret.
    pub secret: i64,
    /// Where it lives.
    pub scope: Scope,
    /// Its name.
    pub name: SecretName,
    /// The active version.
    pub version: Version,
    /// The value's length in bytes.
    pub size: u64,
}

/// What a generation says about one name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The ledger's number of the secret.
    pub secret: i64,
    /// The version.
    pub version: Version,
}

/// A bundle that would not fit into a pod.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TooLarge {
    /// Too many names.
    #[error("it would hold {0} secrets, and a bundle holds at most {MAX_BUNDLE_SECRETS}")]
    Secrets(usize),
    /// Too many bytes.
    #[error("it would hold {0} bytes, and a pod's secrets come to at most {MAX_POD_BYTES}")]
    Bytes(u64),
}

/// What the bundle of `service` holds of the secrets `visible`.
///
/// # Errors
/// Where that does not fit into a pod.
pub fn resolve(
    service: &Scope,
    visible: &[Visible],
) -> Result<BTreeMap<SecretName, Entry>, TooLarge> {
    let mut narrowest: BTreeMap<&SecretName, &Visible> = BTreeMap::new();
    for candidate in visible.iter().filter(|it| it.scope.contains(service)) {
        let best = narrowest.entry(&candidate.name).or_insert(candidate);
        if best.scope.contains(&candidate.scope) {
            *best = candidate;
        }
    }
    let bytes: u64 = narrowest.values().map(|it| it.size).sum();
    if narrowest.len() > MAX_BUNDLE_SECRETS {
        return Err(TooLarge::Secrets(narrowest.len()));
    }
    if bytes > MAX_POD_BYTES as u64 {
        return Err(TooLarge::Bytes(bytes));
    }
    Ok(narrowest
        .into_iter()
        .map(|(name, it)| (name.clone(), Entry { secret: it.secret, version: it.version }))
        .collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn visible(secret: i64, scope: &str, name: &str, size: u64) -> Visible {
        Visible {
            secret,
            scope: scope.parse().unwrap(),
            name: name.parse().unwrap(),
            version: Version(1),
            size,
        }
    }

    fn held(service: &str, visible: &[Visible]) -> Vec<(String, i64)> {
        let held = resolve(&service.parse().unwrap(), visible).unwrap();
        held.into_iter().map(|(name, entry)| (name.as_str().to_owned(), entry.secret)).collect()
    }

    #[test]
    fn the_narrower_scope_wins_in_any_order() {
        let mut all = vec![
            visible(1, "shop", "A", 1),
            visible(2, "shop.prod", "A", 1),
            visible(3, "shop.prod.api", "A", 1),
            visible(4, "shop", "B", 1),
            visible(5, "shop.prod", "B", 1),
            visible(6, "shop", "C", 1),
            visible(7, "shop.dev", "B", 1),
            visible(8, "shop.prod.web", "B", 1),
            visible(9, "other", "D", 1),
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
    fn what_does_not_fit_into_a_pod() {
        let service: Scope = "shop.prod.api".parse().unwrap();
        let many: Vec<_> =
            (0..=MAX_BUNDLE_SECRETS).map(|at| visible(1, "shop", &format!("N{at}"), 0)).collect();
        assert_eq!(resolve(&service, &many), Err(TooLarge::Secrets(MAX_BUNDLE_SECRETS + 1)));
        assert!(resolve(&service, &many[1..]).is_ok());
        let limit = MAX_POD_BYTES as u64;
        assert!(resolve(&service, &[visible(1, "shop", "A", limit)]).is_ok());
        assert_eq!(
            resolve(&service, &[visible(1, "shop", "A", limit), visible(2, "shop", "B", 1)]),
            Err(TooLarge::Bytes(limit + 1))
        );
        // What a narrower one hides does not count.
        assert!(
            resolve(
                &service,
                &[visible(1, "shop", "A", limit), visible(2, "shop.prod", "A", limit)]
            )
            .is_ok()
        );
    }
}
