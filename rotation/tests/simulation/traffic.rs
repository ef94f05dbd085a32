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
}

/// How errors come that are nobody's fault.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Bursts {
    /// Each request by itself.
    None,
    /// So many on one pod in one second, beside its other requests.
    AtOnce(u64),
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
        if let Bursts::AtOnce(size) | Bursts::InARow(size) = traffic.bursts {
            #[expect(clippy::cast_precision_loss, reason = "a small number")]
            let bursts = traffic.per_second * traffic.errors / size as f64;
            for _ in 0..random.poisson(bursts) {
                let pod = random.below(failing.len());
                if let Bursts::AtOnce(_) = traffic.bursts {
                    windows[pod].requests += size;
                    windows[pod].errors += size;
                } else {
                    failing[pod] += size;
                }
            }
        }
        for (window, failing) in windows.iter_mut().zip(failing) {
            let errors = (*failing).min(window.requests - window.errors);
            window.errors += errors;
            *failing -= errors;
        }
        if let Some(share) = traffic.canary_errors {
            let canary = &mut windows[0];
            canary.errors += random.binomial(canary.requests - canary.errors, share);
        }
    }
}
