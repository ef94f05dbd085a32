//! The requests of a pod, as its agent counts them: one window of about a second after the other.

use serde::{Deserialize, Serialize};

/// The most windows of one message.
pub const MAX_WINDOWS: usize = 16;

/// The most bounds of a latency histogram.
pub const MAX_BOUNDS: usize = 32;

/// The longest time for which an agent counts requests when it is asked once, in seconds.
pub const MAX_COUNT_SECONDS: u32 = 600;

/// The requests that ended in a window.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RequestWindow {
    /// The end of the window, in milliseconds since 1970 by the pod's clock.
    pub at: u64,
    /// Its length in milliseconds.
    pub milliseconds: u64,
    /// The requests.
    pub requests: u64,
    /// Those that failed by the server's fault (5xx).
    pub errors: u64,
    /// How many took up to each bound of the message, and longer than the one before; at the end
    /// those that took longer than all. Empty where the application does not tell.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub latency: Vec<u64>,
}

/// Requests, and how many of them are bad.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RequestCounts {
    /// All.
    pub requests: u64,
    /// The bad ones.
    pub bad: u64,
}

impl RequestWindow {
    /// Whether the window is as long as its message says, and its numbers fit together.
    #[must_use]
    pub fn is_consistent(&self, bounds: usize) -> bool {
        let fits = self.latency.is_empty() || self.latency.len() == bounds + 1;
        fits && bounds <= MAX_BOUNDS && self.errors <= self.requests && self.milliseconds > 0
    }

    /// The requests of the pod in this window, with those that failed as the bad ones.
    #[must_use]
    pub fn failed(&self) -> RequestCounts {
        RequestCounts { requests: self.requests, bad: self.errors }
    }

    /// The requests of the pod in this window, with those that took longer than a bound as the bad
    /// ones. `None` where the window does not tell, or the bound is none of its message's.
    #[must_use]
    pub fn slower_than(&self, bound: u64, bounds: &[u64]) -> Option<RequestCounts> {
        let at = bounds.iter().position(|it| *it == bound)?;
        let requests = sum(&self.latency);
        let slower = sum(self.latency.get(at + 1..)?);
        Some(RequestCounts { requests, bad: slower })
    }

    /// The window's length in whole seconds, at least one.
    #[must_use]
    pub fn seconds(&self) -> u64 {
        self.milliseconds.saturating_add(500).checked_div(1000).unwrap_or(0).max(1)
    }
}

impl std::ops::Add for RequestCounts {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        let requests = self.requests.saturating_add(other.requests);
        Self { requests, bad: self.bad.saturating_add(other.bad) }
    }
}

/// One number of all windows together.
#[must_use]
pub fn total<'w>(
    windows: impl IntoIterator<Item = &'w RequestWindow>,
    of: impl Fn(&RequestWindow) -> u64,
) -> u64 {
    windows.into_iter().fold(0, |sum, window| sum.saturating_add(of(window)))
}

/// The smallest bound, in microseconds, below which 95 of 100 requests stay. `None` without
/// requests, or where more than 5 of 100 took longer than every bound.
#[must_use]
pub fn p95_bound<'w>(
    windows: impl IntoIterator<Item = &'w RequestWindow>,
    bounds: &[u64],
) -> Option<u64> {
    let buckets = bounds.len() + 1;
    let mut all = vec![0u64; buckets];
    for window in windows.into_iter().filter(|it| it.latency.len() == buckets) {
        for (sum, count) in all.iter_mut().zip(&window.latency) {
            *sum = sum.saturating_add(*count);
        }
    }
    let total = sum(&all);
    let mut below = 0u64;
    bounds.iter().zip(&all).find_map(|(bound, count)| {
        below = below.saturating_add(*count);
        let is_enough = u128::from(below) * 100 >= u128::from(total) * 95;
        (total > 0 && is_enough).then_some(*bound)
    })
}

fn sum(counts: &[u64]) -> u64 {
    counts.iter().fold(0, |sum, count| sum.saturating_add(*count))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn window(milliseconds: u64, errors: u64, latency: &[u64]) -> RequestWindow {
        RequestWindow { at: 1, milliseconds, requests: 100, errors, latency: latency.to_vec() }
    }

    #[test]
    fn a_window_lasts_whole_seconds() {
        for (milliseconds, seconds) in [(1, 1), (400, 1), (1499, 1), (1500, 2), (3000, 3)] {
            assert_eq!(window(milliseconds, 0, &[]).seconds(), seconds, "{milliseconds}");
        }
        let two = window(1000, 9, &[]).failed() + window(1000, 1, &[]).failed();
        assert_eq!(two, RequestCounts { requests: 200, bad: 10 });
    }

    #[test]
    fn slow_requests_are_those_beyond_a_bound() {
        let bounds = [5_000, 10_000, 50_000];
        let it = window(9000, 0, &[90, 5, 4, 1]);
        let counts = |requests, bad| Some(RequestCounts { requests, bad });
        assert_eq!(it.slower_than(10_000, &bounds), counts(100, 5));
        assert_eq!(it.slower_than(50_000, &bounds), counts(100, 1));
        assert_eq!(it.slower_than(7_000, &bounds), None);
        assert_eq!(window(1000, 0, &[]).slower_than(5_000, &bounds), None);
        assert_eq!(p95_bound([&it], &bounds), Some(10_000));
        assert_eq!(p95_bound([&window(1, 0, &[0, 0, 9, 91])], &bounds), None);
        assert_eq!(p95_bound([&window(1, 0, &[0, 0, 0, 0])], &bounds), None);
        assert_eq!(p95_bound([], &bounds), None);
    }

    #[test]
    fn numbers_that_do_not_fit_together_are_seen() {
        assert!(window(1000, 100, &[1, 2]).is_consistent(1));
        assert!(window(1000, 0, &[]).is_consistent(9));
        assert!(!window(1000, 101, &[]).is_consistent(0));
        assert!(!window(1000, 0, &[1]).is_consistent(1));
        assert!(!window(0, 0, &[]).is_consistent(0));
        assert!(!window(1000, 0, &[]).is_consistent(MAX_BOUNDS + 1));
    }

    proptest! {
        #[test]
        fn no_number_overflows(
            milliseconds: u64,
            errors: u64,
            latency in prop::collection::vec(any::<u64>(), 3),
        ) {
            let it = RequestWindow { at: 0, milliseconds, requests: errors, errors, latency };
            prop_assert!(it.failed().bad == errors && it.seconds() > 0);
            let slow = it.slower_than(1, &[1, 2]).unwrap();
            prop_assert!(slow.bad <= slow.requests);
            let _ = p95_bound([&it, &it], &[1, 2]);
        }
    }
}
