//! How log lines name things. Pure.

use std::time::Duration;

use contract::stream::{Held, Outcome};

/// The bundles' names, comma separated.
pub(super) fn bundles_of(holds: &[Held]) -> String {
    holds.iter().map(|held| held.bundle.as_str()).collect::<Vec<_>>().join(",")
}

/// The bundles' generations, in the same order.
pub(super) fn generations_of(holds: &[Held]) -> String {
    holds.iter().map(|held| held.generation.to_string()).collect::<Vec<_>>().join(",")
}

/// A duration for people who read logs: milliseconds with one thousandth's precision.
pub(super) fn milliseconds(duration: Duration) -> f64 {
    (duration.as_secs_f64() * 1e6).round() / 1e3
}

/// The way in which the application was told.
pub(super) fn way(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Signalled => "signal",
        Outcome::Accepted => "http",
        Outcome::NotNeeded | Outcome::Failed => "none",
    }
}

#[cfg(test)]
mod tests {
    use contract::Generation;

    use super::*;

    #[test]
    fn names() {
        let held = |bundle: &str, generation| Held {
            bundle: bundle.parse().unwrap(),
            generation: Generation(generation),
        };
        let holds = [held("api-prod", 12), held("shared-prod", 3)];
        assert_eq!(bundles_of(&holds), "api-prod,shared-prod");
        assert_eq!(generations_of(&holds), "12,3");
        assert!((milliseconds(Duration::from_nanos(1_234_567)) - 1.235).abs() < 1e-9);
    }
}
