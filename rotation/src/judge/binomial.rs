//! How large a share may be, given how many of so many were bad: the one-sided 95 % upper bound of
//! Clopper and Pearson.
//!
//! The bound is the share at which so few bad ones have a chance of 5 %. C. J. Clopper and E. S.
//! Pearson, "The use of confidence or fiducial limits illustrated in the case of the binomial",
//! Biometrika 26 (1934).

use super::likelihood::double;

/// The chance with which the bound is too low.
const MISSED: f64 = 0.05;

/// Terms that are this much smaller than the sum no longer change it.
const NEGLIGIBLE: f64 = 1e-15;

/// The most terms that are summed. What they leave out is counted as more than it is, so the bound
/// is wider than it must be, and only for billions of requests.
const MAX_TERMS: u32 = 20_000;

/// Halvings of the interval from 0 to 1. After these it is smaller than what a double tells apart.
const HALVINGS: u32 = 60;

/// The largest share of bad ones that so few bad of so many do not rule out. 1 for none of none.
#[must_use]
pub fn upper_bound(bad: u64, of: u64) -> f64 {
    if bad >= of {
        return 1.0;
    }
    let (mut low, mut high) = (0.0, 1.0);
    for _ in 0..HALVINGS {
        let middle = f64::midpoint(low, high);
        if at_most(bad, of, middle) > MISSED {
            low = middle;
        } else {
            high = middle;
        }
    }
    high
}

/// Whether the bound is at most `share`. The same as comparing [`upper_bound`], and quicker.
#[must_use]
pub(super) fn is_within(bad: u64, of: u64, share: f64) -> bool {
    bad < of && at_most(bad, of, share) <= MISSED
}

/// No wave has more requests.
const MAX_NEEDED: u64 = 1 << 50;

/// How many requests it takes, with so many bad ones, until the bound is at most `share`. `None`
/// where no number of requests is enough.
#[must_use]
pub(super) fn needed(bad: u64, share: f64) -> Option<u64> {
    if share <= 0.0 {
        return None;
    }
    let mut high = bad.saturating_add(1);
    while !is_within(bad, high, share) {
        high = high.checked_mul(2).filter(|it| *it <= MAX_NEEDED)?;
    }
    let mut low = high / 2;
    while low + 1 < high {
        let middle = u64::midpoint(low, high);
        if is_within(bad, middle, share) {
            high = middle;
        } else {
            low = middle;
        }
    }
    Some(high)
}

/// The chance of at most `bad` of `of`, each of which is bad with a chance of `share`.
fn at_most(bad: u64, of: u64, share: f64) -> f64 {
    let (k, n) = (double(bad), double(of));
    if share <= 0.0 || bad >= of {
        return 1.0;
    }
    // Above its middle the tail is no small number, and what stands below it is not needed exactly.
    if share >= 1.0 || k / n >= share {
        return if share >= 1.0 { 0.0 } else { 1.0 };
    }
    // From the largest term down: each one is the one above it times a ratio below 1.
    let largest = ln_choose(n, k) + k * share.ln() + (n - k) * (-share).ln_1p();
    let (mut term, mut sum, mut at) = (1.0, 1.0, k);
    for _ in 0..MAX_TERMS {
        if at <= 0.0 || term <= sum * NEGLIGIBLE {
            return (largest.exp() * sum).min(1.0);
        }
        term *= at / (n - at + 1.0) * (1.0 - share) / share;
        sum += term;
        at -= 1.0;
    }
    // The ratio only falls from here on, so a geometric series is above the rest.
    let ratio = at / (n - at + 1.0) * (1.0 - share) / share;
    (largest.exp() * (sum + term * ratio / (1.0 - ratio))).min(1.0)
}

fn ln_choose(n: f64, k: f64) -> f64 {
    ln_factorial(n) - ln_factorial(k) - ln_factorial(n - k)
}

/// Stirling's series, which is exact to twelve digits from 10 up.
fn ln_factorial(n: f64) -> f64 {
    let (mut x, mut product) = (n + 1.0, 1.0);
    while x < 10.0 {
        product *= x;
        x += 1.0;
    }
    let inverse = 1.0 / (x * x);
    let series = (1.0 / 12.0
        - inverse * (1.0 / 360.0 - inverse * (1.0 / 1260.0 - inverse * (1.0 / 1680.0))))
        / x;
    let half_ln_tau = 0.5 * std::f64::consts::TAU.ln();
    (x - 0.5) * x.ln() - x + half_ln_tau + series - product.ln()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_numbers_of_the_tables_of_the_beta_distribution() {
        for (bad, share, of) in [
            (0, 0.05, 59),
            (0, 0.02, 149),
            (0, 0.01, 299),
            (0, 0.005, 598),
            (1, 0.05, 93),
            (1, 0.02, 236),
            (1, 0.01, 473),
            (1, 0.005, 947),
        ] {
            assert_eq!(needed(bad, share), Some(of), "{bad} bad for {share}");
            assert!(upper_bound(bad, of) <= share && upper_bound(bad, of - 1) > share);
        }
    }

    #[test]
    fn nothing_is_not_evidence() {
        assert!((upper_bound(0, 0) - 1.0).abs() < f64::EPSILON);
        assert!(!is_within(0, 0, 1.0) && !is_within(3, 3, 0.5) && !is_within(0, 9_999, 0.0));
        assert_eq!(needed(1, 0.0), None);
        // 1 - 0.05^(1/n), with no bad ones.
        assert!((upper_bound(0, 10) - (1.0 - 0.05_f64.powf(0.1))).abs() < 1e-12);
        assert!(is_within(1_000, 1_000_000, 0.0011) && !is_within(1_000, 1_000_000, 0.00105));
    }

    proptest! {
        #[test]
        fn more_good_ones_never_widen_the_bound(of in 1u64..5_000, bad in 0u64..50) {
            let bad = bad.min(of);
            let bound = upper_bound(bad, of);
            prop_assert!(upper_bound(bad, of + 1) <= bound + 1e-12);
            prop_assert!(upper_bound(bad + 1, of) >= bound - 1e-12);
            prop_assert_eq!(is_within(bad, of, bound + 1e-9), bad < of);
        }
    }
}
