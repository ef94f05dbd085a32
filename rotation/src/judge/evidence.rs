//! What the judge is shown: what each pod counted in one second.

use std::fmt;

use contract::requests::{RequestCounts, RequestWindow};
use serde::{Deserialize, Serialize};

use super::likelihood::double;

/// What makes a request bad.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Metric {
    /// It failed by the server's fault.
    Failed,
    /// It took longer than [`SlowThreshold`].
    Slow,
    /// It is a readiness probe, and the pod is not ready.
    Unready,
}

impl Metric {
    /// Every one, in the order in which the judge looks at them.
    pub const ALL: [Self; 3] = [Self::Failed, Self::Slow, Self::Unready];
}

impl fmt::Display for Metric {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Failed => "failed requests",
            Self::Slow => "slow requests",
            Self::Unready => "failed readiness probes",
        })
    }
}

/// Which pods a pod belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Group {
    /// Those that hold the target generation.
    Canary,
    /// The others of the same workload.
    Rest,
}

/// What one pod counted in about a second.
///
/// A second in which the pod changed its generation belongs to neither group, so the caller leaves
/// it out.
#[derive(Clone, Copy, Debug)]
pub struct Sample<'a> {
    /// The pod's group.
    pub group: Group,
    /// The pod's requests. One that does not fit its bounds is not looked at.
    pub window: &'a RequestWindow,
    /// The bounds of its latency histogram, in microseconds, ascending.
    pub bounds: &'a [u64],
    /// The outcome of the readiness probe. `None` where there was none, and for a pod that the
    /// rollout itself restarts.
    pub ready: Option<bool>,
}

/// From when on a request is slow: the smallest bound of the histogram that is at least 1.1 times
/// the 95th percentile of the rest in the second before.
///
/// It is of the second before, so that it does not depend on what is compared with it, and a bound,
/// since between two a histogram does not say which requests were slower. The percentile itself is
/// taken between two bounds as Prometheus' `histogram_quantile` takes it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SlowThreshold {
    bounds: Vec<u64>,
    threshold: u64,
}

impl SlowThreshold {
    /// The threshold by the rest's pods, if they tell. Pods whose histograms have other bounds than
    /// the first one's are left out.
    #[must_use]
    pub fn of(second: &[Sample<'_>]) -> Option<Self> {
        let is_usable = |it: &&Sample<'_>| {
            it.group == Group::Rest && !it.window.latency.is_empty() && it.is_consistent()
        };
        let bounds = second.iter().find(is_usable)?.bounds;
        let rest = second.iter().filter(is_usable).filter(|it| it.bounds == bounds);
        let threshold = 1.1 * p95(rest.map(|it| it.window), bounds)?;
        let threshold = *bounds.iter().find(|it| double(**it) >= threshold)?;
        Some(Self { bounds: bounds.to_vec(), threshold })
    }
}

/// The 95th percentile, as if a bucket's requests were spread evenly over it. `None` without
/// requests, or where it is beyond every bound.
fn p95<'w>(windows: impl Iterator<Item = &'w RequestWindow>, bounds: &[u64]) -> Option<f64> {
    let mut buckets = vec![0.0; bounds.len() + 1];
    for window in windows {
        for (sum, count) in buckets.iter_mut().zip(&window.latency) {
            *sum += double(*count);
        }
    }
    let wanted = 0.95 * buckets.iter().sum::<f64>();
    let (mut below, mut lower) = (0.0, 0.0);
    for (bound, count) in bounds.iter().zip(buckets) {
        let upper = double(*bound);
        if count > 0.0 && below + count >= wanted {
            return Some(lower + (upper - lower) * (wanted - below) / count);
        }
        below += count;
        lower = upper;
    }
    None
}

impl Sample<'_> {
    /// The requests and the bad ones among them; `None` where the pod does not tell.
    pub(super) fn counts(
        &self,
        metric: Metric,
        slow: Option<&SlowThreshold>,
    ) -> Option<RequestCounts> {
        match metric {
            Metric::Failed => self.is_consistent().then(|| self.window.failed()),
            Metric::Slow => {
                let slow = slow.filter(|it| it.bounds == self.bounds && self.is_consistent())?;
                self.window.slower_than(slow.threshold, self.bounds)
            }
            Metric::Unready => {
                let ready = self.ready?;
                Some(RequestCounts { requests: 1, bad: u64::from(!ready) })
            }
        }
    }

    fn is_consistent(&self) -> bool {
        self.window.is_consistent(self.bounds.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOUNDS: [u64; 4] = [10_000, 20_000, 40_000, 80_000];

    fn window(latency: &[u64]) -> RequestWindow {
        let requests = latency.iter().sum();
        RequestWindow { at: 1, milliseconds: 1000, requests, errors: 0, latency: latency.to_vec() }
    }

    fn sample<'a>(group: Group, window: &'a RequestWindow, bounds: &'a [u64]) -> Sample<'a> {
        Sample { group, window, bounds, ready: None }
    }

    #[test]
    fn slow_is_beyond_the_next_bound_of_the_rest_alone() {
        let (fast, slow) = (window(&[99, 1, 0, 0, 0]), window(&[0, 0, 0, 0, 99]));
        let threshold = |samples: &[Sample<'_>]| SlowThreshold::of(samples).map(|it| it.threshold);
        let rest = sample(Group::Rest, &fast, &BOUNDS);
        let canary = sample(Group::Canary, &slow, &BOUNDS);
        // The 95th percentile is 9.6 ms, and 1.1 times that is more than 10 ms.
        assert_eq!(threshold(&[canary, rest]), Some(20_000));
        let some = window(&[900, 60, 40, 0, 0]);
        assert_eq!(p95([&some].into_iter(), &BOUNDS), Some(10_000.0 + 10_000.0 * 50.0 / 60.0));
        assert_eq!(threshold(&[sample(Group::Rest, &some, &BOUNDS)]), Some(40_000));
        assert_eq!(threshold(&[canary]), None, "nobody to compare with");
        let slow_rest = sample(Group::Rest, &slow, &BOUNDS);
        assert_eq!(threshold(&[slow_rest]), None, "beyond every bound");
        let other = [5, 6, 7, 8];
        assert_eq!(
            threshold(&[rest, sample(Group::Rest, &slow, &other)]),
            Some(20_000),
            "another histogram"
        );
        let slow = SlowThreshold::of(&[rest]);
        let counts = canary.counts(Metric::Slow, slow.as_ref());
        assert_eq!(counts, Some(RequestCounts { requests: 99, bad: 99 }));
        assert_eq!(sample(Group::Canary, &fast, &other).counts(Metric::Slow, slow.as_ref()), None);
    }

    #[test]
    fn numbers_that_contradict_each_other_are_not_looked_at() {
        let mut it = window(&[]);
        (it.requests, it.errors) = (3, 4);
        let sample = sample(Group::Canary, &it, &[]);
        assert_eq!(sample.counts(Metric::Failed, None), None);
        assert_eq!(sample.counts(Metric::Unready, None), None);
    }
}
