//! The two sequential tests of the judge: is the canary worse than the rest, and is it worse than a
//! share that is known?
//!
//! Both are likelihood ratios that may be looked at after every window. While what they test
//! against is true, their mean stays 1, so the chance that they *ever* reach 1/α is at most α (J.
//! Ville, "Étude critique de la notion de collectif", 1939). Nobody knows beforehand how bad a bad
//! canary is, so each is the mean over several ratios.

use contract::requests::RequestCounts;
use serde::{Deserialize, Serialize};

/// How many times as bad a canary may be.
const RATIOS: [f64; 5] = [2.0, 4.0, 8.0, 16.0, 64.0];

/// How many times the rest's share is tolerated on the canary.
pub const TOLERATED_RATIO: f64 = 1.5;

/// A test that has this much evidence against the canary fails it. Its logarithm is ln(1/α), with α
/// the chance that a healthy canary ever fails it.
pub const FAILING_EVIDENCE: f64 = 1000.0;

/// A share of bad ones that a test may assume at most: at 1 a single good one would end it.
const MAX_SHARE: f64 = 0.99;

/// The logarithm of each ratio.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Likelihood([f64; RATIOS.len()]);

impl Likelihood {
    /// Takes in what the canary and the rest had at the same time.
    ///
    /// Given that a request is bad, it is the canary's with a chance of q: of q₀ where the canary
    /// is [`TOLERATED_RATIO`] times as bad as the rest, of q₁ where it is R times worse than that.
    /// Without requests on both sides there is nothing to compare.
    pub(super) fn compare(&mut self, canary: RequestCounts, rest: RequestCounts) {
        let (on_canary, on_rest) = (double(canary.requests), double(rest.requests));
        if canary.requests == 0 || rest.requests == 0 {
            return;
        }
        let tolerated = TOLERATED_RATIO * on_canary;
        let q0 = tolerated / (tolerated + on_rest);
        for (sum, ratio) in self.0.iter_mut().zip(RATIOS) {
            let q1 = ratio * tolerated / (ratio * tolerated + on_rest);
            *sum += double(canary.bad) * (q1 / q0).ln();
            *sum += double(rest.bad) * ((1.0 - q1) / (1.0 - q0)).ln();
        }
    }

    /// Takes in what the canary had, beside a share of bad requests that is known.
    ///
    /// `requests` and `bad` need not be whole: a burst counts as fewer requests than it has.
    pub(super) fn hold_against(&mut self, share: f64, requests: f64, bad: f64) {
        let p0 = share.min(MAX_SHARE / RATIOS[0]);
        for (sum, ratio) in self.0.iter_mut().zip(RATIOS) {
            let p1 = (ratio * p0).min(MAX_SHARE);
            *sum += bad * (p1 / p0).ln();
            *sum += (requests - bad) * ((1.0 - p1) / (1.0 - p0)).ln();
        }
    }

    /// The evidence against the canary: the mean of the ratios.
    pub(super) fn evidence(&self) -> f64 {
        let largest = self.0.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let scaled: f64 = self.0.iter().map(|it| (it - largest).exp()).sum();
        largest.exp() * scaled / double(RATIOS.len() as u64)
    }
}

#[expect(clippy::cast_precision_loss, reason = "a count of requests is far below 2^53")]
pub(super) fn double(count: u64) -> f64 {
    count as f64
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn counts(requests: u64, bad: u64) -> RequestCounts {
        RequestCounts { requests, bad }
    }

    #[test]
    fn the_formula_by_hand() {
        let mut one = Likelihood::default();
        assert!((one.evidence() - 1.0).abs() < 1e-12, "no data says nothing");
        one.compare(counts(10, 1), counts(90, 1));
        // q0 = 15/105; with R = 2 q1 = 30/120, and so on.
        let ratio = |r: f64| {
            let (q0, q1) = (15.0 / 105.0, r * 15.0 / (r * 15.0 + 90.0));
            (q1 / q0) * ((1.0 - q1) / (1.0 - q0))
        };
        let mean = RATIOS.iter().map(|r| ratio(*r)).sum::<f64>() / 5.0;
        assert!((one.evidence() - mean).abs() < 1e-12);
    }

    #[test]
    fn five_bad_requests_on_the_canary_alone_fail_it_and_four_do_not() {
        let mut it = Likelihood::default();
        it.compare(counts(10, 4), counts(90, 0));
        assert!(it.evidence() < FAILING_EVIDENCE);
        it.compare(counts(10, 1), counts(90, 0));
        assert!(it.evidence() >= FAILING_EVIDENCE);
    }

    #[test]
    fn one_side_alone_is_no_comparison() {
        let mut it = Likelihood::default();
        it.compare(counts(1_000, 1_000), counts(0, 0));
        it.compare(counts(0, 0), counts(1_000, 500));
        assert_eq!(it, Likelihood::default());
    }

    proptest! {
        // Over all outcomes of a window, weighted with their chances, the mean is 1 where the
        // canary is exactly as bad as tolerated, and below where it is better. That is what the
        // bound on false failures stands on.
        #[test]
        fn the_mean_of_a_tolerable_window_is_at_most_one(
            canary in 1u64..200,
            rest in 1u64..2_000,
            bad in 0u64..12,
            better in 0.0f64..=1.0,
        ) {
            let tolerated = better * TOLERATED_RATIO * double(canary);
            let chance = tolerated / (tolerated + double(rest));
            let mut mean = 0.0;
            let mut weight = (1.0 - chance).powi(i32::try_from(bad).unwrap());
            for of_canary in 0..=bad {
                let mut it = Likelihood::default();
                it.compare(counts(canary, of_canary), counts(rest, bad - of_canary));
                mean += weight * it.evidence();
                let (k, n) = (double(of_canary), double(bad));
                weight *= (n - k) / (k + 1.0) * chance / (1.0 - chance);
            }
            prop_assert!(mean <= 1.0 + 1e-9, "{mean}");
        }

        #[test]
        fn the_mean_against_a_share_is_at_most_one(
            requests in 1u64..40,
            share in 0.0001f64..0.4,
            better in 0.0f64..=1.0,
        ) {
            let chance = better * share;
            let mut mean = 0.0;
            let mut weight = (1.0 - chance).powi(i32::try_from(requests).unwrap());
            for bad in 0..=requests {
                let mut it = Likelihood::default();
                it.hold_against(share, double(requests), double(bad));
                mean += weight * it.evidence();
                let (k, n) = (double(bad), double(requests));
                weight *= (n - k) / (k + 1.0) * chance / (1.0 - chance);
            }
            prop_assert!(mean <= 1.0 + 1e-9, "{mean}");
        }

        #[test]
        fn no_count_makes_the_evidence_no_number(
            of in prop::array::uniform4(0u64..1 << 40),
        ) {
            let mut it = Likelihood::default();
            it.compare(counts(of[0], of[1].min(of[0])), counts(of[2], of[3].min(of[2])));
            it.hold_against(0.01, double(of[0]), double(of[1].min(of[0])));
            prop_assert!(!it.evidence().is_nan() && it.evidence() >= 0.0);
        }
    }
}
