//! Decides by requests whether a canary is worse than the rest of its workload.
//!
//! Three metrics become one question: are bad requests more frequent on the canary? A request is
//! bad if it failed, if it was slow, or if it was a readiness probe and the pod was not ready. Per
//! second each pod's bad ones are cut, then summed, and a likelihood ratio grows or shrinks
//! ([`TOLERATED_RATIO`], [`FAILING_EVIDENCE`]). It may be looked at after every second, which a
//! fixed threshold may not.
//!
//! To pass takes evidence of its own: the upper bound of the share of failed requests is within the
//! budget. No data is never success. `docs/adr/0034-how-a-rollout-is-judged.md` has the error
//! rates.

mod binomial;
mod budget;
mod evidence;
mod likelihood;
mod tally;
mod verdict;

use contract::requests::RequestCounts;
use serde::{Deserialize, Serialize};

use likelihood::double;
use tally::{PodCounts, Tally};

pub use binomial::upper_bound;
pub use budget::{Budget, BudgetError};
pub use evidence::{Group, Metric, Sample, SlowThreshold};
pub use likelihood::{FAILING_EVIDENCE, TOLERATED_RATIO};
pub use verdict::{Baseline, Failure, Missing, Share, Verdict};

/// The share of slow requests, and of failed probes, that the canary may have where there is nobody
/// to compare it with. By its definition the threshold lets up to one request of twenty be slow.
const TOLERATED_VETO_SHARE: f64 = 0.1;

/// The judge of one wave: what it has seen so far.
///
/// It is small and does not grow, so it can be kept in a row and taken up again by another process.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Judge {
    budget: Budget,
    baseline: Baseline,
    background: Background,
    slow: Option<SlowThreshold>,
    failed: Tally,
    latency: Tally,
    unready: Tally,
    seconds: u32,
    failure: Option<Failure>,
}

/// What is usual without the target generation, from the waves before and the time before them.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Background {
    failed: RequestCounts,
    latency: RequestCounts,
    unready: RequestCounts,
    slow: Option<SlowThreshold>,
}

impl Judge {
    /// A judge that has seen nothing of its wave.
    #[must_use]
    pub fn new(budget: Budget, baseline: Baseline, background: Background) -> Self {
        let slow = background.slow.clone();
        let (failed, latency, unready) = Default::default();
        let (seconds, failure) = (0, None);
        Self { budget, baseline, background, slow, failed, latency, unready, seconds, failure }
    }

    /// Takes in what every pod counted in one second. Once it fails, nothing helps the canary.
    pub fn observe(&mut self, second: &[Sample<'_>]) {
        if self.failure.is_some() {
            return;
        }
        let has_requests = |it: &Sample<'_>| it.group == Group::Canary && it.window.requests > 0;
        self.seconds = self.seconds.saturating_add(u32::from(second.iter().any(has_requests)));
        for metric in Metric::ALL {
            let pods: Vec<PodCounts> = second
                .iter()
                .filter_map(|it| {
                    Some(PodCounts {
                        is_canary: it.group == Group::Canary,
                        seconds: it.window.seconds(),
                        counts: it.counts(metric, self.slow.as_ref())?,
                    })
                })
                .collect();
            let (tolerated, usual) = (self.tolerated(metric), self.usual(metric));
            self.tally_mut(metric).add(&pods, tolerated, usual);
        }
        self.slow = SlowThreshold::of(second).or_else(|| self.slow.take());
        self.failure = Metric::ALL.into_iter().find_map(|metric| self.failure_of(metric));
    }

    /// Why the canary fails, if it does.
    #[must_use]
    pub fn failure(&self) -> Option<&Failure> {
        self.failure.as_ref()
    }

    /// What the requests say so far.
    #[must_use]
    pub fn verdict(&self) -> Verdict {
        if let Some(failure) = &self.failure {
            return Verdict::Failing(failure.clone());
        }
        let counts = self.failed.canary;
        let RequestCounts { requests, bad } = counts;
        if requests == 0 {
            return Verdict::Undecided(Missing::Requests);
        }
        let budget = self.budget.share();
        let share = Share { counts, bound: upper_bound(bad, requests), budget };
        if binomial::is_within(bad, requests, budget) {
            Verdict::Passing(share)
        } else if double(bad) > budget * double(requests) {
            Verdict::Undecided(Missing::Budget(share))
        } else {
            let needed = binomial::needed(bad, budget);
            Verdict::Undecided(Missing::More { share, needed })
        }
    }

    /// What the next wave's judge is to know of the rest.
    #[must_use]
    pub fn background(&self) -> Background {
        let latest =
            |tally: &Tally, before| if tally.rest.requests > 0 { tally.rest } else { before };
        Background {
            failed: latest(&self.failed, self.background.failed),
            latency: latest(&self.latency, self.background.latency),
            unready: latest(&self.unready, self.background.unready),
            slow: self.slow.clone(),
        }
    }

    fn failure_of(&self, metric: Metric) -> Option<Failure> {
        let tally = self.tally(metric);
        // Nobody to compare with: session affinity may send all requests to the canary.
        let is_compared = self.baseline == Baseline::Rest && tally.rest.requests > 0;
        let evidence = tally.evidence(is_compared);
        (evidence >= FAILING_EVIDENCE).then_some(Failure {
            metric,
            baseline: if is_compared { Baseline::Rest } else { Baseline::Budget },
            evidence,
            canary: tally.canary,
            rest: tally.rest,
            seconds: self.seconds,
        })
    }

    /// The share that the absolute test allows: a service that always has errors keeps them.
    fn tolerated(&self, metric: Metric) -> f64 {
        let least = match metric {
            Metric::Failed => self.budget.share(),
            Metric::Slow | Metric::Unready => TOLERATED_VETO_SHARE,
        };
        match self.baseline {
            Baseline::Rest => least.max(TOLERATED_RATIO * self.usual(metric)),
            // What is usual is no measure while the stable credential does not work.
            Baseline::Budget => least,
        }
    }

    fn usual(&self, metric: Metric) -> f64 {
        let RequestCounts { requests, bad } = match metric {
            Metric::Failed => self.background.failed,
            Metric::Slow => self.background.latency,
            Metric::Unready => self.background.unready,
        };
        if requests == 0 { 0.0 } else { double(bad) / double(requests) }
    }

    fn tally(&self, metric: Metric) -> &Tally {
        match metric {
            Metric::Failed => &self.failed,
            Metric::Slow => &self.latency,
            Metric::Unready => &self.unready,
        }
    }

    fn tally_mut(&mut self, metric: Metric) -> &mut Tally {
        match metric {
            Metric::Failed => &mut self.failed,
            Metric::Slow => &mut self.latency,
            Metric::Unready => &mut self.unready,
        }
    }
}

#[cfg(test)]
mod tests;
