//! The values of log fields. Pure.

use std::collections::BTreeSet;
use std::time::Duration;

use contract::FileName;
use contract::stream::BundleGeneration;

/// The bundles' names, comma separated.
pub(super) fn bundles(held: &[BundleGeneration]) -> String {
    held.iter().map(|held| held.bundle.as_str()).collect::<Vec<_>>().join(",")
}

/// The bundles' generations, in the same order.
pub(super) fn generations(held: &[BundleGeneration]) -> String {
    held.iter().map(|held| held.generation.to_string()).collect::<Vec<_>>().join(",")
}

/// Names, comma separated, at most 20 of them.
pub(super) fn names(names: &BTreeSet<FileName>) -> String {
    let mut list = names.iter().take(20).map(FileName::as_str).collect::<Vec<_>>().join(", ");
    if names.len() > 20 {
        list.push_str(", …");
    }
    list
}

/// A duration in milliseconds, to the microsecond.
pub(super) fn milliseconds(duration: Duration) -> f64 {
    (duration.as_secs_f64() * 1e6).round() / 1e3
}

#[cfg(test)]
mod tests {
    use contract::Generation;

    use super::*;

    #[test]
    fn bundles_and_generations_are_listed_in_the_same_order() {
        let at = |bundle: &str, generation| BundleGeneration {
            bundle: bundle.parse().unwrap(),
            generation: Generation(generation),
            tag: None,
        };
        let held = [at("api-prod", 12), at("shared-prod", 3)];
        assert_eq!(bundles(&held), "api-prod,shared-prod");
        assert_eq!(generations(&held), "12,3");
    }

    #[test]
    fn milliseconds_are_rounded_to_the_microsecond() {
        assert!((milliseconds(Duration::from_nanos(1_234_567)) - 1.235).abs() < 1e-9);
    }
}
