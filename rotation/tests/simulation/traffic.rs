//! The requests of a workload, second by second: how many each pod has, and how many of them fail.

use contract::requests::RequestWindow;

use crate::random::Random;

/// A workload. Its first pod is the canary.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Traffic {
    /// How many pods share the requests; 0 for ten that are all of the canary.
    pub(crate) pods: usize,
    /// The requests of all pods.
    pub(crate) per_second: f64,
    /// The share of them that fails without anybody's fault.
    pub(crate) errors: f64,
    /// How these come.
    pub(crate) bursts: Bursts,
    /// The share that fails on the canary by its credential.
    pub(crate) canary_errors: Option<f64>,
    /// How many times as long the canary's requests take. `None` where nobody measures.
    pub(crate) canary_latency: Option<f64>,
}

/// The bounds of the latency histogram, in microseconds: those that Prometheus' client libraries
/// have by default, up to a second.
pub(crate) const BOUNDS: [u64; 8] =
    [5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 500_000, 1_000_000];

/// What a request takes on average, in microseconds. Times are exponential.
const MEAN_LATENCY: f64 = 20_000.0;

/// How errors come that are nobody's fault.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Bursts {
    /// Each request by itself.
    None,
    /// So many on one pod in one second, beside its other requests.
    AtOnce(u64),
    /// Every request of one pod in one second.
    WholeSecond,
    /// The next so many requests of one pod, for as many seconds as it takes.
    InARow(u64),
}

/// One run of a workload.
pub(crate) struct Stream {
    traffic: Traffic,
    random: Random,
    /// How many of each pod's next requests fail.
    failing: Vec<u64>,
}

impl Traffic {
    pub(crate) fn has_rest(&self) -> bool {
        self.pods > 0
    }

    pub(crate) fn stream(&self, seed: u64) -> Stream {
        let pods = if self.has_rest() { self.pods } else { 10 };
        Stream { traffic: *self, random: Random::new(seed), failing: vec![0; pods] }
    }
}

impl Stream {
    /// What the pods count in the next second.
    pub(crate) fn second(&mut self, windows: &mut Vec<RequestWindow>) {
        let Self { traffic, random, failing } = self;
        #[expect(clippy::cast_precision_loss, reason = "a few pods")]
        let each = traffic.per_second / failing.len() as f64;
        windows.clear();
        for _ in 0..failing.len() {
            let mut window = RequestWindow { milliseconds: 1000, ..Default::default() };
            window.requests = random.poisson(each);
            if traffic.bursts == Bursts::None {
                window.errors = random.binomial(window.requests, traffic.errors);
            }
            windows.push(window);
        }
        #[expect(clippy::cast_precision_loss, reason = "a small number")]
        let size = match traffic.bursts {
            Bursts::None => f64::INFINITY,
            Bursts::AtOnce(size) | Bursts::InARow(size) => size as f64,
            Bursts::WholeSecond => each,
        };
        for _ in 0..random.poisson(traffic.per_second * traffic.errors / size) {
            let pod = random.below(failing.len());
            match traffic.bursts {
                Bursts::None => {}
                Bursts::AtOnce(size) => {
                    windows[pod].requests += size;
                    windows[pod].errors += size;
                }
                Bursts::WholeSecond => windows[pod].errors = windows[pod].requests,
                Bursts::InARow(size) => failing[pod] += size,
            }
        }
        for (window, failing) in windows.iter_mut().zip(failing) {
            let errors = (*failing).min(window.requests - window.errors);
            window.errors += errors;
            *failing -= errors;
        }
        if let Some(factor) = traffic.canary_latency {
            for (pod, window) in windows.iter_mut().enumerate() {
                let mean = if pod == 0 { MEAN_LATENCY * factor } else { MEAN_LATENCY };
                window.latency = vec![0; BOUNDS.len() + 1];
                for _ in 0..window.requests {
                    let took = -mean * (1.0 - random.unit()).ln();
                    #[expect(clippy::cast_precision_loss, reason = "a small number")]
                    let at = BOUNDS.iter().position(|bound| took <= *bound as f64);
                    window.latency[at.unwrap_or(BOUNDS.len())] += 1;
                }
            }
        }
        if let Some(share) = traffic.canary_errors {
            let canary = &mut windows[0];
            canary.errors += random.binomial(canary.requests - canary.errors, share);
        }
    }
}
