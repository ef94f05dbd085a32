//! One metric's numbers in a wave: what was counted, and what the two tests made of it.

use contract::requests::RequestCounts;
use serde::{Deserialize, Serialize};

use super::likelihood::{Likelihood, double};

/// The most bad requests of one pod that count in a second, while bad requests are rare.
///
/// Errors come in bursts on one pod, and a burst of twenty is not twenty times as much evidence as
/// one error.
const MAX_BAD_PER_SECOND: u64 = 2;

/// Where bad requests are not rare, the most that count are so many times the usual ones. Without
/// this a pod that always has two in a second would hide one whose every request is bad.
const TIMES_USUAL: f64 = 8.0;

/// Over about how many seconds the usual share of bad requests is taken.
const MEMORY: f64 = 60.0;

/// What one pod counted, and in how many seconds.
#[derive(Clone, Copy, Debug)]
pub(super) struct PodCounts {
    pub(super) is_canary: bool,
    pub(super) seconds: u64,
    pub(super) counts: RequestCounts,
}

/// The numbers of one metric.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Tally {
    /// All of the canary's.
    pub(super) canary: RequestCounts,
    /// All of the rest's.
    pub(super) rest: RequestCounts,
    /// Those of the canary and of the rest, cut, that wait until both have some.
    waiting: (RequestCounts, RequestCounts),
    /// The rest's requests and bad ones lately.
    usual: (f64, f64),
    compared: Likelihood,
    absolute: Likelihood,
}

impl Tally {
    /// Takes in one second. `tolerated` is the share that the absolute test allows; `before`, the
    /// rest's usual share before this wave.
    pub(super) fn add(&mut self, pods: &[PodCounts], tolerated: f64, before: f64) {
        let rest = pods.iter().filter(|it| !it.is_canary).fold(Default::default(), sum);
        self.rest = self.rest + rest;
        let fade = 1.0 - 1.0 / MEMORY;
        self.usual.0 = self.usual.0 * fade + double(rest.requests);
        self.usual.1 = self.usual.1 * fade + double(rest.bad);
        let usual = if self.usual.0 > 0.0 { self.usual.1 / self.usual.0 } else { before };
        for it in pods {
            let RequestCounts { requests, bad } = it.counts;
            let cut = RequestCounts { requests, bad: bad.min(most(it, usual)) };
            if it.is_canary {
                self.canary = self.canary + it.counts;
                self.waiting.0 = self.waiting.0 + cut;
                // A burst counts as fewer requests, all the same as bad as it was: else a busy pod
                // whose every request fails would have a small share of bad ones.
                let counted = double(bad.min(most(it, tolerated)));
                let weight = if bad > 0 { counted / double(bad) } else { 1.0 };
                self.absolute.hold_against(tolerated, double(requests) * weight, counted);
            } else {
                self.waiting.1 = self.waiting.1 + cut;
            }
        }
        let (canary, rest) = self.waiting;
        if canary.requests > 0 && rest.requests > 0 {
            self.compared.compare(canary, rest);
            self.waiting = Default::default();
        }
    }

    /// The evidence of the comparison, or of the absolute test while there is nobody to compare
    /// with.
    pub(super) fn evidence(&self, is_compared: bool) -> f64 {
        if is_compared { self.compared.evidence() } else { self.absolute.evidence() }
    }
}

/// The most bad ones of a pod that count.
fn most(pod: &PodCounts, share: f64) -> u64 {
    let usual = (TIMES_USUAL * share * double(pod.counts.requests)).ceil();
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a number of requests, rounded up; `as` saturates"
    )]
    let usual = usual as u64;
    usual.max(pod.seconds.saturating_mul(MAX_BAD_PER_SECOND))
}

fn sum(all: RequestCounts, pod: &PodCounts) -> RequestCounts {
    all + pod.counts
}

#[cfg(test)]
mod tests {
    use super::super::likelihood::FAILING_EVIDENCE;
    use super::*;

    fn second(canary: (u64, u64), rest: &[(u64, u64)]) -> Vec<PodCounts> {
        let pod = |is_canary, (requests, bad)| PodCounts {
            is_canary,
            seconds: 1,
            counts: RequestCounts { requests, bad },
        };
        let rest = rest.iter().map(|it| pod(false, *it));
        std::iter::once(pod(true, canary)).chain(rest).collect()
    }

    /// After how many such seconds the canary fails; 99 for not in that many.
    fn found_after(pods: &[PodCounts], tolerated: f64, is_compared: bool) -> u32 {
        let mut it = Tally::default();
        let is_found = |_: &u32| {
            it.add(pods, tolerated, 0.0);
            it.evidence(is_compared) >= FAILING_EVIDENCE
        };
        (1..99).find(is_found).unwrap_or(99)
    }

    #[test]
    fn a_burst_counts_as_two() {
        let mut it = Tally::default();
        let mut cut = Tally::default();
        it.add(&second((40, 20), &[(20, 0); 9]), 0.01, 0.0);
        cut.add(&second((40, 2), &[(20, 0); 9]), 0.01, 0.0);
        assert_eq!(it.compared, cut.compared);
        assert_eq!((it.canary.bad, cut.canary.bad), (20, 2), "people are told what there was");
    }

    #[test]
    fn a_canary_that_always_fails_is_found_in_seconds() {
        for (canary, rest, seconds) in [
            ((10, 10), (10, 0), 3),
            ((100, 100), (100, 0), 3),
            ((1_000, 1_000), (1_000, 1), 2),
            // Busy pods which always have errors: the cut follows what is usual.
            ((1_000, 1_000), (1_000, 10), 1),
            ((1_000, 1_000), (1_000, 50), 1),
            ((100, 100), (100, 5), 1),
            // As bad as the rest.
            ((1_000, 10), (1_000, 10), 99),
            ((100, 50), (100, 50), 99),
        ] {
            let pods = second(canary, &[rest; 9]);
            assert_eq!(found_after(&pods, 0.01, true), seconds, "{canary:?} {rest:?}");
        }
    }

    #[test]
    fn without_a_rest_the_share_is_what_counts() {
        for (canary, tolerated, seconds) in [
            ((10, 10), 0.01, 2),
            ((1_000, 1_000), 0.01, 1),
            ((1_000, 50), 0.01, 1),
            ((1_000, 9), 0.01, 99),
            ((10, 2), 0.3, 99),
        ] {
            assert_eq!(found_after(&second(canary, &[]), tolerated, false), seconds, "{canary:?}");
        }
    }

    #[test]
    fn a_second_in_which_one_side_had_no_request_waits_for_the_next() {
        let mut it = Tally::default();
        it.add(&second((5, 1), &[(0, 0)]), 0.01, 0.0);
        it.add(&second((0, 0), &[(45, 0)]), 0.01, 0.0);
        let mut whole = Tally::default();
        whole.add(&second((5, 1), &[(45, 0)]), 0.01, 0.0);
        assert_eq!(it.compared, whole.compared);
    }
}
