//! Runs many waves of one workload, with the judge and the peers' rules side by side.

use rotation::judge::{Background, Baseline, Budget, Group, Judge, Sample, Verdict, upper_bound};

use crate::peers::{RULES, Watch};
use crate::random::Random;
use crate::traffic::{BOUNDS, Traffic};

/// What became of the waves.
#[derive(Debug, Default)]
pub(crate) struct Outcomes {
    pub(crate) waves: u64,
    /// The judge failed the canary.
    pub(crate) failed: u64,
    /// It did not, and at the end there was not enough to pass by requests alone.
    pub(crate) undecided: u64,
    /// After how many seconds it failed, in order.
    pub(crate) seconds: Vec<u32>,
    /// The same of each peer's rule.
    pub(crate) peers: [Vec<u32>; RULES.len()],
}

/// Runs the waves; each has its own seed, drawn from this one.
pub(crate) fn simulate(traffic: &Traffic, waves: u64, seconds: u32, seed: u64) -> Outcomes {
    let mut seeds = Random::new(seed);
    let mut outcomes = Outcomes { waves, ..Default::default() };
    for _ in 0..waves {
        wave(traffic, seconds, seeds.bits(), &mut outcomes);
    }
    outcomes.seconds.sort_unstable();
    outcomes.peers.iter_mut().for_each(|it| it.sort_unstable());
    outcomes
}

fn wave(traffic: &Traffic, seconds: u32, seed: u64, outcomes: &mut Outcomes) {
    let mut stream = traffic.stream(seed);
    let mut judge = Judge::new(Budget::default(), Baseline::Rest, Background::default());
    let mut watches = RULES.map(|rule| Some(Watch::new(rule)));
    let (mut windows, mut is_failing) = (Vec::new(), false);
    for second in 1..=seconds {
        stream.second(&mut windows);
        let samples: Vec<Sample<'_>> = windows
            .iter()
            .enumerate()
            .map(|(pod, window)| {
                let is_canary = pod == 0 || !traffic.has_rest();
                let group = if is_canary { Group::Canary } else { Group::Rest };
                let bounds: &[u64] = if window.latency.is_empty() { &[] } else { &BOUNDS };
                Sample { group, window, bounds, ready: None }
            })
            .collect();
        if !is_failing {
            judge.observe(&samples);
            is_failing = judge.failure().is_some();
            if is_failing {
                outcomes.seconds.push(second);
            }
        }
        let canary = samples.iter().filter(|it| it.group == Group::Canary);
        let (requests, errors) = canary.fold((0, 0), |(requests, errors), it| {
            (requests + it.window.requests, errors + it.window.errors)
        });
        for (watch, found) in watches.iter_mut().zip(&mut outcomes.peers) {
            if watch.as_mut().is_some_and(|it| it.rolls_back(second, requests, errors)) {
                found.push(second);
                *watch = None;
            }
        }
        if is_failing && watches.iter().all(Option::is_none) {
            break;
        }
    }
    outcomes.failed += u64::from(is_failing);
    let is_passing = matches!(judge.verdict(), Verdict::Passing(_));
    outcomes.undecided += u64::from(!is_failing && !is_passing);
}

impl Outcomes {
    pub(crate) const HEADER: &'static str = "| traffic | waves | judge: rolled back | at most \
        (95 %) | found after, median / p95 | undecided by requests | Argo 95 %, limit 0 | Argo \
        95 %, limit 3 | Argo 99 %, limit 0 | Flagger 99 %, threshold 1 | Flagger 99 %, threshold \
        10 |\n| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |";

    /// After how many seconds a share of those that failed had failed.
    pub(crate) fn quantile(&self, share: f64) -> u32 {
        quantile(&self.seconds, share)
    }

    /// The largest rate of rollbacks that the numbers do not rule out, with 95 %.
    pub(crate) fn upper_bound(&self) -> f64 {
        upper_bound(self.failed, self.waves)
    }

    pub(crate) fn row(&self, name: &str) -> String {
        let percent = |count: u64| format!("{:.2} %", 100.0 * count as f64 / self.waves as f64);
        let after =
            |seconds: &[u32]| format!("{} / {} s", quantile(seconds, 0.5), quantile(seconds, 0.95));
        let found = if self.failed == 0 { "–".to_owned() } else { after(&self.seconds) };
        let peers = self.peers.iter().map(|it| {
            let rate = percent(it.len() as u64);
            if it.is_empty() { rate } else { format!("{rate}, {} s", quantile(it, 0.5)) }
        });
        format!(
            "| {name} | {} | {} = {} | {:.2} % | {found} | {} | {} |",
            self.waves,
            self.failed,
            percent(self.failed),
            100.0 * self.upper_bound(),
            percent(self.undecided),
            peers.collect::<Vec<_>>().join(" | "),
        )
    }
}

fn quantile(sorted: &[u32], share: f64) -> u32 {
    let last = sorted.len().saturating_sub(1);
    #[expect(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "an index"
    )]
    let at = (share * last as f64).ceil() as usize;
    sorted.get(at).copied().unwrap_or_default()
}
